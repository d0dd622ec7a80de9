"""What a network sees of two outlines: a crop around the tumour, as fine as its size allows, and their moments.

The crop lies around the centre of the whole, its cells are cubes of whole voxels, just large enough that the tumour
fits: a small tumour is seen as finely as a large one. Every cell says how much of it lies in each outline, and what
tissue is there. In an atlas that is its own mirror image, a tumour of the right half is looked at as the mirror image
of one of the left: what a network learns of one half holds for the other.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...store.atlas import Atlas
from ...store.cores import available_cores
from ..training.density_crops import LevelBoxes, Levels

Mask = NDArray[np.bool_]

MOMENTS = 26
"""Numbers of both outlines, see `Views`."""

CHANNELS = 4
"""Of the cells: whole, core, white matter, grey matter."""


class Views(NamedTuple):
    """What networks see of n pairs of outlines.

    Args:
        cells: shares of each cell's volume, (n, `CHANNELS`, cells, cells, cells) float32; or of the whole frame
            .666 core + .333 whole, (n, 1, *frame) (Ezhov et al. 2023).
        moments: (n, `MOMENTS`) float32. Of the whole, then of the core, each 11: logarithm of voxels, centre (of the
            core from that of the whole), logarithm of the spread along each axis, correlations xy, xz and yz, share in
            white matter; 0 of an empty core. Then where the crop begins as seen from the centre, and voxels a cell.
        centre: of the whole in voxels, mirrored where `mirrored`, (n, 3); of the frame where all of it is looked at.
        mirrored: along the first axis, (n,).
    """

    cells: NDArray[np.float32]
    moments: NDArray[np.float32]
    centre: NDArray[np.float64]
    mirrored: NDArray[np.bool_]


class Viewer:
    """Looks at outlines on the frame of an atlas.

    Args:
        atlas: of the tissue.
        cells: of the crop along each axis; 0 looks at the whole frame, voxel by voxel, and never in a mirror.
    """

    def __init__(self, atlas: Atlas, cells: int) -> None:
        self.cells, self.frame = cells, atlas.frame
        self.symmetric = bool(cells) and is_symmetric(atlas)
        self._white = np.ascontiguousarray(atlas.white)
        self._sums = np.zeros((2, *(n + 1 for n in atlas.frame.shape)))
        for sums, fractions in zip(self._sums, (atlas.white, atlas.grey), strict=True):
            sums[1:, 1:, 1:] = fractions.astype(np.float64).cumsum(0).cumsum(1).cumsum(2)

    def of_masks(self, core: Mask, whole: Mask) -> Views:
        """Look at one pair of masks on the frame."""
        levels = (whole.astype(np.uint8) + (core & whole))[None]
        starts = np.array([0, levels.size], np.int64)
        low, shape = np.zeros((1, 3), np.int64), np.array([whole.shape], np.int64)
        first, second = np.array([1], np.int64), np.array([2], np.int64)
        return self._views(levels.ravel(), starts, low, shape, first, second)

    def of_boxes(
        self, boxes: LevelBoxes, tumours: NDArray[np.int64], whole: NDArray[np.int64], core: NDArray[np.int64]
    ) -> Views:
        """Look at tumours outlined at these levels of the whole and of the core, (n,) each."""
        parts = np.array_split(np.arange(len(tumours)), min(available_cores(), max(1, len(tumours) // _FEW)))
        found = list(
            _pool().map(
                lambda part: self._views(
                    boxes.levels,
                    boxes.starts[tumours[part]],
                    boxes.low[tumours[part]],
                    boxes.shape[tumours[part]],
                    whole[part],
                    core[part],
                ),
                parts,
            )
        )
        return Views(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))

    def _views(
        self,
        levels: Levels,
        starts: NDArray[np.int64],
        low: NDArray[np.int64],
        shape: NDArray[np.int64],
        whole: NDArray[np.int64],
        core: NDArray[np.int64],
    ) -> Views:
        count, g = len(low), self.cells
        views = Views(
            np.zeros((count, CHANNELS, g, g, g) if g else (count, 1, *self.frame.shape), np.float32),
            np.zeros((count, MOMENTS), np.float32),
            np.zeros((count, 3)),
            np.zeros(count, np.bool_),
        )
        for n in range(count):
            box = levels[starts[n] :][: shape[n].prod()].reshape(shape[n])
            found = _measured(box, low[n], whole[n], core[n], self._white, self.symmetric, views.moments[n])
            views.centre[n], views.mirrored[n] = found[0:3], found[3] > 0
            if not g:
                views.centre[n] = (np.array(self.frame.shape) - 1) / 2
                i, j, k = (slice(a, a + size) for a, size in zip(low[n], box.shape, strict=True))
                views.cells[n, 0, i, j, k] = _SHOWN[0] * (box >= whole[n]) + _SHOWN[1] * (box >= core[n])
                continue
            pool = max(1, -(-int(_ROOM * found[4] + _MARGIN) // g))
            first = np.floor(views.centre[n] + 0.5).astype(np.int64) - g * pool // 2
            views.moments[n, -4:-1], views.moments[n, -1] = first - views.centre[n], pool
            size = self.frame.shape[0] if views.mirrored[n] else 0
            _fill_outlines(box, low[n], whole[n], core[n], size, first, pool, views.cells[n])
            _fill_tissue(self._sums, first, pool, views.cells[n])
        return views


def is_symmetric(atlas: Atlas) -> bool:
    """Whether the tissue of an atlas is its own mirror image along the first axis of the frame."""
    return all(
        bool(np.abs(values - values[::-1]).max() <= _ASYMMETRY) for values in (atlas.white, atlas.grey, atlas.csf)
    )


@njit(cache=True, nogil=True)
def _measured(
    box: NDArray[np.uint8],
    low: NDArray[np.int64],
    whole: int,
    core: int,
    white: NDArray[np.float32],
    symmetric: bool,
    moments: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Write the moments of both outlines; returns the centre of the whole, whether mirrored, and the longest side."""
    nx, ny, nz = box.shape
    size = white.shape[0]
    sums = np.zeros((2, 11))
    first, last = np.full(3, 2**30), np.full(3, -1)
    for x in range(nx):
        for y in range(ny):
            for z in range(nz):
                level = box[x, y, z]
                if level < whole:
                    continue
                i, j, k = x + low[0], y + low[1], z + low[2]
                for axis, at in enumerate((i, j, k)):
                    first[axis], last[axis] = min(first[axis], at), max(last[axis], at)
                for outline in range(2 if level >= core else 1):
                    row = sums[outline]
                    row[0] += 1
                    row[1] += i
                    row[2] += j
                    row[3] += k
                    row[4] += i * i
                    row[5] += j * j
                    row[6] += k * k
                    row[7] += i * j
                    row[8] += i * k
                    row[9] += j * k
                    row[10] += white[i, j, k]
    found = np.zeros(5)
    for axis in range(3):
        found[axis] = sums[0, 1 + axis] / sums[0, 0] if sums[0, 0] else (white.shape[axis] - 1) / 2
        found[4] = max(found[4], last[axis] - first[axis] + 1)
    mirrored = symmetric and found[0] > (size - 1) / 2
    for outline in range(2):
        row, into = sums[outline], moments[11 * outline : 11 * outline + 11]
        if row[0] == 0:
            continue
        into[0] = np.log(row[0])
        centre = row[1:4] / row[0]
        spread = np.sqrt(np.maximum(row[4:7] / row[0] - centre**2, 0.0) + _LEAST_VARIANCE)
        into[4:7] = np.log(spread)
        into[7] = (row[7] / row[0] - centre[0] * centre[1]) / (spread[0] * spread[1])
        into[8] = (row[8] / row[0] - centre[0] * centre[2]) / (spread[0] * spread[2])
        into[9] = (row[9] / row[0] - centre[1] * centre[2]) / (spread[1] * spread[2])
        into[10] = row[10] / row[0]
        into[1:4] = centre - found[0:3] * outline
        if mirrored:
            into[1] = -into[1] if outline else size - 1 - into[1]
            into[7], into[8] = -into[7], -into[8]
    if mirrored:
        found[0], found[3] = size - 1 - found[0], 1.0
    return found


@njit(cache=True, nogil=True)
def _fill_outlines(
    box: NDArray[np.uint8],
    low: NDArray[np.int64],
    whole: int,
    core: int,
    mirror: int,
    first: NDArray[np.int64],
    pool: int,
    cells: NDArray[np.float32],
) -> None:
    """Write shares in both outlines; `mirror` is the frame's size where it is looked at in a mirror, else 0."""
    count, share = cells.shape[1], np.float32(1.0 / pool**3)
    for x in range(box.shape[0]):
        i = mirror - 1 - x - low[0] if mirror else x + low[0]
        a = (i - first[0]) // pool
        if a < 0 or a >= count:
            continue
        for y in range(box.shape[1]):
            b = (y + low[1] - first[1]) // pool
            if b < 0 or b >= count:
                continue
            for z in range(box.shape[2]):
                c = (z + low[2] - first[2]) // pool
                level = box[x, y, z]
                if level < whole or c < 0 or c >= count:
                    continue
                cells[0, a, b, c] += share
                if level >= core:
                    cells[1, a, b, c] += share


@njit(cache=True, nogil=True)
def _fill_tissue(sums: NDArray[np.float64], first: NDArray[np.int64], pool: int, cells: NDArray[np.float32]) -> None:
    """Write shares of white and of grey matter, by what both sum up to before each voxel along all axes."""
    count, share = cells.shape[1], np.float32(1.0 / pool**3)
    ends = np.empty((3, count + 1), np.int64)
    for axis in range(3):
        for n in range(count + 1):
            ends[axis, n] = min(max(first[axis] + n * pool, 0), sums.shape[1 + axis] - 1)
    for tissue in range(2):
        table, into = sums[tissue], cells[2 + tissue]
        for a in range(count):
            i, ii = ends[0, a], ends[0, a + 1]
            for b in range(count):
                j, jj = ends[1, b], ends[1, b + 1]
                k = ends[2, 0]
                before = table[ii, jj, k] - table[i, jj, k] - table[ii, j, k] + table[i, j, k]
                for c in range(count):
                    k = ends[2, c + 1]
                    after = table[ii, jj, k] - table[i, jj, k] - table[ii, j, k] + table[i, j, k]
                    into[a, b, c] = (after - before) * share
                    before = after


def _pool() -> ThreadPoolExecutor:
    pool: ThreadPoolExecutor | None = getattr(_held, "pool", None)
    if pool is None:
        pool = _held.pool = ThreadPoolExecutor(available_cores())
    return pool


_held = threading.local()
_ASYMMETRY = 1e-4
_LEAST_VARIANCE = 0.1  # voxels²: of one plane of voxels
_ROOM, _MARGIN = 1.25, 4  # of the crop: times the tumour's longest side, and voxels besides
_SHOWN = np.float32(0.333), np.float32(0.666)  # of FLAIR's outline, and what T1Gd's adds
_FEW = 16  # tumours that are no work for another thread
