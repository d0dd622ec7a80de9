"""The inner loops of the Fisher-Kolmogorov solver, compiled with numba.

Boxes are C-order arrays (x, y, z) whose first and last x planes are ghosts. A face that leaves the box, or tissue,
has coefficient zero, so the y and z neighbours that a flat index wraps around to never contribute and one loop
without branches serves a whole row. Indices are unsigned: signed ones keep LLVM from vectorising.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from .active_rows import Bounds, Rows, bounds_of, living, sides_reached, widen
from .numba_flags import SeparateArrays

Box = NDArray[np.float32]
Corner = tuple[int, int, int]
_Flat = NDArray[np.float32]
_Line = NDArray[np.int32]

DONE, AT_EDGE, OUTGREW = 0, 1, 2
"""Why `march` stopped: all steps made; life reached a side that can move; the volume passed the limit."""

_CROSSED_SHARE = 0.6  # of the margin
_LONGEST_WAIT = 32  # stages; a run that outgrows its limit shall end soon
_LN_TAIL = 18.420680743952367  # -ln(`live_rows.TAIL`), the same on every processor


@njit(cache=True, error_model="numpy", nogil=True)
def spread(
    here: Box,
    there: Box,
    face_x: Box,
    face_y: Box,
    face_z: Box,
    corner: Corner,
    first: Rows,
    stop: Rows,
    bounds: Bounds,
    diffusion: np.float32,
    onto: np.float32,
    growth: np.float32,
) -> None:
    """Make one stage of conservative diffusion: there <- base + flux(here), then exact logistic growth.

    Args:
        here: what spreads, (x, y, z) with ghost planes at both x ends.
        there: receives the result, inside the rows' parts only.
        face_x: relative face diffusivity over spacing squared, 1/mm², on the grid that the box is a part of; a cell's
            entry couples it with the next along x.
        face_y: likewise along y.
        face_z: likewise along z.
        corner: entry of these that the first cell of the box has.
        first: where the part of each row begins, (x, y); the ghost planes' parts are empty.
        stop: one past where it ends.
        bounds: of the rows that have a part.
        diffusion: D_w times the stage's part of the time step, mm².
        onto: what the base is: 0 for `here`, 1 for `there`.
        growth: exp(rho times the time step) in the last stage of a step, 1 in others.
    """
    faces = face_x.ravel(), face_y.ravel(), face_z.ravel()
    rows, shape, grid = (first.ravel(), stop.ravel()), here.shape[1:], face_x.shape[1:]
    _spread_rows(here.ravel(), there.ravel(), *faces, *rows, shape, grid, corner, bounds, diffusion, onto, growth)


@njit(cache=True, error_model="numpy", nogil=True, pipeline_class=SeparateArrays)
def _spread_rows(
    u: _Flat,
    out: _Flat,
    fx: _Flat,
    fy: _Flat,
    fz: _Flat,
    first: _Line,
    stop: _Line,
    shape: tuple[int, int],
    grid: tuple[int, int],
    corner: Corner,
    bounds: Bounds,
    diffusion: np.float32,
    onto: np.float32,
    growth: np.float32,
) -> None:
    sx, sy, one = uint64(shape[0] * shape[1]), uint64(shape[1]), uint64(1)
    gx, gy = uint64(grid[0] * grid[1]), uint64(grid[1])
    excess, grows, adds = growth - np.float32(1), growth != 1, onto != 0
    for x in range(bounds[0], bounds[1]):
        for y in range(bounds[2], bounds[3]):
            row = x * shape[0] + y
            if stop[row] <= first[row]:
                continue
            begin, end = uint64(row * shape[1] + first[row]), uint64(row * shape[1] + stop[row])
            in_grid = ((x + corner[0]) * grid[0] + y + corner[1]) * grid[1] + corner[2]
            shift = uint64(in_grid - row * shape[1])  # unsigned, it wraps around and still adds up
            for i in range(begin, end):
                at, g = u[i], i + shift
                flux = (
                    fx[g] * (u[i + sx] - at)
                    - fx[g - gx] * (at - u[i - sx])
                    + fy[g] * (u[i + sy] - at)
                    - fy[g - gy] * (at - u[i - sy])
                    + fz[g] * (u[i + one] - at)
                    - fz[g - one] * (at - u[i - one])
                )
                out[i] = (out[i] if adds else at) + diffusion * flux
            if grows:
                for i in range(begin, end):
                    # long steps may leave [0, 1] by next to nothing; a density does not
                    inside = min(max(out[i], np.float32(0)), np.float32(1))
                    out[i] = inside * growth / (np.float32(1) + inside * excess)


@njit(cache=True, error_model="numpy", nogil=True)
def march(
    u: Box,
    scratch: Box,
    face_x: Box,
    face_y: Box,
    face_z: Box,
    corner: Corner,
    first: Rows,
    stop: Rows,
    tissue_first: Rows,
    tissue_stop: Rows,
    movable: NDArray[np.bool_],
    reached: NDArray[np.bool_],
    begin: int,
    steps: int,
    next_look: int,
    weights: NDArray[np.float32],
    diffusion: np.float32,
    growth: np.float32,
    level: np.float32,
    limits: NDArray[np.float64],
    before: int,
    spread_before: float,
    growth_before: float,
    step_spread: float,
    step_growth: float,
) -> tuple[int, int, int, int]:
    """Make steps `begin` to `steps` of a phase of equal steps, the rows' parts widening ahead of the front.

    Args:
        u: density, as in `spread`, before and after.
        scratch: holds what is between the stages.
        face_x: see `spread`.
        face_y: likewise.
        face_z: likewise.
        corner: likewise.
        first: see `spread`; moved down as rows' parts widen.
        stop: likewise, moved up.
        tissue_first: where tissue begins in each row; parts stay inside, up to whole lanes.
        tissue_stop: one past where it ends.
        movable: which of the six sides the box could be grown at.
        reached: receives the sides that life has come to.
        begin: steps of the phase made already.
        steps: of the phase to have made in the end.
        next_look: after how many steps of the phase to look at how far life has come; 0 at its beginning.
        weights: of the scheme's stages, see `super_steps.Scheme`.
        diffusion: D_w times the time step, mm².
        growth: exp(rho times the time step).
        level: density that counts for the limits.
        limits: after n steps since the seed was planted, stop if more than limits[n] cells hold at least `level`; it
            is looked at now and then.
        before: steps made before the phase.
        spread_before: largest diffusivity times their time over the smallest spacing squared.
        growth_before: rho times their time.
        step_spread: what a step of the phase adds to `spread_before`.
        step_growth: what it adds to `growth_before`.

    Returns:
        Steps of the phase made, the next look, cells computed over all stages of this call, and one of `DONE`,
        `AT_EDGE`, `OUTGREW`.
    """
    live_first, live_stop = np.full_like(first, u.shape[2]), np.zeros_like(stop)
    bounds = bounds_of(first, stop, (0, first.shape[0], 0, first.shape[1]))
    nothing, itself, other = np.float32(1), np.float32(0), np.float32(1)
    margin = margin_ahead(step_spread, weights.size)
    cells, updates = np.maximum(stop - first, 0).sum(), 0
    for made in range(begin, steps):
        if made == next_look:
            next_look += steps_until_look(
                spread_before + made * step_spread,
                growth_before + made * step_growth,
                step_spread,
                step_growth,
                weights.size,
                margin,
            )
            living_cells = living(u, first, stop, bounds, live_first, live_stop)
            sides_reached(live_first, live_stop, bounds, margin, u.shape[2], reached)
            if (reached & movable).any():
                return made, made, updates, AT_EDGE
            limit = limits[before + made]
            if living_cells > limit and count_at_least(u, first, stop, level) > limit:
                return made, made, updates, OUTGREW
            cells, bounds = widen(live_first, live_stop, margin, tissue_first, tissue_stop, bounds, first, stop)
        last = weights.shape[0] - 1
        for pair in range(last + 1):
            half, whole = diffusion * weights[pair, 0], diffusion * weights[pair, 1]
            spread(u, scratch, face_x, face_y, face_z, corner, first, stop, bounds, half, itself, nothing)
            grown = growth if pair == last else nothing
            spread(scratch, u, face_x, face_y, face_z, corner, first, stop, bounds, whole, other, grown)
        updates += cells * weights.size
    return steps, next_look, updates, DONE


@njit(cache=True, nogil=True)
def margin_ahead(step_spread: float, stages: int) -> int:
    """Cells to compute ahead of the last living one.

    A front is pulled by its tail, and the less spreads in a step, the steeper the tail and the more it pulls.

    Args:
        step_spread: D times the time step over the spacing squared.
        stages: of a step.
    """
    if step_spread >= 0.14:
        return max(4, stages)
    return 6 if step_spread >= 0.02 else 8


@njit(cache=True, nogil=True)
def steps_until_look(
    spread_before: float, growth_before: float, step_spread: float, step_growth: float, stages: int, margin: int
) -> int:
    """Tell for how many steps life cannot leave the margin computed around it.

    A stage carries it one cell at most. The distance from a seed at which exp(rho t - r²/4Dt), the free solution,
    falls to `TAIL` is r = sqrt(4Dt (ln 1/TAIL + rho t)), and slows down.

    Args:
        spread_before: D t over the spacing squared, t since the seed was planted.
        growth_before: rho t.
        step_spread: what a step adds to the first.
        step_growth: what a step adds to the second.
        stages: of a step.
        margin: cells.
    """
    surely = max(1, margin // stages)
    reach = np.sqrt(4 * spread_before * (_LN_TAIL + growth_before))
    if reach == 0:
        return surely
    spreading = step_spread * (_LN_TAIL + growth_before)
    speed = 2 * (spreading + spread_before * step_growth) / reach
    return max(surely, min(int(_CROSSED_SHARE * margin / speed), _LONGEST_WAIT // stages))


@njit(cache=True, error_model="numpy", nogil=True)
def grow_logistic(u: Box, first: Rows, stop: Rows, growth: np.float32) -> None:
    """Apply exact logistic growth u -> u g / (1 + u (g - 1)), g = exp(rho t), in place inside the rows' parts."""
    depth, flat, excess = u.shape[2], u.ravel(), growth - np.float32(1)
    low, high = first.ravel(), stop.ravel()
    for row in range(low.size):
        for i in range(uint64(row * depth + low[row]), uint64(row * depth + max(low[row], high[row]))):
            flat[i] = flat[i] * growth / (np.float32(1) + flat[i] * excess)


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
