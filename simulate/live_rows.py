"""Which part of each row a tumour is alive in: a fifth of its box, the rest is ahead of its front or no tissue.

A row is the line of cells along z at one (x, y). Its part is kept as [first, stop), empty where stop <= first. Parts
only ever widen, so a cell outside them has never been written.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

LANES = 16
"""Parts of rows begin and end at multiples of this many cells: one AVX-512 register of float32."""

TAIL = np.float32(1e-8)
"""Density below which a cell does not count as living: what may be missed at the edge."""

Rows = NDArray[np.int32]
_Line = NDArray[np.int32]

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
    depth, cells = u.shape[2], 0
    for x in range(bounds[0], bounds[1]):
        for y in range(bounds[2], bounds[3]):
            low, high = first[x, y], stop[x, y]
            while low < high and not u[x, y, low] > TAIL:
                low += 1
            while high > low and not u[x, y, high - 1] > TAIL:
                high -= 1
            live_first[x, y] = low if high > low else depth
            live_stop[x, y] = high if high > low else 0
            cells += max(0, high - low)
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
    near_first = live_first[x_first:x_stop, y_first:y_stop].copy()
    near_stop = live_stop[x_first:x_stop, y_first:y_stop].copy()
    _reach_along_x(near_first, near_stop, margin)
    from_first, from_stop = np.empty(y_stop - y_first, np.int32), np.empty(y_stop - y_first, np.int32)
    cells = 0
    for x in range(x_first, x_stop):
        line_first, line_stop = near_first[x - x_first], near_stop[x - x_first]
        _reach_along(line_first, line_stop, margin, from_first, from_stop)
        for y in range(y_first, y_stop):
            low = max(line_first[y - y_first] - margin, tissue_first[x, y])
            high = min(line_stop[y - y_first] + margin, tissue_stop[x, y])
            some = high > low
            first[x, y] = min(first[x, y], low & -LANES if some else first[x, y])
            stop[x, y] = max(stop[x, y], (high + LANES - 1) & -LANES if some else stop[x, y])
            cells += max(0, stop[x, y] - first[x, y])
    return cells, bounds_of(first, stop, (x_first, x_stop, y_first, y_stop))


# The extent of life within `margin` rows is found by doubling: first over [i, i + 1], then over [i, i + 3], and so on
# to [i, i + margin]; that of [i - margin, i + margin] is the union of two of these.


@njit(cache=True, nogil=True)
def _reach_along_x(first: Rows, stop: Rows, margin: int) -> None:
    nx, reach = first.shape[0], 0
    while reach < margin:
        shift = min(reach + 1, margin - reach)
        for x in range(nx - shift):
            _join(first[x], stop[x], first[x + shift], stop[x + shift])
        reach += shift
    for x in range(nx - 1, 0, -1):
        back = max(0, x - margin)
        _join(first[x], stop[x], first[back], stop[back])


@njit(cache=True, nogil=True)
def _reach_along(first: _Line, stop: _Line, margin: int, from_first: _Line, from_stop: _Line) -> None:
    n, reach = first.size, 0
    while reach < margin:
        shift = min(reach + 1, margin - reach)
        from_first[:], from_stop[:] = first, stop
        if shift < n:
            _join(first[:-shift], stop[:-shift], from_first[shift:], from_stop[shift:])
        reach += shift
    from_first[:], from_stop[:] = first, stop
    if margin < n:
        _join(first[margin:], stop[margin:], from_first[:-margin], from_stop[:-margin])
    for i in range(1, min(margin, n)):
        first[i], stop[i] = min(first[i], from_first[0]), max(stop[i], from_stop[0])


@njit(cache=True, nogil=True)
def _join(first: _Line, stop: _Line, others: _Line, ends: _Line) -> None:
    for i in range(first.size):
        first[i] = min(first[i], others[i])
        stop[i] = max(stop[i], ends[i])
