"""Ways to break a store: a wrong byte, a process killed on its way to the disk, a disk that is full."""

import errno
import os
import signal
import stat
import traceback
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

STEPS = (
    (os, "fsync"),
    (os, "link"),
    (os, "mkdir"),
    (os, "unlink"),
    (os, "replace"),
    (os, "rmdir"),
    (os, "ftruncate"),
    (os, "write"),
    (Path, "open"),
)
"""Every call by which the package changes the disk, those that `Path` makes too; `Path.open` counts only where it opens
for writing, and what is written to such a file counts as a `write`."""

_REALLY = {"ftruncate": os.ftruncate, "write": os.write}  # for the tests' own use while the calls are watched


def flip(path, position, mask=0x01):
    """Change bits of one byte of a file in place."""
    data = bytearray(Path(path).read_bytes())
    data[position] ^= mask
    Path(path).write_bytes(bytes(data))


@contextmanager
def before_each_step(hook, steps=STEPS, after=None):
    """Call `hook(name, *arguments)` before every step towards the disk, and `after` in the same way when it is done."""

    def wrap(name, original):
        def wrapped(*arguments, **options):
            mode = options.get("mode", arguments[1] if name == "open" and len(arguments) > 1 else "r")
            if name == "open" and not set(mode) & set("wxa+"):
                return original(*arguments, **options)
            hook(name, *arguments)
            result = original(*arguments, **options)
            if after:
                after(name, *arguments)
            return _WatchedFile(result, hook, after) if name == "open" and (os, "write") in steps else result

        return wrapped

    with ExitStack() as stack:
        for owner, name in steps:
            stack.enter_context(mock.patch.object(owner, name, wrap(name, getattr(owner, name))))
        yield


class _WatchedFile:
    """A file opened for writing whose writes are steps; what was written has reached the kernel when one is done."""

    def __init__(self, file, hook, after):
        self._file, self._hook, self._after = file, hook, after

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        return self._file.__exit__(*raised)

    def write(self, data):
        self._hook("write", self._file, data)
        count = self._file.write(data)
        self._file.flush()
        if self._after:
            self._after("write", self._file, data)
        return count


def killed_at(step, action, *, after=False, report=None):
    """Run `action` in a forked process that is killed before (or after) its `step`-th step; False if it ended earlier.

    A write that is never reached leaves half of its bytes, and a file whose flush never comes is cut short by a byte,
    as a power cut might leave it.

    Args:
        step: counts from 1.
        action: called without arguments, or with a function that sends one byte to `report`.
        after: kill when the step is done.
        report: a list that takes what the action sent before it died.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        told = (
            (lambda: action(lambda value: _REALLY["write"](writing, bytes([value])))) if report is not None else action
        )
        _run_and_die(step, told, after)
    os.close(writing)
    with open(reading, "rb") as pipe:
        sent = pipe.read()
    _, status = os.waitpid(child, 0)
    if report is not None:
        report += sent
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, f"died of signal {os.WTERMSIG(status)}"
        return True
    assert os.WEXITSTATUS(status) == 0, "the forked process failed; see its traceback"
    return False


def _run_and_die(step, action, after=False):
    steps = 0

    def die_before(name, *arguments):
        nonlocal steps
        steps += 1
        if steps == step and not after:
            if name == "write":
                _write_half(*arguments)
            elif name == "fsync" and stat.S_ISREG(os.fstat(arguments[0]).st_mode):
                _REALLY["ftruncate"](arguments[0], max(os.fstat(arguments[0]).st_size - 1, 0))
            os.kill(os.getpid(), signal.SIGKILL)

    def die_after(_name, *_arguments):
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

    code = 3
    try:
        signal.alarm(60)
        with before_each_step(die_before, after=die_after if after else None):
            action()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _write_half(file, data):
    half = data[: len(data) // 2]
    if isinstance(file, int):
        _REALLY["write"](file, half)
    else:
        file.write(half)
        file.flush()


def fails_at(step, action, number=errno.ENOSPC):
    """Run `action` with an error of the disk at its `step`-th step; what it raised, None where it ended.

    A write that fails has written half of its bytes.
    """
    error = OSError(number, os.strerror(number))
    steps = [s for s in STEPS if s[1] in {"fsync", "link", "open", "mkdir", "replace", "write"}]
    with before_each_step(raises_at(step, error), steps):
        try:
            action()
        except Exception as raised:
            return raised
    return None


def raises_at(step, error):
    """Hook for `before_each_step` that raises at the `step`-th step."""
    steps = 0

    def hook(name, *arguments):
        nonlocal steps
        steps += 1
        if steps == step:
            if name == "write":
                _write_half(*arguments)
            raise error

    return hook


def in_fork(action):
    """Exit status of `action` in a forked process: 0 done, 3 raised, negative the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(forked(action), 0)[1])


def forked(action):
    """Start `action` in a forked process and return its number; whoever starts it waits for it."""
    child = os.fork()
    if child == 0:
        _run_and_die(-1, action)
    return child
