"""Durable files under one root: what the store's commits are made of.

A file appears whole or not at all, and of two writers of one name exactly one succeeds: on a disk because the
bytes are written aside, flushed, and linked into place, which fails where the name is taken, on network file systems
too; in an object store by a conditional put.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

PARTIAL = ".partial"
"""Ending of files that are still being written; what a crash leaves of them is swept by `gc`."""


class StoreFiles(ABC):
    """Files of one store, named by '/'-separated keys below `root`."""

    root: Path | str
    """Where they are: a folder, or a URL."""

    derived: Path
    """Local folder for what can be computed from the store."""

    shared: bool
    """Whether `derived` lies beside the store, where every machine that sees the store sees it too."""

    @property
    def everywhere(self) -> str:
        """The place in words that hold in any working directory."""
        return str(self.root.absolute() if isinstance(self.root, Path) else self.root)

    @abstractmethod
    def path(self, key: str) -> Path | str:
        """Where the file of `key` is."""

    @abstractmethod
    def sizes(self, below: str = "") -> dict[str, int]:
        """Bytes of every file below a key, sorted by name."""

    @abstractmethod
    def sizes_of(self, keys: Sequence[str]) -> list[int | None]:
        """Bytes of each of these files, None for those that are not there."""

    @abstractmethod
    def read(self, key: str, start: int = 0, count: int = -1) -> bytes:
        """Read `count` bytes from `start`; all by default.

        Raises:
            DamagedStoreError: the file is missing or shorter.
            OutputError: the place cannot be reached.
        """

    @abstractmethod
    def create(self, key: str, data: bytes) -> str:
        """Write a new file durably and return the SHA-256 of its bytes.

        Raises:
            FileExistsError: the name is taken.
            OutputError: the disk is full, or the place cannot be written to.
        """

    @abstractmethod
    def remove(self, key: str) -> int:
        """Delete a file; returns the bytes freed."""

    @abstractmethod
    def committer(self, purpose: str) -> AbstractContextManager[None]:
        """Hold the right to commit.

        Raises:
            StoreLockedError: another process holds it.
            OutputError: the place cannot be written to.
        """

    @abstractmethod
    def tidy(self) -> None:
        """Take away empty folders that removed files, or a killed writer, have left."""

    def may_be_in_progress(self, key: str) -> bool:
        """Whether a file that no version names may belong to a commit that is being made by someone else."""
        del key
        return False
