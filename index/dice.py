"""The exact Dice index: the paper's loop over all tumours (003, §2.3), with the same answer thousands of times faster.

Two passes. The first bounds every tumour's score from the voxel counts of its blocks; the second compares, voxel by
voxel, only tumours whose bound reaches the k-th best score. Bound and score are computed with the same operations in
the same order, and rounding is monotone, so no tolerance is needed: ids and fp64 scores equal those of brute force.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedStoreError, InputError, OutputError
from ..store.integers import level_of
from ..store.lock import committer_lock
from ..store.reader import TumorStore
from ..store.segments import SegmentRecord
from . import dice_file
from .block_masks import DenseMask, SparseMask, block_grid, block_words
from .dice_file import Directory, data_path
from .protocol import Hits, Mask
from .segment_pack import FIELDS, add_bounds, intersections, offsets, pack, side_by_side

Progress = Callable[[int, int], None]
"""Called with (tumours done, tumours to do)."""


class DiceIndex:
    """Exact top-k by Dice(core) + Dice(whole) over a snapshot of a store.

    >>> hits = DiceIndex.open(store).search(core, whole, k=15)
    >>> hits.ids, hits.scores, hits.dice_core, hits.dice_whole

    A Dice of two empty masks is 0, as in the authors' code.
    """

    name = "dice"

    def __init__(self, store: TumorStore, data: NDArray[np.uint8], directory: Directory) -> None:
        self._store = store
        self._ids, self._deleted = store.ids_in_segments, np.flatnonzero(store.deleted)
        packed = [directory.segments[s.name] for s in store.segments]
        for record, segment in zip(store.segments, packed, strict=True):
            dice_file.check_head(_folder(store), data, record.name, segment)
        self._u16, self._u32, self._u64 = (data.view(t) for t in (np.uint16, np.uint32, np.uint64))
        self._table = np.array([offsets(s.layout, s.start) for s in packed], np.int64).reshape(len(packed), len(FIELDS))
        self._bases = np.concatenate([[0], np.cumsum(self._table[:, 0])]) if packed else np.zeros(1, np.int64)
        sizes = [self._u32[row[1] : row[1] + 2 * row[0]].reshape(2, -1).astype(np.int64) for row in self._table]
        self._sizes = np.concatenate(sizes, axis=1) if sizes else np.zeros((2, 0), np.int64)

    @classmethod
    def open(cls, store: TumorStore, progress: Progress | None = None) -> DiceIndex:
        """Open the index of a snapshot, adding the segments that it does not hold yet.

        Raises:
            DamagedStoreError: a byte of the index or of the store is not what was written.
            OutputError, StoreLockedError: segments are missing and the index cannot be written.
        """
        directory = build_index(store, progress=progress)
        return cls(store, dice_file.mapped(_folder(store), directory), directory)

    def __len__(self) -> int:
        return len(self._ids) - len(self._deleted)

    def search(self, core: Mask, whole: Mask, k: int = 15, *, distinct: bool = False) -> Hits:
        """Find the `k` tumours with the largest Dice(core) + Dice(whole); all of them where there are fewer.

        Args:
            core: boolean mask on the store's frame.
            whole: likewise.
            k: at least 1.
            distinct: take no more than the best tumour of each simulation.

        Raises:
            InputError: a mask is not boolean or not on the frame, or k < 1.
            DamagedStoreError: a compared tumour's masks are not what was written.
        """
        shape = self._store.frame.shape
        for label, mask in (("core", core), ("whole", whole)):
            if mask.shape != shape or mask.dtype != np.bool_:
                raise InputError(
                    f"{label} must be a boolean array on the store's frame {shape}, not {mask.dtype} {mask.shape}"
                )
        if k < 1:
            raise InputError(f"k must be at least 1, not {k}")
        queries = tuple(DenseMask.from_mask(np.ascontiguousarray(mask)) for mask in (core, whole))
        bounds = self._scores(self._bounds(queries), slice(None), queries)[0]
        bounds[self._deleted] = _NEVER
        words = np.stack([q.words for q in queries])
        runs = self._store.trajectories if distinct else None

        first = min(len(self), max(2 * k, _FIRST_LOOK))
        chosen = np.argpartition(-bounds, first - 1)[:first] if first else np.zeros(0, np.int64)
        shared = self._compare(chosen, words)
        scores, dices = self._scores(shared, chosen, queries)
        best = _best(chosen, scores, k, runs)
        worst = scores[best[-1]] if len(best) == k else 0.0
        rest = np.setdiff1d(np.flatnonzero(bounds >= worst), chosen, assume_unique=True)
        rest = rest[np.argsort(-bounds[rest], kind="stable")]
        while len(rest) and bounds[rest[0]] >= worst:  # equal bounds too: a lower id wins a tie
            now, rest = rest[:_NEXT_LOOK], rest[_NEXT_LOOK:]
            more, more_dices = self._scores(self._compare(now, words), now, queries)
            chosen = np.concatenate([chosen, now])
            scores, dices = np.concatenate([scores, more]), np.concatenate([dices, more_dices], axis=1)
            best = _best(chosen, scores, k, runs)
            worst = scores[best[-1]] if len(best) == k else 0.0
        return Hits(self._ids[chosen[best]], scores[best], dices[0, best], dices[1, best], len(chosen))

    def search_many(
        self,
        queries: Sequence[tuple[Mask, Mask]],
        k: int = 15,
        *,
        distinct: bool = False,
        threads: int | None = None,
    ) -> list[Hits]:
        """Answer many queries at once, on all cores by default; each answer is that of `search`.

        Args:
            queries: core and whole mask of each.
            k: see `search`.
            distinct: see `search`.
            threads: to use.
        """
        with ThreadPoolExecutor(threads or len(os.sched_getaffinity(0))) as pool:
            return list(pool.map(lambda masks: self.search(masks[0], masks[1], k, distinct=distinct), queries))

    def _bounds(self, queries: tuple[DenseMask, ...]) -> NDArray[np.uint32]:
        total = np.zeros((2, len(self._ids)), np.uint32)
        for m, query in enumerate(queries):
            add_bounds(self._u16, self._u32, self._table, m, query.counts, total[m])
        return total

    def _compare(self, positions: NDArray[np.int64], words: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Voxels shared with the query, (2, n)."""
        segments = np.searchsorted(self._bases, positions, side="right") - 1
        found = np.zeros((len(positions), 2), np.int64)
        rows = positions - self._bases[segments]
        bad = intersections(self._u16, self._u32, self._u64, self._table, segments, rows, words, found)
        if bad >= 0:
            raise DamagedStoreError(
                f"the masks of tumour {self._ids[positions[bad]]} are damaged in {data_path(_folder(self._store))}: "
                f"make the index anew with `gliodex index {self._store.path} --rebuild`"
            )
        return found.T

    def _scores(
        self, shared: NDArray[np.integer], which: slice | NDArray[np.int64], queries: tuple[DenseMask, ...]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Dice sum (n,) and the two Dice values (2, n); also of bounds, with the same rounding."""
        dices = np.empty(shared.shape)
        for m, query in enumerate(queries):
            sizes = self._sizes[m, which] + query.size
            dices[m] = np.divide(2.0 * shared[m], sizes, out=np.zeros(shared.shape[1]), where=sizes > 0)
        return dices[0] + dices[1], dices


def build_index(store: TumorStore, *, rebuild: bool = False, progress: Progress | None = None) -> Directory:
    """Bring the index file of a store up to a snapshot: only segments that it lacks are read.

    Raises:
        DamagedStoreError: the index on the disk is damaged (and `rebuild` is off), or a density is.
        OutputError, StoreLockedError: it cannot be written.
    """
    folder = _folder(store)
    made_with = _made_with(store)
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
            with ThreadPoolExecutor() as pool:
                for record in missing:
                    masks: list[tuple[SparseMask, SparseMask]] = []
                    for first in range(0, record.count, _TOGETHER):
                        rows = range(first, min(first + _TOGETHER, record.count))
                        found = list(pool.map(lambda row, r=record: _tumour_masks(store, r, row), rows))
                        masks += side_by_side(found)
                    data, layout = pack(masks, int(np.prod(block_grid(store.frame.shape))))
                    directory = dice_file.append(folder, directory, record.name, data, layout)
                    done += record.count
                    if progress:
                        progress(done, total)
    except OutputError as error:
        raise OutputError(
            f"{error}; the index of {store.path} lacks {len(_missing(store, directory))} segments: "
            "run `gliodex index` where the store can be written"
        ) from error
    return directory


def verify_index(store: TumorStore) -> list[str]:
    """List every damaged segment of the index on the disk; empty where there is none or no index."""
    folder = _folder(store)
    try:
        directory = Directory.load(folder, _made_with(store))
    except DamagedStoreError as error:
        return [str(error)]
    return [
        f"the index of segment {name} is damaged in {data_path(folder)}: "
        f"make it anew with `gliodex index {store.path} --rebuild`"
        for name in dice_file.damaged_segments(folder, directory)
    ]


_TOGETHER = 32
_NEVER = -1.0  # below every bound
_FIRST_LOOK = 64  # compared before any bound is known to be too low; best scores are nearly always among them
_NEXT_LOOK = 64


def _best(
    chosen: NDArray[np.int64], scores: NDArray[np.float64], k: int, runs: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Places of the `k` best scores, best first, equal ones by id; of each run only the best, where runs are given."""
    order = np.lexsort((chosen, -scores))
    if runs is not None:
        order = order[np.sort(np.unique(runs[chosen[order]], return_index=True)[1])]
    return np.asarray(order[:k])


def _folder(store: TumorStore) -> Path:
    return store.derived / "dice"


def _made_with(store: TumorStore) -> dict[str, object]:
    return {"layout": dice_file.LAYOUT, "frame": store.manifest.frame, "thresholds": store.thresholds}


def _missing(store: TumorStore, directory: Directory) -> list[SegmentRecord]:
    return [record for record in store.segments if record.name not in directory.segments]


def _tumour_masks(store: TumorStore, record: SegmentRecord, row: int) -> tuple[SparseMask, SparseMask]:
    segment = store.segment(record)
    integers = segment.integers(row)
    box = tuple(int(v) for v in segment.table[row, 9:15])
    core, whole = (
        SparseMask.from_dense(
            DenseMask.from_words(block_words(integers, level_of(store.thresholds[name]), box[:3], box[3:]))
        )
        for name in ("core", "whole")
    )
    return core, whole
