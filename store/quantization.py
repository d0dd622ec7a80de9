"""Densities as the integers that a store keeps."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..errors import InputError

LEVELS = 4095
"""Integer steps of the density range [0, 1]; 0.2 and 0.6 fall exactly on 819 and 2457."""

_DENSITIES = np.arange(LEVELS + 1, dtype=np.float32) / np.float32(LEVELS)


def quantise(density: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Densities in [0, 1] to integers floor(4095 u).

    Raises:
        InputError: a value is not finite or leaves [0, 1].
    """
    integers = np.empty(density.shape, np.uint16)
    if not _quantise(density.ravel(), integers.ravel()):
        raise InputError("a density must be finite and lie in [0, 1]")
    return integers


@njit(cache=True, error_model="numpy", nogil=True)
def _quantise(density: NDArray[np.float32], integers: NDArray[np.uint16]) -> bool:
    """Write floor(4095 u) into `integers`; returns whether all lay in range."""
    wrong = 0
    for i in range(density.size):
        # float64 holds 4095 u exactly, so a density at a threshold does not fall below it
        scaled = np.float64(density[i]) * LEVELS
        wrong += 0 if 0 <= scaled <= LEVELS * (1 + 1e-6) else 1  # NaN is wrong
        integers[i] = np.uint16(min(max(scaled, 0.0), 1.0 * LEVELS))
    return wrong == 0


def dequantise(integers: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Integers back to densities, correctly rounded: 819 gives float32(0.2) exactly."""
    return _DENSITIES[integers]


def level_of(threshold: float) -> int:
    """Smallest integer whose density is >= `threshold` in float32, so that both comparisons agree."""
    return int(np.searchsorted(_DENSITIES, np.float32(threshold), side="left"))


def bounding_box(integers: NDArray[np.uint16]) -> tuple[int, int, int, int, int, int]:
    """Low and high voxel of the box around what is not zero; high is not included, all 0 where nothing is."""
    x, y, z, x_stop, y_stop, z_stop = _bounding_box(integers)
    return x, y, z, x_stop, y_stop, z_stop


@njit(cache=True, nogil=True)
def _bounding_box(integers: NDArray[np.uint16]) -> tuple[int, int, int, int, int, int]:
    nx, ny, nz = integers.shape
    x_first, y_first, z_first, x_stop, y_stop, z_stop = nx, ny, nz, 0, 0, 0
    for x in range(nx):
        for y in range(ny):
            row, last = integers[x, y], nz
            while last > 0 and row[last - 1] == 0:
                last -= 1
            if last:
                first = 0
                while row[first] == 0:
                    first += 1
                x_first, x_stop = min(x_first, x), x + 1
                y_first, y_stop = min(y_first, y), max(y_stop, y + 1)
                z_first, z_stop = min(z_first, first), max(z_stop, last)
    if not x_stop:
        return 0, 0, 0, 0, 0, 0
    return x_first, y_first, z_first, x_stop, y_stop, z_stop
