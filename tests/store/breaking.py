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
    (Path, "open"),
    (Path, "mkdir"),
    (Path, "unlink"),
    (Path, "replace"),
    (Path, "rmdir"),
)
"""Every call by which the package changes the disk; `Path.open` counts only where it opens for writing."""


def flip(path, position, mask=0x01):
    """Change bits of one byte of a file in place."""
    data = bytearray(Path(path).read_bytes())
    data[position] ^= mask
    Path(path).write_bytes(bytes(data))


@contextmanager
def before_each_step(hook, steps=STEPS):
    """Call `hook(name, *arguments)` before every step towards the disk."""

    def wrap(name, original):
        def wrapped(*arguments, **options):
            mode = options.get("mode", arguments[1] if name == "open" and len(arguments) > 1 else "r")
            if name != "open" or set(mode) & set("wxa+"):
                hook(name, *arguments)
            return original(*arguments, **options)

        return wrapped

    with ExitStack() as stack:
        for owner, name in steps:
            stack.enter_context(mock.patch.object(owner, name, wrap(name, getattr(owner, name))))
        yield


def killed_at(step, action):
    """Run `action` in a forked process that is killed before its `step`-th step; False if it ended earlier.

    A file whose flush never comes is cut short by a byte, as a power cut might leave it.
    """
    child = os.fork()
    if child == 0:
        _run_and_die(step, action)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, f"died of signal {os.WTERMSIG(status)}"
        return True
    assert os.WEXITSTATUS(status) == 0, "the forked process failed; see its traceback"
    return False


def _run_and_die(step, action):
    steps = 0

    def hook(name, *arguments):
        nonlocal steps
        steps += 1
        if steps == step:
            if name == "fsync" and stat.S_ISREG(os.fstat(arguments[0]).st_mode):
                os.ftruncate(arguments[0], max(os.fstat(arguments[0]).st_size - 1, 0))
            os.kill(os.getpid(), signal.SIGKILL)

    code = 3
    try:
        signal.alarm(60)
        with before_each_step(hook):
            action()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def fails_at(step, action, number=errno.ENOSPC):
    """Run `action` with an error of the disk at its `step`-th step; what it raised, None where it ended."""
    steps = 0

    def hook(_name, *_arguments):
        nonlocal steps
        steps += 1
        if steps == step:
            raise OSError(number, os.strerror(number))

    failing = [s for s in STEPS if s[1] in {"fsync", "link", "open", "mkdir", "replace"}]
    with before_each_step(hook, failing):
        try:
            action()
        except Exception as error:
            return error
    return None


def in_fork(action):
    """Exit status of `action` in a forked process: 0 done, 3 raised, negative the signal that ended it."""
    child = os.fork()
    if child == 0:
        _run_and_die(-1, action)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
