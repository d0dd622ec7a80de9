"""What ends a command before its time: signals, in Python code and in native code that holds the interpreter."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end; every context is left on the way out, as control-C has it.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_code(stop: KeyboardInterrupt) -> int:
    """Exit code of a process that a signal ended: 130 for control-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise `Stopped`; a second one of them ends the process at once.

    A signal that is ignored, as SIGHUP is under nohup, stays ignored. Outside the main thread nothing changes, since
    only there a signal can have a handler.
    """
    global _in_order  # noqa: PLW0603 - handlers are the process's, too
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        _in_order = True
        for number, handler in before.items():
            if handler is signal.SIG_DFL:
                signal.signal(number, _stop)
        yield
    finally:
        _in_order = False
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Let a signal end the process at once; for native code that holds the interpreter, in which no handler can run.

    A registration by ANTs holds it for 5 to 80 s. What is to be removed even then is kept in folders of
    `gliodex.store.scratch`. Only a command (`stopping_in_order`) is ended so: in a notebook control-C stays what it is.
    """
    if not _in_order or threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (*_SIGNALS, signal.SIGINT)}
    ours = {number: handler for number, handler in handlers.items() if handler in (_stop, signal.default_int_handler)}
    try:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)


@contextmanager
def stopping_afterwards() -> Iterator[None]:
    """Put a signal off until the end of the block: for the few steps that must be taken together."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (*_SIGNALS, signal.SIGINT)}
    ours = {number: handler for number, handler in handlers.items() if handler not in (None, signal.SIG_IGN)}
    try:
        for number in ours:
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _stop(number: int, _: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)


_in_order = False
"""Whether a command has asked for `stopping_in_order`."""
