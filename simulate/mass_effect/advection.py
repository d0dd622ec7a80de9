"""Carrying what fills cells along with a motion, conservatively: what leaves a cell enters its neighbour.

Second order where it is smooth, upwind with a monotonised central limiter (van Leer 1977), so that nothing falls below
zero while less than half of a cell flows out of it in a step.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from ..numba_flags import SeparateArrays

Fields = NDArray[np.float32]

MOST_OUTFLOW = 0.5
"""Of a cell's content in one step, up to which nothing falls below zero."""


def carry(
    fields: Fields, shifts: NDArray[np.float32], first: NDArray[np.int32], stop: NDArray[np.int32], spare: Fields
) -> int:
    """Carry fields along with a motion, in as many steps as it takes, in place.

    Args:
        fields: contents of cells, (n, x, y, z), with a margin of two cells where nothing moves.
        shifts: cells by which each face is passed, (3, x, y, z): component a at (i, j, k) between that cell and the
            next along axis a; 0 where nothing passes.
        first: flat index of the first cell of each row along z that may change, see `elastic_stencil.rows_of`.
        stop: one past the last.
        spare: two more such fields to work in, (2, x, y, z).

    Returns:
        Steps made.
    """
    ny, nz = fields.shape[2:]
    strides = (ny * nz, nz, 1)
    steps = max(1, int(np.ceil(_largest_outflow(shifts.reshape(3, -1), strides, first, stop) / MOST_OUTFLOW)))
    share = np.float32(1 / steps)
    flux, moved = spare[0].ravel(), spare[1].ravel()
    for _ in range(steps):
        for field in fields:
            content = field.ravel()
            moved[...] = content
            for axis, stride in enumerate(strides):
                _fluxes(content, shifts[axis].ravel(), share, stride, flux, first, stop)
                _receive(flux, stride, moved, first, stop)
            field.ravel()[...] = moved
    return steps


@njit(cache=True, nogil=True)
def _largest_outflow(
    shifts: Fields, strides: tuple[int, int, int], first: NDArray[np.int32], stop: NDArray[np.int32]
) -> float:
    largest = np.float32(0)
    for row in range(first.size):
        for q in range(first[row], stop[row]):
            out = np.float32(0)
            for axis in range(3):
                out += max(shifts[axis, q], np.float32(0)) + max(-shifts[axis, q - strides[axis]], np.float32(0))
            largest = max(largest, out)
    return float(largest)


@njit(cache=True, error_model="numpy", nogil=True, pipeline_class=SeparateArrays)
def _fluxes(
    content: NDArray[np.float32],
    shift: NDArray[np.float32],
    share: np.float32,
    stride: int,
    flux: NDArray[np.float32],
    first: NDArray[np.int32],
    stop: NDArray[np.int32],
) -> None:
    """Write what passes each face between a cell and the next."""
    s, zero, half, two = uint64(stride), np.float32(0), np.float32(0.5), np.float32(2)
    for row in range(first.size):
        for q in range(uint64(first[row]), uint64(stop[row])):
            before, here, after, beyond = content[q - s], content[q], content[q + s], content[q + s + s]
            below, across, above = here - before, after - here, beyond - after
            passed = share * shift[q]
            onward, back = max(passed, zero), min(passed, zero)
            mean = half * (below + across)
            slope = max(min(two * below, two * across, mean), zero) + min(max(two * below, two * across, mean), zero)
            # of opposite signs, the first is at most 0 and the second at least 0: flat
            left = here + half * (np.float32(1) - onward) * slope
            mean = half * (across + above)
            slope = max(min(two * across, two * above, mean), zero) + min(max(two * across, two * above, mean), zero)
            right = after - half * (np.float32(1) + back) * slope
            flux[q] = onward * left + back * right


@njit(cache=True, error_model="numpy", nogil=True, pipeline_class=SeparateArrays)
def _receive(
    flux: NDArray[np.float32],
    stride: int,
    content: NDArray[np.float32],
    first: NDArray[np.int32],
    stop: NDArray[np.int32],
) -> None:
    s = uint64(stride)
    for row in range(first.size):
        for q in range(uint64(first[row]), uint64(stop[row])):
            content[q] += flux[q - s] - flux[q]
