"""Carrying coefficients, residuals and displacements between a grid of the elastic solver and one twice as coarse.

Components live on faces, see `elastic_stencil`; margins are one cell wide. Compiled with numba.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Cells = NDArray[np.float32]


@njit(cache=True, nogil=True)
def coarsen_cells(fine: Cells, inside: NDArray[np.bool_], within: NDArray[np.bool_], coarse: Cells) -> None:
    """Write the mean of a coefficient over those of eight cells that are inside; margins are one cell wide.

    Args:
        fine: of cells.
        inside: cells of the body.
        within: coarse cells of the body.
        coarse: receives the means.
    """
    for i in range(1, coarse.shape[0] - 1):
        for j in range(1, coarse.shape[1] - 1):
            for k in range(1, coarse.shape[2] - 1):
                total, count = np.float32(0), 0
                for x in range(2 * i - 1, 2 * i + 1):
                    for y in range(2 * j - 1, 2 * j + 1):
                        for z in range(2 * k - 1, 2 * k + 1):
                            if inside[x, y, z]:
                                total += fine[x, y, z]
                                count += 1
                coarse[i, j, k] = total / np.float32(count) if within[i, j, k] and count else np.float32(0)


@njit(cache=True, nogil=True)
def restrict(fine: Cells, axis: int, free: NDArray[np.bool_], coarse: Cells) -> None:
    """Write what of a residual on faces normal to `axis` falls on twice coarser faces.

    A coarse face takes half of the four fine ones on it, and a quarter of the four on either side.

    Args:
        fine: residual of one component; margins are one cell wide.
        axis: that it is normal to.
        free: coarse faces that can move.
        coarse: receives the result.
    """
    for i in range(1, coarse.shape[0] - 1):
        for j in range(1, coarse.shape[1] - 1):
            for k in range(1, coarse.shape[2] - 1):
                if not free[i, j, k]:
                    coarse[i, j, k] = 0
                    continue
                total = np.float32(0)
                for one in range(2):
                    for two in range(2):
                        if axis == 0:
                            x, y, z = 2 * i, 2 * j - 1 + one, 2 * k - 1 + two
                            near, far = fine[x - 1, y, z], fine[x + 1, y, z]
                        elif axis == 1:
                            x, y, z = 2 * i - 1 + one, 2 * j, 2 * k - 1 + two
                            near, far = fine[x, y - 1, z], fine[x, y + 1, z]
                        else:
                            x, y, z = 2 * i - 1 + one, 2 * j - 1 + two, 2 * k
                            near, far = fine[x, y, z - 1], fine[x, y, z + 1]
                        total += np.float32(0.5) * fine[x, y, z] + np.float32(0.25) * (near + far)
                coarse[i, j, k] = total / np.float32(4)


@njit(cache=True, nogil=True)
def interpolate(coarse: Cells, axis: int, free: NDArray[np.bool_], fine: Cells, add: bool) -> None:
    """Interpolate a displacement on coarse faces to those of half the spacing, linearly; blocked faces stay at rest.

    Args:
        coarse: one component; margins are one cell wide.
        axis: that it is normal to.
        free: fine faces that can move.
        fine: receives the result, or has it added.
        add: whether it is added.
    """
    for i in range(1, fine.shape[0] - 1):
        for j in range(1, fine.shape[1] - 1):
            for k in range(1, fine.shape[2] - 1):
                if not free[i, j, k]:
                    if not add:
                        fine[i, j, k] = 0
                    continue
                # a face at an even index lies on a coarse one, others halfway between two
                total = np.float32(0)
                for side in range(2):
                    if axis == 0:
                        value = _across(coarse, (i + side) // 2, j, k, 0)
                    elif axis == 1:
                        value = _across(coarse, (j + side) // 2, i, k, 1)
                    else:
                        value = _across(coarse, (k + side) // 2, i, j, 2)
                    total += np.float32(0.5) * value
                fine[i, j, k] = fine[i, j, k] + total if add else total


@njit(cache=True, nogil=True, inline="always")
def _across(coarse: Cells, plane: int, p: int, q: int, axis: int) -> np.float32:
    """Interpolate within a plane of coarse faces to the fine cell (p, q): nine, three, three and one sixteenth."""
    near_p, near_q = (p + 1) // 2, (q + 1) // 2
    far_p, far_q = near_p + (1 if p % 2 == 0 else -1), near_q + (1 if q % 2 == 0 else -1)
    if axis == 0:
        a, b, c, d = (
            coarse[plane, near_p, near_q],
            coarse[plane, far_p, near_q],
            coarse[plane, near_p, far_q],
            coarse[plane, far_p, far_q],
        )
    elif axis == 1:
        a, b, c, d = (
            coarse[near_p, plane, near_q],
            coarse[far_p, plane, near_q],
            coarse[near_p, plane, far_q],
            coarse[far_p, plane, far_q],
        )
    else:
        a, b, c, d = (
            coarse[near_p, near_q, plane],
            coarse[far_p, near_q, plane],
            coarse[near_p, far_q, plane],
            coarse[far_p, far_q, plane],
        )
    return np.float32(0.5625) * a + np.float32(0.1875) * (b + c) + np.float32(0.0625) * d
