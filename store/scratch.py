"""Folders that go with the process that made them, however it ends: by an error, a signal, or a kill."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_WATCH = """trap '' HUP INT TERM
read -r done && exit
rm -rf -- "$1"; said=$2; shift 2
for made; do rmdir -- "$made"; done 2>/dev/null
[ -z "$said" ] || printf '%s\\n' "$said" >&2
"""
"""Waits for a line; a pipe that closes without one is that of a process which has died."""


@contextmanager
def scratch_folder(within: Path | None = None) -> Iterator[Path]:
    """Make a folder for what is needed for a while; it is removed at the end, and when the process is killed.

    Args:
        within: folder to make it in; that of temporary files by default.
    """
    folder = (within or Path(tempfile.gettempdir())).absolute() / f"gliodex-{secrets.token_hex(8)}"
    with removed_when_killed(folder):
        try:
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def removed_when_killed(folder: Path, made: Sequence[Path] = (), said: str = "") -> Iterator[None]:
    """Have a folder removed when this process is killed within the block.

    A small process of its own session watches over a pipe that the kernel closes when this one ends, by SIGKILL too.
    It is there before the folder is made. Where it is killed as well (a container, a power cut), what is left is
    removed by the next query into the same folder.

    Args:
        folder: to be made in the block.
        made: folders to remove then if they are empty, the innermost first.
        said: line for the standard error then.
    """
    arguments = [os.fsencode(path.absolute()) for path in (folder, *made)]
    line = " ".join(said.split()).encode(errors="backslashreplace")
    watcher = None
    with suppress(FileNotFoundError):  # a container without a shell
        watcher = subprocess.Popen(
            [b"/bin/sh", b"-c", _WATCH.encode(), b"gliodex", arguments[0], line, *arguments[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
    try:
        yield
    finally:
        if watcher:
            watcher.communicate(b"\n")
