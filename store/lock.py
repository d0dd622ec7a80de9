"""One committer at a time: an operating-system lock that a dead process cannot leave behind."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ..errors import OutputError, StoreLockedError
from .atomic_io import make_directories


@contextmanager
def committer_lock(root: Path, purpose: str, name: str = "lock") -> Iterator[None]:
    """Hold the right to commit to the store at `root`.

    The kernel frees the lock when its holder ends, however it ends. Should a network file system ignore the lock,
    two committers still cannot publish the same version: the second one's exclusive link fails.

    Raises:
        StoreLockedError: another process holds it; the message says which, since when and what for.
        OutputError: the store cannot be written to.
    """
    try:
        make_directories(root)
        file = (root / name).open("a+")
    except OSError as error:
        raise OutputError(
            f"cannot write to {root}: {error.strerror}", hint="choose a place that you may write to"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreLockedError(
                f"{root} is being written by {_owner(file.name)}", hint="wait for it to finish"
            ) from None
        owner = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "purpose": purpose,
        }
        try:
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), json.dumps(owner).encode())
        except OSError as error:
            raise OutputError(f"cannot write to {root}: {error.strerror}") from error
        yield


def _owner(path: str) -> str:
    try:
        owner = json.loads(Path(path).read_text())
        return f"`{owner['purpose']}` (process {owner['process']} on {owner['host']}, since {owner['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
