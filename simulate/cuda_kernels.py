"""The GPU's kernels: one launch makes one stage of a batch of tumours, whose boxes lie one after another in memory.

A block of threads works on one tumour, `owners[block]`, from cell `starts[block]` of its box on. Box t has its first
cell at `lows[t]` of the grid, the size `shapes[t]`, and cells `begins[t]` to `begins[t + 1]` of the flat arrays.
"""

from __future__ import annotations

import math

import numpy as np
from numba import cuda
from numpy.typing import NDArray

Flat = NDArray[np.float32]
Grid = NDArray[np.float32]
Whole = NDArray[np.integer]


@cuda.jit
def spread(
    here: Flat,
    there: Flat,
    face_x: Grid,
    face_y: Grid,
    face_z: Grid,
    owners: Whole,
    starts: Whole,
    begins: Whole,
    lows: Whole,
    shapes: Whole,
    diffusion: Flat,
    growth: Flat,
    alive: Whole,
    stage: int,
) -> None:
    """Make a stage of every tumour: see `stencil.spread`. Even stages start from `here`, odd ones add to `there`."""
    t = owners[cuda.blockIdx.x]
    step = diffusion[stage, t]
    cell = starts[cuda.blockIdx.x] + cuda.threadIdx.x
    ny, nz = shapes[t, 1], shapes[t, 2]
    if step < 0 or alive[t] == 0 or cell >= begins[t + 1] - begins[t]:
        return
    x, y, z = cell // (ny * nz), (cell // nz) % ny, cell % nz
    gx, gy, gz = x + lows[t, 0], y + lows[t, 1], z + lows[t, 2]
    i = begins[t] + cell
    at = here[i]
    flux = np.float32(0)
    if x + 1 < shapes[t, 0]:
        flux += face_x[gx, gy, gz] * (here[i + ny * nz] - at)
    if x > 0:
        flux -= face_x[gx - 1, gy, gz] * (at - here[i - ny * nz])
    if y + 1 < ny:
        flux += face_y[gx, gy, gz] * (here[i + nz] - at)
    if y > 0:
        flux -= face_y[gx, gy - 1, gz] * (at - here[i - nz])
    if z + 1 < nz:
        flux += face_z[gx, gy, gz] * (here[i + 1] - at)
    if z > 0:
        flux -= face_z[gx, gy, gz - 1] * (at - here[i - 1])
    base = at if stage % 2 == 0 else there[i]
    value = base + step * flux
    factor = growth[stage, t]
    if factor != 1:
        value = min(max(value, np.float32(0)), np.float32(1))
        value = value * factor / (np.float32(1) + value * (factor - np.float32(1)))
    there[i] = value


@cuda.jit
def count(
    u: Flat,
    owners: Whole,
    starts: Whole,
    begins: Whole,
    limit: Flat,
    alive: Whole,
    counts: Whole,
    stage: int,
    level: np.float32,
) -> None:
    """Count the cells of at least `level` of the tumours that are looked at after this stage."""
    t = owners[cuda.blockIdx.x]
    cell = starts[cuda.blockIdx.x] + cuda.threadIdx.x
    if (
        alive[t] != 0
        and limit[stage, t] < math.inf
        and cell < begins[t + 1] - begins[t]
        and u[begins[t] + cell] >= level
    ):
        cuda.atomic.add(counts, t, 1)


@cuda.jit
def judge(limit: Flat, alive: Whole, counts: Whole, stage: int) -> None:
    """Give up tumours with more cells than their limit."""
    t = cuda.grid(1)
    if t < alive.size and limit[stage, t] < math.inf:
        if counts[t] > limit[stage, t]:
            alive[t] = 0
        counts[t] = 0
