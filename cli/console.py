"""Where the commands print, and how they show progress."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class _Pipe(Console):
    """A console that leaves it to the caller what to do when its reader has gone; rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline
out = _Pipe(highlight=False)
errors = Console(stderr=True)


def show_any_name() -> None:
    """Have characters that a terminal or a pipe cannot encode, such as odd bytes of a name, shown as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """Print a line as it is: not wrapped, so that paths can be copied, and without markup."""
    out.print(printable(text), soft_wrap=True, markup=False)


def complain(text: str, style: str) -> None:
    """Print one line on standard error."""
    line = " ".join(printable(text).split())
    errors.print(line, style=style, highlight=False, soft_wrap=True, markup=False)


def printable(text: str) -> str:
    """Show the control characters of names and headers as escapes: a terminal would obey them."""
    return _CONTROL.sub(lambda found: repr(found.group())[1:-1], text)


@contextmanager
def bar(*fields: str) -> Iterator[Progress]:
    """Show bars that go away when done.

    Args:
        fields: of the tasks, whose text stands between what is done and the time that is left.
    """
    columns = (TextColumn(f"{{task.fields[{field}]}}") for field in fields)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *columns,
        TimeRemainingColumn(),
        console=errors,
        transient=True,
    ) as shown:
        yield shown


@contextmanager
def counting_stages() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for the stage that is running, counted as (what, done, total)."""
    with bar() as shown:
        task = shown.add_task("", total=None)
        running = ""

        def show(what: str, done: int, total: int) -> None:
            nonlocal running
            if what != running:
                shown.reset(task, description=what, total=total)
                running = what
            shown.update(task, completed=done, total=total)

        yield show


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for work counted as (done, total)."""
    with counting_stages() as show:
        yield lambda done, total: show(what, done, total)


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """Show which stage is running, on a terminal."""
    if not errors.is_terminal:
        yield lambda name: None
        return
    # a copy of the terminal: what native code would print is kept from the first while it runs
    terminal = os.dup(sys.stderr.fileno())
    with (
        os.fdopen(terminal, "w", encoding=sys.stderr.encoding, errors="backslashreplace") as copy,
        Console(file=copy, force_terminal=True).status("") as status,
    ):
        yield lambda name: status.update(f"{name} ...")
