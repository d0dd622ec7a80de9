"""Which part of each row a tumour is alive in: a fifth of its box, the rest is ahead of its front or no tissue.

A row is the line of cells along z at one (x, y). Its part is kept as [first, stop), empty where stop <= first. Parts
only ever widen, so a cell outside them has never been written.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

LANES = 16
"""Parts of rows begin and end at multiples of this many cells: one AVX-512 register of float32."""

TAIL = np.float32(1e-8)
"""Density below which a cell does not count as living: what may be missed at the edge."""

NOWHERE = np.int32(2**30)
"""Where the part of a row begins that has none: beyond all cells, and far from overflowing."""

Rows = NDArray[np.int32]

Bounds = tuple[int, int, int, int]
"""First x, one past the last, first y, one past the last of the rows that matter."""


def extent_of_rows(mask: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """First cell of each row that is set, and one past the last; (z, 0) for a row that has none."""
    depth, some = mask.shape[2], mask.any(axis=2)
    first = np.where(some, mask.argmax(axis=2), depth)
    stop = np.where(some, depth - mask[:, :, ::-1].argmax(axis=2), 0)
    return first.astype(np.int32), stop.astype(np.int32)


@njit(cache=True, nogil=True)
def bounds_of(first: Rows, stop: Rows, within: Bounds) -> Bounds:
    """Return the smallest bounds that hold all rows with a part, looking only inside `within`."""
    x_first, x_stop, y_first, y_stop = within[1], within[0], within[3], within[2]
    for x in range(within[0], within[1]):
        for y in range(within[2], within[3]):
            if stop[x, y] > first[x, y]:
                x_first, x_stop = min(x_first, x), max(x_stop, x + 1)
                y_first, y_stop = min(y_first, y), max(y_stop, y + 1)
    return x_first, max(x_first, x_stop), y_first, max(y_first, y_stop)


@njit(cache=True, nogil=True)
def living(u: NDArray[np.float32], first: Rows, stop: Rows, bounds: Bounds, live_first: Rows, live_stop: Rows) -> int:
    """Write the extent of cells above `TAIL` in each row, looking only inside [first, stop) and `bounds`.

    Returns:
        Cells in the extents together.
    """
    depth, cells = np.int32(u.shape[2]), 0
    at, flat = np.arange(depth).astype(np.int32), u.ravel()
    for x in range(bounds[0], bounds[1]):
        for y in range(bounds[2], bounds[3]):
            row, low, last = uint64((x * u.shape[1] + y) * depth), depth, np.int32(-1)
            for z in range(uint64(first[x, y]), uint64(max(first[x, y], stop[x, y]))):  # without branches: vectorised
                alive = flat[row + z] > TAIL
                low = min(low, at[z] if alive else depth)
                last = max(last, at[z] if alive else np.int32(-1))
            live_first[x, y], live_stop[x, y] = low, last + 1
            cells += max(0, int(last) + 1 - int(low))
    return cells


@njit(cache=True, nogil=True)
def sides_reached(
    live_first: Rows, live_stop: Rows, bounds: Bounds, margin: int, depth: int, reached: NDArray[np.bool_]
) -> None:
    """Tell for the six sides (x low, x high, y low, ...) of a box whether rows' parts around life would touch it.

    They extend `margin` cells from life, along z up to whole lanes. A cell beside the side of a box loses nothing
    through it, another one loses a little to cells that are left out: what a tumour becomes must not depend on the
    box. The first and last x planes are ghosts, which do not count.
    """
    nx, ny = live_first.shape
    x_first, x_stop, y_first, y_stop = bounds_of(live_first, live_stop, bounds)
    reached[:] = False
    if x_stop == x_first:
        return
    reached[0], reached[1] = x_first - margin <= 1, x_stop + margin >= nx - 1
    reached[2], reached[3] = y_first - margin <= 0, y_stop + margin >= ny
    for x in range(x_first, x_stop):
        for y in range(y_first, y_stop):
            reached[4] |= live_first[x, y] < LANES + margin
            reached[5] |= live_stop[x, y] > depth - LANES - margin


@njit(cache=True, nogil=True)
def widen(
    live_first: Rows,
    live_stop: Rows,
    margin: int,
    tissue_first: Rows,
    tissue_stop: Rows,
    bounds: Bounds,
    first: Rows,
    stop: Rows,
) -> tuple[int, Bounds]:
    """Widen [first, stop) to all tissue within `margin` cells of life.

    Returns:
        How many cells the rows now hold, and the new bounds.
    """
    nx, ny = live_first.shape
    x_first, x_stop = max(0, bounds[0] - margin), min(nx, bounds[1] + margin)
    y_first, y_stop = max(0, bounds[2] - margin), min(ny, bounds[3] + margin)
    near_first, near_stop = _within(
        live_first[x_first:x_stop, y_first:y_stop], live_stop[x_first:x_stop, y_first:y_stop], margin
    )
    cells, ahead, below, lanes = 0, np.int32(margin), np.int32(-LANES), np.int32(LANES - 1)
    for x in range(x_first, x_stop):
        for y in range(y_first, y_stop):
            low = max(near_first[x - x_first, y - y_first] - ahead, tissue_first[x, y])
            high = min(near_stop[x - x_first, y - y_first] + ahead, tissue_stop[x, y])
            if high > low:
                first[x, y] = min(first[x, y], low & below)
                stop[x, y] = max(stop[x, y], (high + lanes) & below)
            cells += max(0, stop[x, y] - first[x, y])
    return cells, bounds_of(first, stop, (x_first, x_stop, y_first, y_stop))


@njit(cache=True, nogil=True)
def _within(first: Rows, stop: Rows, margin: int) -> tuple[Rows, Rows]:
    """Return the extent of life in all rows up to `margin` from each, along x and along y.

    Found by doubling: first over [i, i + 1], then over [i, i + 3], and so on to [i, i + margin]; that of
    [i - margin, i + margin] is the union of two of these. Empty rows between the lines, and before and behind all,
    make every step one pass over flat arrays.
    """
    nx, ny = first.shape
    lines, width = nx + 2 * margin, ny + margin
    here, there = _empty_rows(lines, width), _empty_rows(lines, width)
    here[0][margin : margin + nx, :ny], here[1][margin : margin + nx, :ny] = first, stop
    for stride in (1, width):
        reach = 0
        while reach < margin:
            shift = min(reach + 1, margin - reach)
            _join(here, there, uint64(shift * stride), uint64(0))
            here, there, reach = there, here, reach + shift
        _join(here, there, uint64(0), uint64(margin * stride))
        here, there = there, here
    return here[0][margin : margin + nx, :ny], here[1][margin : margin + nx, :ny]


@njit(cache=True, nogil=True)
def _empty_rows(lines: int, width: int) -> tuple[Rows, Rows]:
    return np.full((lines, width), NOWHERE, np.int32), np.zeros((lines, width), np.int32)


@njit(cache=True, nogil=True)
def _join(here: tuple[Rows, Rows], there: tuple[Rows, Rows], ahead: int, behind: int) -> None:
    """Join each row's extent with that of the one so many further on or back; there is none beyond the ends."""
    first, stop = here[0].ravel(), here[1].ravel()
    low, high = there[0].ravel(), there[1].ravel()
    size = uint64(first.size)
    low[:behind], high[:behind] = first[:behind], stop[:behind]
    low[size - ahead :], high[size - ahead :] = first[size - ahead :], stop[size - ahead :]
    for i in range(behind, size - ahead):
        low[i] = min(first[i], first[i + ahead - behind])
        high[i] = max(stop[i], stop[i + ahead - behind])
