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


def extent_of_rows(mask: NDArray[np.bool_]) -> tuple[Rows, Rows]:
    """First cell of each row that is set, and one past the last; (z, 0) for a row that has none."""
    depth, some = mask.shape[2], mask.any(axis=2)
    first = np.where(some, mask.argmax(axis=2), depth)
    stop = np.where(some, depth - mask[:, :, ::-1].argmax(axis=2), 0)
    return first.astype(np.int32), stop.astype(np.int32)


@njit(cache=True, nogil=True)
def living(u: NDArray[np.float32], first: Rows, stop: Rows, live_first: Rows, live_stop: Rows) -> None:
    """Write the extent of cells above `TAIL` in each row, looking only inside [first, stop)."""
    nx, ny, nz = u.shape
    for x in range(nx):
        for y in range(ny):
            low, high = first[x, y], stop[x, y]
            while low < high and not u[x, y, low] > TAIL:
                low += 1
            while high > low and not u[x, y, high - 1] > TAIL:
                high -= 1
            live_first[x, y] = low if high > low else nz
            live_stop[x, y] = high if high > low else 0


@njit(cache=True, nogil=True)
def sides_reached(live_first: Rows, live_stop: Rows, margin: int, depth: int, reached: NDArray[np.bool_]) -> None:
    """Tell for the six sides (x low, x high, y low, ...) of a box whether life is within `margin` cells of it.

    The first and last x planes are ghosts, which do not count.
    """
    nx, ny = live_first.shape
    reached[:] = False
    for x in range(1, nx - 1):
        for y in range(ny):
            if live_stop[x, y] > live_first[x, y]:
                reached[0] |= x < 1 + margin
                reached[1] |= x >= nx - 1 - margin
                reached[2] |= y < margin
                reached[3] |= y >= ny - margin
                reached[4] |= live_first[x, y] < margin
                reached[5] |= live_stop[x, y] > depth - margin


@njit(cache=True, nogil=True)
def widen(
    live_first: Rows, live_stop: Rows, margin: int, tissue_first: Rows, tissue_stop: Rows, first: Rows, stop: Rows
) -> int:
    """Widen [first, stop) to all tissue within `margin` cells of life; return how many cells the rows now hold."""
    nx, ny = live_first.shape
    cells = 0
    along_first, along_stop = np.empty_like(live_first), np.empty_like(live_stop)
    near_first, near_stop = np.empty(ny, np.int32), np.empty(ny, np.int32)
    for x in range(nx):
        into_first, into_stop = along_first[x], along_stop[x]
        into_first[:], into_stop[:] = live_first[x], live_stop[x]
        for other in range(max(0, x - margin), min(nx, x + margin + 1)):
            _join(into_first, into_stop, live_first[other], live_stop[other])
    for x in range(nx):
        near_first[:], near_stop[:] = along_first[x], along_stop[x]
        for shift in range(1, min(margin, ny - 1) + 1):
            _join(near_first[shift:], near_stop[shift:], along_first[x, :-shift], along_stop[x, :-shift])
            _join(near_first[:-shift], near_stop[:-shift], along_first[x, shift:], along_stop[x, shift:])
        for y in range(ny):
            low = max(near_first[y] - margin, tissue_first[x, y])
            high = min(near_stop[y] + margin, tissue_stop[x, y])
            if high > low:
                first[x, y] = min(first[x, y], low // LANES * LANES)
                stop[x, y] = max(stop[x, y], (high + LANES - 1) // LANES * LANES)
            cells += max(0, stop[x, y] - first[x, y])
    return cells


@njit(cache=True, nogil=True)
def _join(
    first: NDArray[np.int32], stop: NDArray[np.int32], others: NDArray[np.int32], ends: NDArray[np.int32]
) -> None:
    for i in range(first.size):
        first[i] = min(first[i], others[i])
        stop[i] = max(stop[i], ends[i])
