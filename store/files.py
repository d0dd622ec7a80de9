"""Durable files under one root: what the store's commits are made of.

A file appears whole or not at all: its bytes are written aside, flushed to the disk, and linked into place. Linking
fails where the name is taken, so of two writers of one name exactly one succeeds, on network file systems too.
"""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from ..errors import DamagedStoreError, OutputError

PARTIAL = ".partial"
"""Ending of files that are still being written; what a crash leaves of them is swept by `gc`."""


class StoreFiles:
    """Files of one store, named by '/'-separated keys below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Where the file of `key` is on the disk."""
        return self.root / key

    def size(self, key: str) -> int | None:
        """Bytes of a file, None where there is none."""
        try:
            return self.path(key).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, key: str, start: int = 0, count: int = -1) -> bytes:
        """Read `count` bytes from `start`; all by default.

        Raises:
            DamagedStoreError: the file is missing or shorter.
        """
        try:
            with self.path(key).open("rb") as file:
                file.seek(start)
                data = file.read(count)
        except FileNotFoundError:
            raise DamagedStoreError(
                f"{self.path(key)} is missing: restore it from a copy, or build the store anew"
            ) from None
        if 0 <= count != len(data):
            raise DamagedStoreError(
                f"{self.path(key)} is cut short: {len(data)} of {count} bytes at {start}; restore it from a copy"
            )
        return data

    def create(self, key: str, data: bytes) -> str:
        """Write a new file durably and return the SHA-256 of its bytes.

        Raises:
            FileExistsError: the name is taken.
            OutputError: the disk is full, or the place cannot be written to.
        """
        path = self.path(key)
        aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}{PARTIAL}")
        try:
            make_directories(path.parent)
            try:
                with aside.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(aside, path)
            finally:
                aside.unlink(missing_ok=True)
            try:
                sync_directory(path.parent)
            except OSError:
                path.unlink(missing_ok=True)
                raise
        except FileExistsError:
            raise
        except OSError as error:
            raise OutputError(f"cannot write {path}: {_reason(error)}") from error
        return hashlib.sha256(data).hexdigest()

    def keys(self, below: str = "") -> Iterator[str]:
        """Every file below a key, sorted."""
        top = self.path(below) if below else self.root
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                yield Path(folder, name).relative_to(self.root).as_posix()

    def remove(self, key: str) -> int:
        """Delete a file, and the folders above it that this leaves empty; returns the bytes freed."""
        path = self.path(key)
        freed = path.stat().st_size
        path.unlink()
        for folder in path.parents:
            if folder == self.root or any(folder.iterdir()):
                break
            folder.rmdir()
        return freed


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


def _reason(error: OSError) -> str:
    advice = {
        errno.ENOSPC: "the disk is full; free some space and run the same command again",
        errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
        errno.EACCES: "permission denied; choose a place that you may write to",
        errno.EROFS: "the file system is read-only; choose another place",
        errno.ENOTDIR: "a part of the path is a file; choose another place",
    }
    return advice.get(error.errno or 0, str(error))
