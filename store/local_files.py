"""Files of a store in a folder."""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from ..errors import DamagedStoreError, OutputError
from .atomic_io import make_directories, sync_directory
from .lock import committer_lock
from .storage import PARTIAL, StoreFiles


class LocalFiles(StoreFiles):
    """Files in a folder."""

    shared = True

    def __init__(self, root: str | Path) -> None:
        self.root: Path = Path(root)
        self.derived = self.root / "derived"

    def path(self, key: str) -> Path:
        """See `StoreFiles`."""
        return self.root / key

    def sizes(self, below: str = "") -> dict[str, int]:
        """See `StoreFiles`."""
        there = ((key, self._size(key)) for key in self._keys(below))
        return {key: size for key, size in there if size is not None}  # a writer beside us may take one away

    def sizes_of(self, keys: Sequence[str]) -> list[int | None]:
        """See `StoreFiles`."""
        return [self._size(key) for key in keys]

    def _size(self, key: str) -> int | None:
        try:
            return self.path(key).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def committer(self, purpose: str) -> AbstractContextManager[None]:
        """See `StoreFiles`."""
        return committer_lock(self.root, purpose)

    def read(self, key: str, start: int = 0, count: int = -1) -> bytes:
        """See `StoreFiles`."""
        try:
            with self.path(key).open("rb") as file:
                file.seek(start)
                data = file.read(count)
        except FileNotFoundError:
            raise DamagedStoreError(
                f"{self.path(key)} is missing", hint="restore it from a copy, or build the store anew"
            ) from None
        except OSError as error:
            raise OutputError(f"cannot read {self.path(key)}: {_reason(error)}") from error
        if 0 <= count != len(data):
            raise DamagedStoreError(
                f"{self.path(key)} is cut short: {len(data)} of {count} bytes at {start}", hint="restore it from a copy"
            )
        return data

    def create(self, key: str, data: bytes) -> str:
        """See `StoreFiles`."""
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

    def remove(self, key: str) -> int:
        """See `StoreFiles`."""
        path = self.path(key)
        try:
            freed = path.stat().st_size
            path.unlink()
        except OSError as error:
            raise OutputError(f"cannot delete {path}: {_reason(error)}") from error
        return freed

    def tidy(self) -> None:
        """See `StoreFiles`."""
        for top in ("atlas", "manifests", "segments"):  # derived data has writers, and a lock, of its own
            for folder, _, _ in os.walk(self.root / top, topdown=False):
                with suppress(OSError):  # a writer beside us may fill it, or may take it away itself
                    if not os.listdir(folder):
                        Path(folder).rmdir()

    def _keys(self, below: str) -> Iterator[str]:
        top = self.path(below) if below else self.root
        for folder, folders, names in os.walk(top):
            folders.sort()
            for name in sorted(names):
                yield Path(folder, name).relative_to(self.root).as_posix()


def _reason(error: OSError) -> str:
    advice = {
        errno.ENOSPC: "the disk is full; free some space and run the same command again",
        errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
        errno.EACCES: "permission denied; choose a place that you may write to",
        errno.EROFS: "the file system is read-only; choose another place",
        errno.ENOTDIR: "a part of the path is a file; choose another place",
    }
    return advice.get(error.errno or 0, str(error))
