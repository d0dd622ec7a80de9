"""How long a front takes from a seed to everywhere, were tissue all that slowed it.

A front of Fisher-Kolmogorov growth moves at 2 √(D ρ): relative to white matter at √(D / D_w). The eikonal equation
|∇t| √(D / D_w) = 1, t = 0 at the seed, tells in which order it comes by, around ventricles and slower through grey
matter; solved by fast sweeping (Zhao, Math. Comp. 74, 2005).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .crops import Volume

CELL = 2
"""Voxels along each edge of the cells that times are told of."""


def in_cells(values: Volume) -> Volume:
    """Means over the cells of a cube of voxels."""
    cells = values.shape[0] // CELL
    return np.asarray(values.reshape(cells, CELL, cells, CELL, cells, CELL).mean((1, 3, 5)), np.float32)


def travel_times(diffusivity: Volume, seed: NDArray[np.float64]) -> Volume:
    """Time from a seed to the cells of a cube, as the voxels of white matter that a front passes meanwhile.

    Args:
        diffusivity: of each voxel over that of white matter, (n, n, n); where there is none, fronts pass as slowly as
            at a hundredth, so that times are known everywhere.
        seed: in voxels of the cube.

    Returns:
        (n / 2, n / 2, n / 2).
    """
    speed = np.sqrt(np.maximum(in_cells(diffusivity), _LEAST))
    times = np.full(speed.shape, np.inf, np.float32)
    centre = (seed - (CELL - 1) / 2) / CELL  # in cells
    near = np.floor(centre + 0.5).astype(int)
    for cell in np.ndindex(3, 3, 3):  # straight on, around the seed
        i, j, k = (int(v) for v in near + cell - 1)
        if min(i, j, k) >= 0 and max(i, j, k) < len(times):
            times[i, j, k] = CELL * float(np.linalg.norm((i, j, k) - centre)) / speed[i, j, k]
    _sweep(times, np.float32(CELL) / speed, np.float32(_ENOUGH * CELL))
    return times


@njit(cache=True, nogil=True, error_model="numpy")
def _sweep(times: Volume, across: Volume, enough: np.float32) -> None:
    """Lower times to the solution, in turn from each corner, until a round changes none by more than `enough`."""
    n, far = times.shape[0], np.float32(np.inf)
    change = far
    while change > enough:
        change = np.float32(0.0)
        for corner in range(8):
            for a in range(n):
                i = n - 1 - a if corner & 1 else a
                for b in range(n):
                    j = n - 1 - b if corner & 2 else b
                    for c in range(n):
                        k = n - 1 - c if corner & 4 else c
                        x = min(times[i - 1, j, k] if i else far, times[i + 1, j, k] if i < n - 1 else far)
                        y = min(times[i, j - 1, k] if j else far, times[i, j + 1, k] if j < n - 1 else far)
                        z = min(times[i, j, k - 1] if k else far, times[i, j, k + 1] if k < n - 1 else far)
                        told = _arrival(x, y, z, across[i, j, k])
                        if told < times[i, j, k]:
                            change = max(change, times[i, j, k] - told)
                            times[i, j, k] = told


@njit(cache=True, nogil=True, error_model="numpy")
def _arrival(x: np.float32, y: np.float32, z: np.float32, across: np.float32) -> np.float32:
    """When a front arrives that came by the neighbours along each axis at these times (Godunov's upwind scheme)."""
    first, last = min(x, y, z), max(x, y, z)
    middle = max(min(x, y), min(max(x, y), z))
    told = first + across
    if told > middle:
        told = (first + middle + math.sqrt(2 * across * across - (first - middle) ** 2)) / 2
        if told > last:
            total = first + middle + last
            squares = first * first + middle * middle + last * last
            told = (total + math.sqrt(total * total - 3 * (squares - across * across))) / 3
    return np.float32(told)


_LEAST, _ENOUGH = 0.01, 0.02
