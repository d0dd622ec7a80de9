"""How many voxels of each block of a tumour reach each of some levels: what bounds a search over thresholds.

Per tumour and mask, for the levels of `CORE_LEVELS` or `WHOLE_LEVELS`, with n tumours, g blocks and L levels, all of a
segment as one run of bytes:

    sizes      (n, L) uint32      voxels that reach a level
    postings   (g + 1) uint32     where a block's postings begin
    rows       (P) uint16         tumours that have the block ...
    counts     (P, L) uint8       ... and half as many of its voxels as reach each level, rounded up
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit, uint32
from numpy.typing import NDArray

from ..store.quantization import LEVELS
from .block_masks import BLOCK, block_grid
from .mask_packing import together


def _evenly_along_a_front(lowest: float, highest: float, count: int) -> tuple[int, ...]:
    """Integer levels of about equal distance from each other in space: a front falls off like a logistic curve."""
    places = np.linspace(np.log(lowest / (1 - lowest)), np.log(highest / (1 - highest)), count)
    return tuple(int(v) for v in np.ceil(LEVELS / (1 + np.exp(-places)) - 1e-9))


CORE_RANGE, WHOLE_RANGE = (0.5, 0.85), (0.05, 0.5)
"""Densities at which T1Gd and FLAIR may show a tumour's outline (Ezhov et al. 2023, Methods: simulations)."""

CORE_LEVELS, WHOLE_LEVELS = _evenly_along_a_front(*CORE_RANGE, 16), _evenly_along_a_front(*WHOLE_RANGE, 24)
"""Levels whose block counts are kept; what lies between two is bounded by both."""

_FULL = BLOCK**3


@dataclass(frozen=True)
class LevelCounts:
    """Of one tumour and one mask.

    Args:
        blocks: that reach the lowest level, ascending, (b,) int64.
        counts: half the voxels of each that reach each level, rounded up, (b, L) uint8.
        sizes: voxels of the tumour that reach each level, (L,) uint32.
    """

    blocks: NDArray[np.int64]
    counts: NDArray[np.uint8]
    sizes: NDArray[np.uint32]

    @classmethod
    def of(
        cls,
        integers: NDArray[np.uint16],
        levels: tuple[int, ...],
        low: tuple[int, int, int],
        high: tuple[int, int, int],
    ) -> LevelCounts:
        """Count a density, looking only at the box from `low` up to `high`."""
        reached = np.searchsorted(levels, np.arange(LEVELS + 1), side="right").astype(np.uint8)
        grid = block_grid((integers.shape[0], integers.shape[1], integers.shape[2]))
        found = np.zeros((int(np.prod(grid)), len(levels) + 1), np.uint16)
        _count_by_block(integers, reached, low, high, grid, found)
        at_least = found[:, :0:-1].cumsum(axis=1, dtype=np.uint16)[:, ::-1]
        blocks = np.flatnonzero(at_least[:, 0])
        halves = np.minimum((at_least[blocks] + 1) // 2, 255)
        return cls(blocks, halves.astype(np.uint8), at_least.sum(axis=0, dtype=np.uint32))


def side_by_side(counted: Sequence[LevelCounts]) -> list[LevelCounts]:
    """Copy counts at the same levels into a few large arrays: see `segment_pack.together`."""
    fields = [together([getattr(c, name) for c in counted]) for name in ("blocks", "counts", "sizes")]
    return [LevelCounts(*parts) for parts in zip(*fields, strict=True)]


def pack(tumours: list[tuple[LevelCounts, LevelCounts]], blocks: int) -> tuple[bytes, dict[str, int]]:
    """Lay out the (core, whole) counts of a segment's tumours.

    Returns:
        The bytes, all of them checked when the file is opened, and the layout: byte offset of each array, and `rows`.
    """
    if len(tumours) > 2**16:
        raise ValueError(f"a segment of {len(tumours)} tumours is too large for the index: at most {2**16}")
    layout, out = {"rows": len(tumours)}, bytearray()
    for m, name in enumerate(("core", "whole")):
        chosen = [pair[m] for pair in tumours]
        block = np.concatenate([c.blocks for c in chosen])
        row = np.repeat(np.arange(len(chosen)), [len(c.blocks) for c in chosen])
        order = np.argsort(block, kind="stable")
        arrays = {
            "sizes": np.array([c.sizes for c in chosen], "<u4"),
            "postings": np.searchsorted(block[order], np.arange(blocks + 1)).astype("<u4"),
            "rows": row[order].astype("<u2"),
            "counts": np.concatenate([c.counts for c in chosen])[order],
        }
        for field, values in arrays.items():
            layout[f"{name} {field}"] = len(out)
            out += np.ascontiguousarray(values).tobytes()
            out += b"\0" * (-len(out) % 8)
    return bytes(out), layout | {"head": len(out)}


@dataclass(frozen=True)
class SegmentCounts:
    """Of a segment's tumours: what `pack` laid out; each a pair for core and whole."""

    sizes: tuple[NDArray[np.uint32], NDArray[np.uint32]]
    postings: tuple[NDArray[np.uint32], NDArray[np.uint32]]
    rows: tuple[NDArray[np.uint16], NDArray[np.uint16]]
    counts: tuple[NDArray[np.uint8], NDArray[np.uint8]]


def unpack(data: NDArray[np.uint8], layout: dict[str, int], blocks: int) -> SegmentCounts:
    """Find the arrays in the bytes of a segment."""
    found: dict[str, list[NDArray[Any]]] = {field: [] for field in ("sizes", "postings", "rows", "counts")}
    for name, levels in (("core", CORE_LEVELS), ("whole", WHOLE_LEVELS)):
        width = len(levels)

        def at(field: str, dtype: str, items: int, name: str = name) -> NDArray[Any]:
            begin = layout[f"{name} {field}"]
            return data[begin : begin + items * np.dtype(dtype).itemsize].view(dtype)

        postings = at("postings", "<u4", blocks + 1)
        total = int(postings[-1])
        found["sizes"].append(at("sizes", "<u4", layout["rows"] * width).reshape(-1, width))
        found["postings"].append(postings)
        found["rows"].append(at("rows", "<u2", total))
        found["counts"].append(at("counts", "u1", total * width).reshape(-1, width))
    return SegmentCounts(**{field: (pair[0], pair[1]) for field, pair in found.items()})


@njit(cache=True, nogil=True)
def _count_by_block(
    integers: NDArray[np.uint16],
    reached: NDArray[np.uint8],
    low: tuple[int, int, int],
    high: tuple[int, int, int],
    grid: tuple[int, int, int],
    found: NDArray[np.uint16],
) -> None:
    """Count the voxels of each block by how many of the levels they reach."""
    for x in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            line = ((x >> 3) * grid[1] + (y >> 3)) * grid[2]
            for z in range(low[2], high[2]):
                found[line + (z >> 3), reached[integers[x, y, z]]] += 1


@njit(cache=True, nogil=True)
def add_bounds(
    postings: NDArray[np.uint32],
    rows: NDArray[np.uint16],
    counts: NDArray[np.uint8],
    query_counts: NDArray[np.uint16],
    total: NDArray[np.uint32],
) -> None:
    """Add to `total` (tumours of a segment, L) bounds on the voxels shared with the query at each level."""
    for block in np.flatnonzero(query_counts):
        limit = uint32(query_counts[block])
        for p in range(postings[block], postings[block + 1]):
            row = total[rows[p]]
            for level in range(row.size):
                half = uint32(counts[p, level])
                at_most = uint32(_FULL) if half == uint32(255) else half + half
                row[level] += min(at_most, limit)
