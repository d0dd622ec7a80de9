"""A graph of near neighbours (HNSW) over the codes of a store, kept beside it and grown by new segments only.

Each segment is added by one thread, with random numbers that its name fixes: a graph that grew equals one made anew.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedStoreError
from ..store.durable import replace_file
from ..store.lock import committer_lock
from ..store.segments import SegmentRecord
from .derived import Progress
from .engines import SideBySideEngine

NEIGHBOURS, WIDTH_BUILDING, WIDTH_SEARCHING = 32, 80, 256
"""Links of a node, and how many nodes are kept in view while adding and while searching."""

_SETTINGS: dict[str, object] = {"graph": f"hnsw {NEIGHBOURS} {WIDTH_BUILDING}, float16"}

_Known = tuple[Any, dict[str, int]]


@dataclass(frozen=True)
class Graph:
    """Where the graph of a kind of codes lies.

    Args:
        folder: of its file and its record.
        made_with: what the codes depend on; another one makes the graph stale.
        again: command that makes it anew.
    """

    folder: Path
    made_with: dict[str, object]
    again: str

    def refresh(
        self,
        segments: Sequence[SegmentRecord],
        codes: NDArray[np.float16],
        *,
        rebuild: bool = False,
        progress: Progress | None = None,
    ) -> _Known:
        """Add the segments that the graph lacks; the index of FAISS, and its segments with their sizes, in order.

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
        with committer_lock(self.folder, "gliodex index"):
            index, sizes = (None if rebuild else self._load()) or (_empty(codes.shape[1]), {})
            missing = _lacks((index, sizes), segments)
            done, total = 0, sum(segment.count for segment in missing)
            seconds = self.seconds() if sizes else 0.0
            for segment, first in zip(segments, _firsts(segments), strict=True):
                if segment in missing:
                    begun = time.perf_counter()
                    _add(index, segment.name, codes[first : first + segment.count])
                    sizes[segment.name] = segment.count
                    seconds += time.perf_counter() - begun
                    done += segment.count
                    if progress:
                        progress(done, total)
            self._save(index, sizes, seconds)
        return index, sizes

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
        index, sizes = self.refresh(segments, codes)
        place = np.full(len(codes), -1)
        place[kept] = np.arange(len(kept))
        here = {s.name: place[n : n + s.count] for s, n in zip(segments, _firsts(segments), strict=True)}
        parts = [here.get(name, np.full(size, -1)) for name, size in sizes.items()]
        rows = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        selector = None if (rows >= 0).all() else faiss.IDSelectorBatch(np.flatnonzero(rows >= 0))

        def parameters(wanted: int) -> Any:
            return faiss.SearchParametersHNSW(sel=selector, efSearch=max(WIDTH_SEARCHING, wanted))

        return SideBySideEngine(index, codes[kept].reshape(len(kept), 2, codes.shape[1] // 2), rows, parameters)

    def seconds(self) -> float:
        """How long it took to make, codes not counted."""
        return float(json.loads((self.folder / "graph.json").read_text())["seconds"])

    def verify(self) -> list[str]:
        """List what is damaged; empty where there is no graph."""
        try:
            self._load()
        except DamagedStoreError as error:
            return [str(error)]
        return []

    def _load(self) -> _Known | None:
        data, record = self.folder / "graph.faiss", self.folder / "graph.json"
        if not record.exists():
            return None
        try:
            told = json.loads(record.read_text())
            if told["made_with"] != self.made_with | _SETTINGS:
                return None
            content = np.fromfile(data, np.uint8)
            if hashlib.sha256(content.data).hexdigest() != told["sha256"]:
                raise ValueError("checksum does not match")
            return faiss.deserialize_index(content), dict(told["segments"])
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise DamagedStoreError(f"{data} is damaged ({error}): make it anew with `{self.again}`") from error

    def _save(self, index: Any, sizes: dict[str, int], seconds: float) -> None:
        content = faiss.serialize_index(index)
        told = {
            "made_with": self.made_with | _SETTINGS,
            "sha256": hashlib.sha256(content.data).hexdigest(),
            "segments": sizes,
            "seconds": seconds,
        }
        (self.folder / "graph.json").unlink(missing_ok=True)  # killed here, the graph is made anew
        replace_file(self.folder / "graph.faiss", content.data)
        replace_file(self.folder / "graph.json", json.dumps(told).encode())


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


def _lacks(known: _Known, segments: Sequence[SegmentRecord]) -> list[SegmentRecord]:
    return [segment for segment in segments if segment.name not in known[1]]


def _firsts(segments: Sequence[SegmentRecord]) -> list[int]:
    """First row of each segment."""
    return [0, *accumulate(segment.count for segment in segments)][:-1]
