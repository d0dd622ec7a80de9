"""Folders and their entries, flushed to the disk: what is there survives a power cut."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import OutputError
from .storage import PARTIAL


def make_directories(path: Path) -> None:
    """Create a folder and its parents so that they survive a power cut."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_directory(folder.parent)


def sync_directory(path: Path) -> None:
    """Flush a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, *parts: bytes | memoryview) -> None:
    """Put a file in the place of another so that a kill, or a power cut, leaves the one or the other.

    Writers of the same file must hold a lock.

    Raises:
        OutputError: it cannot be written; what was there stays.
    """
    aside = path.with_name(path.name + PARTIAL)
    try:
        make_directories(path.parent)
        try:
            with aside.open("wb") as file:
                for part in parts:
                    file.write(part)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
