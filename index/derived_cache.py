"""What is computed from a store to search it: a file a method, grown segment by segment, never stale."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedStoreError, OutputError, plain
from ..store.lock import committer_lock
from ..store.reader import TumorStore
from ..store.segments import SegmentRecord
from . import segment_file
from .segment_file import Directory, PackedSegment, data_path

Progress = Callable[[int, int], None]
"""Called with (tumours done, tumours to do)."""

Packer = Callable[[TumorStore, SegmentRecord, Executor], tuple[bytes, dict[str, int]]]
"""Makes the bytes of a segment, and says where in them its arrays begin; `head` bytes are checked at every opening."""


@dataclass(frozen=True)
class Derived:
    """A kind of derived data.

    Args:
        method: name of its folder, and of the index in `gliodex index` that makes it.
        made_with: what it depends on besides the store's frame and thresholds; another one makes the file stale.
        pack: makes it for a segment.
        executor: makes what `pack` is given to work side by side.
    """

    method: str
    made_with: dict[str, object]
    pack: Packer
    executor: Callable[[], Executor] = ThreadPoolExecutor

    def refresh(self, store: TumorStore, *, rebuild: bool = False, progress: Progress | None = None) -> Directory:
        """Bring the file of a store up to a snapshot: only segments that it lacks are read.

        Raises:
            DamagedStoreError: the file is damaged (and `rebuild` is off), or a density is.
            OutputError, StoreLockedError: it cannot be written.
        """
        folder, made_with = self.folder(store), self._made_with(store)
        directory = Directory(made_with) if rebuild else Directory.load(folder, made_with)
        if not _missing(store, directory):
            return directory
        try:
            with committer_lock(folder, "gliodex index"):
                if rebuild:
                    directory.save(folder)
                else:
                    directory = Directory.load(folder, made_with)
                missing = _missing(store, directory)
                total, done = sum(record.count for record in missing), 0
                with self.executor() as pool:
                    for record in missing:
                        begun = time.perf_counter()
                        data, layout = self.pack(store, record, pool)
                        directory = segment_file.append(
                            folder, directory, record.name, data, layout, time.perf_counter() - begun
                        )
                        done += record.count
                        if progress:
                            progress(done, total)
        except OutputError as error:
            raise OutputError(
                f"{error}; the {self.method} index of {store.path} lacks {len(_missing(store, directory))} segments",
                hint=f"run {self.command(store)} where the store can be written",
            ) from error
        return directory

    def open(
        self, store: TumorStore, progress: Progress | None = None
    ) -> tuple[NDArray[np.uint8], list[PackedSegment]]:
        """Bring the file up to a snapshot and map it: its bytes, and where each of the snapshot's segments lies.

        Raises:
            DamagedStoreError, OutputError, StoreLockedError: see `refresh`.
        """
        folder, directory = self.folder(store), self.refresh(store, progress=progress)
        data = segment_file.mapped(folder, directory)
        packed = [directory.segments[record.name] for record in store.segments]
        for record, segment in zip(store.segments, packed, strict=True):
            segment_file.check_head(folder, data, record.name, segment)
        return data, packed

    def is_complete(self, store: TumorStore) -> bool:
        """Whether the file holds all segments of a snapshot.

        Raises:
            DamagedStoreError: the file is damaged.
        """
        return not _missing(store, Directory.load(self.folder(store), self._made_with(store)))

    def verify(self, store: TumorStore) -> list[str]:
        """List every damaged segment of the file; empty where there is none or no file."""
        folder = self.folder(store)
        try:
            directory = Directory.load(folder, self._made_with(store))
        except DamagedStoreError as error:
            return [str(error)]
        return [
            f"the index of segment {name} is damaged in {data_path(folder)}: "
            + plain(f"make it anew with {self.command(store, rebuild=True)}")
            for name in segment_file.damaged_segments(folder, directory)
        ]

    def seconds(self, store: TumorStore) -> float | None:
        """How long it took to make what the file holds; None where a part was made without keeping the time."""
        segments = Directory.load(self.folder(store), self._made_with(store)).segments.values()
        return sum(s.seconds for s in segments) if all(s.seconds for s in segments) else None

    def folder(self, store: TumorStore) -> Path:
        """Where it lies."""
        return store.derived / self.method

    def command(self, store: TumorStore, *, rebuild: bool = False) -> str:
        """Mention the command that makes it, see `errors.command`."""
        return segment_file.command_for(self.folder(store), store.path, rebuild=rebuild)

    def _made_with(self, store: TumorStore) -> dict[str, object]:
        return self.made_with | {"frame": store.manifest.frame, "thresholds": store.thresholds}


def _missing(store: TumorStore, directory: Directory) -> list[SegmentRecord]:
    return [record for record in store.segments if record.name not in directory.segments]
