"""The inner loops of the Fisher-Kolmogorov solver, compiled with numba.

Arrays are flat views of a C-order box whose first and last x planes are ghosts. A face that leaves the box, or tissue,
has coefficient zero, so the y and z neighbours that a flat index wraps around to never contribute and one loop
without branches serves the whole box. Indices are unsigned: signed ones keep LLVM from vectorising.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

Flat = NDArray[np.float32]

_FAST = {"contract", "nsz", "arcp"}  # keeps NaN and infinity meaningful, unlike fastmath=True


@njit(cache=True, fastmath=_FAST, error_model="numpy", nogil=True)
def advance(
    u: Flat,
    scratch: Flat,
    face_x: Flat,
    face_y: Flat,
    face_z: Flat,
    stride_x: int,
    stride_y: int,
    diffusion: np.float32,
    growth: np.float32,
) -> None:
    """Make one step: conservative explicit diffusion, then exact logistic growth.

    Args:
        u: density before the step, (n,).
        scratch: receives the density after the step, (n,); ghost planes are left alone.
        face_x: relative face diffusivity over spacing squared, 1/mm²; entry i couples cell i with the next along x.
        face_y: likewise along y.
        face_z: likewise along z.
        stride_x: flat distance to the next cell along x.
        stride_y: likewise along y.
        diffusion: D_w times the time step, mm².
        growth: exp(rho times the time step).
    """
    sx, sy, one = uint64(stride_x), uint64(stride_y), uint64(1)
    excess = growth - np.float32(1)
    for i in range(sx, uint64(u.size) - sx):
        here = u[i]
        flux = (
            face_x[i] * (u[i + sx] - here)
            - face_x[i - sx] * (here - u[i - sx])
            + face_y[i] * (u[i + sy] - here)
            - face_y[i - sy] * (here - u[i - sy])
            + face_z[i] * (u[i + one] - here)
            - face_z[i - one] * (here - u[i - one])
        )
        spread = here + diffusion * flux
        scratch[i] = spread * growth / (np.float32(1) + spread * excess)


@njit(cache=True, fastmath=_FAST, error_model="numpy", nogil=True)
def grow_logistic(u: Flat, growth: np.float32) -> None:
    """Apply exact logistic growth u -> u g / (1 + u (g - 1)) in place, g = exp(rho t)."""
    excess = growth - np.float32(1)
    for i in range(u.size):
        u[i] = u[i] * growth / (np.float32(1) + u[i] * excess)


@njit(cache=True, nogil=True)
def count_at_least(u: Flat, level: np.float32) -> int:
    """Count the entries that are >= `level`."""
    total = 0
    for i in range(u.size):
        total += u[i] >= level
    return total


@njit(cache=True, nogil=True)
def edge_exceeds(u: NDArray[np.float32], layers: int, level: np.float32) -> NDArray[np.bool_]:
    """Tell for the six sides (x low, x high, y low, ...) of a 3-D box whether its outer layers exceed `level`."""
    nx, ny, nz = u.shape
    found = np.zeros(6, np.bool_)
    for x in range(nx):
        x_low, x_high = x < layers, x >= nx - layers
        for y in range(ny):
            y_low, y_high = y < layers, y >= ny - layers
            if x_low or x_high or y_low or y_high:
                largest = np.float32(0)
                for z in range(nz):
                    largest = max(largest, u[x, y, z])
                if largest > level:
                    found[0] |= x_low
                    found[1] |= x_high
                    found[2] |= y_low
                    found[3] |= y_high
            for z in range(min(layers, nz)):
                found[4] |= u[x, y, z] > level
                found[5] |= u[x, y, nz - 1 - z] > level
    return found
