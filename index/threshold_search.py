"""Search that finds the thresholds too: nobody knows at which density MRI shows an outline (Ezhov et al. 2023).

For a tumour, Dice(core) is taken at the best level of `CORE_RANGE` and Dice(whole) at the best of `WHOLE_RANGE`, of all
3,278 that a store tells apart. One pass over a density gives both at every level, from histograms inside the query and
in all. Which tumours to look at, bounds from block counts at some levels tell: between two of these a mask is no larger
than at the lower and no smaller than at the higher. So ids, scores and thresholds equal those of brute force.
"""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..store.cores import available_cores
from ..store.quantization import LEVELS, level_of
from ..store.reader import TumorStore
from ..store.segments import SegmentRecord
from .block_histograms import (
    CORE_LEVELS,
    WHOLE_LEVELS,
    LevelCounts,
    SegmentCounts,
    add_bounds,
    pack,
    side_by_side,
    unpack,
)
from .block_masks import DenseMask, block_grid
from .derived_cache import Derived, Progress
from .protocol import Hits, Mask, best_of, check_query
from .threshold_sweep import LevelDice, dice_at_best_levels


@dataclass(frozen=True)
class _Query:
    masks: NDArray[np.uint8]  # bit 0 core, bit 1 whole
    sizes: tuple[int, int]
    blocks: tuple[DenseMask, DenseMask]


class ThresholdSearch:
    """Exact top-k by the best Dice(core) + Dice(whole) over all thresholds.

    >>> hits = ThresholdSearch.open(store).search(core, whole, k=15)
    >>> hits.ids, hits.scores, hits.thresholds

    Of levels with equal Dice, the one nearest to the store's own threshold is told, of two the lower.
    """

    name = "dice"

    def __init__(self, store: TumorStore, counts: list[SegmentCounts]) -> None:
        self._store, self._counts = store, counts
        self._ids, self._left_out = store.ids_in_segments, np.flatnonzero(store.left_out)
        self._bases = np.cumsum([0] + [record.count for record in store.segments])
        self._usual = level_of(store.thresholds["core"]), level_of(store.thresholds["whole"])

    @classmethod
    def open(cls, store: TumorStore, progress: Progress | None = None) -> ThresholdSearch:
        """Open the search of a snapshot, adding the segments whose counts it does not hold yet.

        Raises:
            DamagedStoreError: a byte of the counts or of the store is not what was written.
            OutputError, StoreLockedError: segments are missing and the counts cannot be written.
        """
        data, packed = LEVEL_COUNTS.open(store, progress)
        blocks = _blocks(store)
        return cls(store, [unpack(data[s.start : s.start + s.bytes], s.layout, blocks) for s in packed])

    def __len__(self) -> int:
        return len(self._ids) - len(self._left_out)

    def search(self, core: Mask, whole: Mask, k: int = 15, *, distinct: bool = False) -> Hits:
        """Find the `k` tumours with the largest sum of both best Dice values; see `Retriever.search`.

        Returns:
            Hits with the thresholds that were found; `evaluated` counts the densities that were read.

        Raises:
            InputError: a mask is not boolean or not on the frame, or k < 1.
            DamagedStoreError: a density that was read is not what was written.
        """
        check_query(self._store.frame.shape, core, whole, k)
        core, whole = np.ascontiguousarray(core), np.ascontiguousarray(whole)
        blocks = DenseMask.from_mask(core), DenseMask.from_mask(whole)
        query = _Query(core + np.uint8(2) * whole, (blocks[0].size, blocks[1].size), blocks)
        runs = self._store.trajectories if distinct else None
        threads = available_cores()
        with ThreadPoolExecutor(threads) as pool:
            found_bounds = list(pool.map(lambda counts: _bounds(counts, query), self._counts))
            bounds = np.concatenate([np.zeros(0), *found_bounds])
            bounds[self._left_out] = _NEVER
            order = np.argsort(-bounds, kind="stable")[: len(self)]
            found: list[LevelDice] = []
            scores, best, worst = np.zeros(0), np.zeros(0, np.int64), _NEVER
            while len(found) < len(order) and bounds[order[len(found)]] >= worst:  # a lower id wins a tie
                now = order[len(found) : len(found) + _TOGETHER * threads]
                found += pool.map(lambda position: self._at_best(position, query), now.tolist())
                scores = np.array([each.core + each.whole for each in found])
                best = best_of(order[: len(found)], scores, k, runs)
                worst = scores[best[-1]] if len(best) == k else _NEVER
        columns = np.array(found, np.float64).reshape(-1, 4)[best].T
        return Hits(self._ids[order[best]], scores[best], columns[0], columns[1], len(found), columns[2:] / LEVELS)

    def _at_best(self, position: int, query: _Query) -> LevelDice:
        n = int(np.searchsorted(self._bases, position, side="right")) - 1
        segment, row = self._store.segment(self._store.segments[n]), position - int(self._bases[n])
        return dice_at_best_levels(segment.integers(row), segment.box(row), query.masks, query.sizes, self._usual)


_NEVER = -1.0  # below every bound
_TOGETHER = 16  # densities that a thread reads before bounds are looked at again
_COUNTED_TOGETHER = 32


def _pack_segment(store: TumorStore, record: SegmentRecord, pool: Executor) -> tuple[bytes, dict[str, int]]:
    def counts(row: int) -> tuple[LevelCounts, LevelCounts]:
        segment = store.segment(record)
        integers, box = segment.integers(row), segment.box(row)
        return LevelCounts.of(integers, CORE_LEVELS, *box), LevelCounts.of(integers, WHOLE_LEVELS, *box)

    counted: list[tuple[LevelCounts, LevelCounts]] = []
    for first in range(0, record.count, _COUNTED_TOGETHER):
        found = list(pool.map(counts, range(first, min(first + _COUNTED_TOGETHER, record.count))))
        cores, wholes = (side_by_side([pair[m] for pair in found]) for m in range(2))
        counted += zip(cores, wholes, strict=True)
    return pack(counted, _blocks(store))


LEVEL_COUNTS = Derived(
    "thresholds", {"layout": "level counts 1", "levels": [*CORE_LEVELS, *WHOLE_LEVELS]}, _pack_segment
)
"""Block counts of all tumours at the levels that bounds are taken from."""


def _blocks(store: TumorStore) -> int:
    return int(np.prod(block_grid(store.frame.shape)))


def _bounds(counts: SegmentCounts, query: _Query) -> NDArray[np.float64]:
    """No score of a segment's tumours is larger, (n,)."""
    bounds = np.zeros(len(counts.sizes[0]))
    for m, mask in enumerate(query.blocks):
        shared = np.zeros(counts.sizes[m].shape, np.uint32)
        add_bounds(counts.postings[m], counts.rows[m], counts.counts[m], mask.counts, shared)
        _add_largest_dice(shared, counts.sizes[m], mask.size, bounds)
    return bounds


@njit(cache=True, nogil=True)
def _add_largest_dice(
    shared: NDArray[np.uint32], sizes: NDArray[np.uint32], query_size: int, bounds: NDArray[np.float64]
) -> None:
    """Add the largest Dice that a tumour can have at any level.

    From one kept level up to the next, a mask of size a shares at most min(a, what the lower one may share) voxels:
    2 min(a, s) / (a + q) is largest where a is nearest to s. Rounding is monotone, so no tolerance is needed.

    Args:
        shared: bounds on the voxels shared at each kept level, (n, L).
        sizes: voxels at each, (n, L), falling.
        query_size: voxels of the query.
        bounds: (n,), added to.
    """
    for row in range(sizes.shape[0]):
        largest = 0.0
        for level in range(sizes.shape[1]):
            most = np.int64(sizes[row, level])
            least = np.int64(sizes[row, min(level + 1, sizes.shape[1] - 1)])
            size = min(max(np.int64(shared[row, level]), least), most)
            if size + query_size > 0:
                largest = max(largest, 2.0 * min(np.int64(shared[row, level]), size) / (size + query_size))
        bounds[row] += largest
