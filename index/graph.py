"""A graph of near neighbours (HNSW) over the codes of a store, kept beside it and grown by new segments only.

Each segment is added by one thread, with random numbers that its name fixes: a graph that grew equals one made anew.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedStoreError
from ..store.checksummed_file import read_sealed, write_sealed
from ..store.lock import committer_lock
from ..store.segments import SegmentRecord
from .derived_cache import Progress
from .faiss_backends import SideBySideEngine

NEIGHBOURS, WIDTH_BUILDING, WIDTH_SEARCHING = 32, 120, 512
"""Links of a node, and how many nodes are kept in view while adding and while searching."""

_SETTINGS: dict[str, object] = {"graph": f"hnsw {NEIGHBOURS} {WIDTH_BUILDING}, float16"}


class Known(NamedTuple):
    """A graph.

    Args:
        index: of FAISS.
        segments: sizes of its segments by name, in the order of its entries.
        seconds: that it took to make.
    """

    index: Any
    segments: dict[str, int]
    seconds: float


@dataclass(frozen=True)
class Graph:
    """Where the graph of a kind of codes lies.

    Args:
        path: of its file.
        made_with: what the codes depend on; another one makes the graph stale.
        again: command that makes it anew.
    """

    path: Path
    made_with: dict[str, object]
    again: str

    def refresh(
        self,
        segments: Sequence[SegmentRecord],
        codes: NDArray[np.float16],
        *,
        rebuild: bool = False,
        progress: Progress | None = None,
    ) -> Known:
        """Add the segments that the graph lacks.

        Args:
            segments: of a snapshot.
            codes: of all of their rows, (n, 2 * latent).
            rebuild: make it anew.
            progress: told how far it has come.

        Raises:
            DamagedStoreError: it is not what was written, and `rebuild` is off.
            OutputError, StoreLockedError: it cannot be written.
        """
        known = None if rebuild else self._load()
        if known is not None and not _lacks(known, segments):
            return known
        with committer_lock(self.path.parent, "gliodex index", f"{self.path.name}.lock"):
            known = (None if rebuild else self._load()) or Known(_empty(codes.shape[1]), {}, 0.0)
            index, sizes, seconds = known
            missing = _lacks(known, segments)
            done, total = 0, sum(segment.count for segment in missing)
            for segment, first in zip(segments, _firsts(segments), strict=True):
                if segment in missing:
                    begun = time.perf_counter()
                    _add(index, segment.name, codes[first : first + segment.count])
                    sizes[segment.name] = segment.count
                    seconds += time.perf_counter() - begun
                    done += segment.count
                    if progress:
                        progress(done, total)
            record = {"made_with": self.made_with | _SETTINGS, "segments": sizes, "seconds": seconds}
            write_sealed(self.path, record, as_bytes(index))
        return Known(index, sizes, seconds)

    def engine(
        self, segments: Sequence[SegmentRecord], codes: NDArray[np.float16], kept: NDArray[np.intp]
    ) -> SideBySideEngine:
        """Engine over those rows of a snapshot that are kept.

        Args:
            segments: of the snapshot.
            codes: of all of their rows, (n, 2 * latent).
            kept: rows that are searched.

        Raises:
            DamagedStoreError, OutputError, StoreLockedError: see `refresh`.
        """
        index, sizes, _ = self.refresh(segments, codes)
        place = np.full(len(codes), -1)
        place[kept] = np.arange(len(kept))
        here = {s.name: place[n : n + s.count] for s, n in zip(segments, _firsts(segments), strict=True)}
        parts = [here.get(name, np.full(size, -1)) for name, size in sizes.items()]
        rows = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        selector = None if (rows >= 0).all() else faiss.IDSelectorNot(faiss.IDSelectorBatch(np.flatnonzero(rows < 0)))

        def parameters(wanted: int) -> Any:
            return faiss.SearchParametersHNSW(sel=selector, efSearch=max(WIDTH_SEARCHING, wanted))

        return SideBySideEngine(index, codes[kept].reshape(len(kept), 2, codes.shape[1] // 2), rows, parameters)

    def verify(self) -> list[str]:
        """List what is damaged; empty where there is no graph."""
        try:
            self._load()
        except DamagedStoreError as error:
            return [str(error)]
        return []

    def seconds(self) -> float | None:
        """How long it took to make, codes not counted; None where there is none."""
        known = self._load()
        return None if known is None else known.seconds

    def _load(self) -> Known | None:
        if not self.path.exists():
            return None
        record, data, _ = read_sealed(self.path, self.again)
        if record["made_with"] != self.made_with | _SETTINGS:
            return None
        index = faiss.read_index(faiss.PyCallbackIOReader(io.BytesIO(data).read))
        return Known(index, record["segments"], record["seconds"])


def as_bytes(index: Any) -> memoryview:
    """Write an index of FAISS as it is kept.

    Not by `faiss.serialize_index`: once SimpleITK is loaded, its arrays of bytes take the place of FAISS's.
    """
    buffer = io.BytesIO()
    faiss.write_index(index, faiss.PyCallbackIOWriter(buffer.write))
    return buffer.getbuffer()


def _add(index: Any, name: str, codes: NDArray[np.float16]) -> None:
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        index.hnsw.rng = faiss.RandomGenerator(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 1)
        index.add(codes.astype(np.float32))
    finally:
        faiss.omp_set_num_threads(threads)


def _empty(width: int) -> Any:
    index = faiss.IndexHNSWSQ(width, faiss.ScalarQuantizer.QT_fp16, NEIGHBOURS, faiss.METRIC_L2)
    index.hnsw.efConstruction = WIDTH_BUILDING
    index.is_trained = True
    return index


def _lacks(known: Known, segments: Sequence[SegmentRecord]) -> list[SegmentRecord]:
    return [segment for segment in segments if segment.name not in known.segments]


def _firsts(segments: Sequence[SegmentRecord]) -> list[int]:
    """First row of each segment."""
    return [0, *accumulate(segment.count for segment in segments)][:-1]
