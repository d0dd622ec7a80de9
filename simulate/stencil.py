"""The inner loops of the Fisher-Kolmogorov solver, compiled with numba.

Boxes are C-order arrays (x, y, z) whose first and last x planes are ghosts. A face that leaves the box, or tissue,
has coefficient zero, so the y and z neighbours that a flat index wraps around to never contribute and one loop
without branches serves a whole row. Indices are unsigned: signed ones keep LLVM from vectorising.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from .live_rows import TAIL, Rows, living, sides_reached, widen

Box = NDArray[np.float32]

DONE, AT_EDGE, OUTGREW = 0, 1, 2
"""Why `march` stopped: all steps made; life reached a side that can move; the volume passed the limit."""

_FAST = {"contract", "nsz", "arcp"}  # keeps NaN and infinity meaningful, unlike fastmath=True
_EARLY_STEPS, _EARLY_WAIT = 12, 4  # the seed is no point
_CROSSED_SHARE = 0.6  # of the margin
_LONGEST_WAIT = 32  # a run that outgrows its limit shall end soon
_LN_TAIL = np.float64(-np.log(TAIL))


@njit(cache=True, fastmath=_FAST, error_model="numpy", nogil=True)
def advance(
    u: Box,
    scratch: Box,
    face_x: Box,
    face_y: Box,
    face_z: Box,
    first: Rows,
    stop: Rows,
    diffusion: np.float32,
    growth: np.float32,
) -> None:
    """Make one step: conservative explicit diffusion, then exact logistic growth.

    Args:
        u: density before the step, (x, y, z) with ghost planes at both x ends.
        scratch: receives the density after the step, inside the rows' parts only.
        face_x: relative face diffusivity over spacing squared, 1/mm²; a cell's entry couples it with the next along x.
        face_y: likewise along y.
        face_z: likewise along z.
        first: where the part of each row begins, (x, y); the ghost planes' parts are empty.
        stop: one past where it ends.
        diffusion: D_w times the time step, mm².
        growth: exp(rho times the time step).
    """
    depth = u.shape[2]
    sx, sy, one = uint64(u.shape[1] * depth), uint64(depth), uint64(1)
    here_all, there = u.ravel(), scratch.ravel()
    fx, fy, fz = face_x.ravel(), face_y.ravel(), face_z.ravel()
    low, high = first.ravel(), stop.ravel()
    excess = growth - np.float32(1)
    for row in range(low.size):
        for i in range(uint64(row * depth + low[row]), uint64(row * depth + max(low[row], high[row]))):
            here = here_all[i]
            flux = (
                fx[i] * (here_all[i + sx] - here)
                - fx[i - sx] * (here - here_all[i - sx])
                + fy[i] * (here_all[i + sy] - here)
                - fy[i - sy] * (here - here_all[i - sy])
                + fz[i] * (here_all[i + one] - here)
                - fz[i - one] * (here - here_all[i - one])
            )
            spread = here + diffusion * flux
            there[i] = spread * growth / (np.float32(1) + spread * excess)


@njit(cache=True, fastmath=_FAST, error_model="numpy", nogil=True)
def march(
    u: Box,
    scratch: Box,
    face_x: Box,
    face_y: Box,
    face_z: Box,
    first: Rows,
    stop: Rows,
    tissue_first: Rows,
    tissue_stop: Rows,
    movable: NDArray[np.bool_],
    reached: NDArray[np.bool_],
    steps: int,
    diffusion: np.float32,
    growth: np.float32,
    level: np.float32,
    limits: NDArray[np.float64],
    before: int,
    spread: float,
) -> tuple[int, int, int]:
    """Make up to `steps` steps, the rows' parts widening ahead of the front.

    Args:
        u: density, as in `advance`; after an odd number of steps `scratch` holds it.
        scratch: see `advance`.
        face_x: see `advance`.
        face_y: likewise.
        face_z: likewise.
        first: see `advance`; moved down as rows' parts widen.
        stop: likewise, moved up.
        tissue_first: where tissue begins in each row; parts stay inside, up to whole lanes.
        tissue_stop: one past where it ends.
        movable: which of the six sides the box could be grown at.
        reached: receives the sides that life has come to.
        steps: to make.
        diffusion: see `advance`.
        growth: see `advance`.
        level: density that counts for the limits.
        limits: after n steps since the seed was planted, stop if more than limits[n] cells hold at least `level`; it
            is looked at now and then.
        before: steps made since the seed was planted.
        spread: largest diffusivity times the time step over the smallest spacing squared.

    Returns:
        Steps made, cells computed over them, and one of `DONE`, `AT_EDGE`, `OUTGREW`.
    """
    live_first, live_stop = np.empty_like(first), np.empty_like(stop)
    margin = margin_ahead(spread)
    cells = updates = next_look = 0
    for made in range(steps):
        if made == next_look:
            next_look += steps_until_look(before + made, margin, spread, np.log(growth))
            living(u, first, stop, live_first, live_stop)
            sides_reached(live_first, live_stop, margin, u.shape[2], reached)
            if (reached & movable).any():
                return made, updates, AT_EDGE
            limit = limits[before + made]
            if limit < np.inf and count_at_least(u, first, stop, level) > limit:
                return made, updates, OUTGREW
            cells = widen(live_first, live_stop, margin, tissue_first, tissue_stop, first, stop)
        advance(u, scratch, face_x, face_y, face_z, first, stop, diffusion, growth)
        u, scratch = scratch, u
        updates += cells
    return steps, updates, DONE


@njit(cache=True, nogil=True)
def margin_ahead(spread: float) -> int:
    """Cells to compute ahead of the last living one.

    A front is pulled by its tail, and the less spreads in a step, the steeper the tail and the more it pulls.

    Args:
        spread: D times the time step over the spacing squared.
    """
    if spread >= 0.14:
        return 4
    return 6 if spread >= 0.01 else 8


@njit(cache=True, nogil=True)
def steps_until_look(steps: int, margin: int, spread: float, growth: float) -> int:
    """Tell for how many steps life cannot leave the margin computed around it.

    An explicit step carries it one cell at most. Later the distance from a seed at which exp(rho t - r²/4Dt), the free
    solution, falls to `TAIL` is r = sqrt(4Dt (ln 1/TAIL + rho t)), and slows down.

    Args:
        steps: made since the seed was planted.
        margin: cells.
        spread: D times the time step over the spacing squared.
        growth: rho times the time step.
    """
    if steps < _EARLY_STEPS:
        return _EARLY_WAIT
    reach = np.sqrt(4 * spread * steps * (_LN_TAIL + growth * steps))
    speed = 2 * spread * (_LN_TAIL + 2 * growth * steps) / reach
    return min(max(_EARLY_WAIT, int(_CROSSED_SHARE * margin / speed)), _LONGEST_WAIT)


@njit(cache=True, fastmath=_FAST, error_model="numpy", nogil=True)
def grow_logistic(u: NDArray[np.float32], growth: np.float32) -> None:
    """Apply exact logistic growth u -> u g / (1 + u (g - 1)) in place to a flat array, g = exp(rho t)."""
    excess = growth - np.float32(1)
    for i in range(u.size):
        u[i] = u[i] * growth / (np.float32(1) + u[i] * excess)


@njit(cache=True, nogil=True)
def count_at_least(u: Box, first: Rows, stop: Rows, level: np.float32) -> int:
    """Count the cells inside the rows' parts that are >= `level`."""
    depth, flat = u.shape[2], u.ravel()
    low, high = first.ravel(), stop.ravel()
    total = uint64(0)
    for row in range(low.size):
        for i in range(uint64(row * depth + low[row]), uint64(row * depth + max(low[row], high[row]))):
            total += uint64(flat[i] >= level)
    return total
