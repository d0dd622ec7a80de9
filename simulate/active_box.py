"""The part of the grid that a growing tumour has reached, kept compact and moved ahead of its front."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .active_rows import LANES, Rows, bounds_of
from .kernels import AT_EDGE, OUTGREW, count_at_least, grow_logistic, march

_GROWTH = np.array([8, 8, LANES])
"""Cells added to a side that life has reached, along x, y and z."""

_ARRAYS_OF_A_BOX = ("first", "second", "third")
_APART = 13 * LANES

_NO_GROWTH = np.float32(1)

Reach = tuple[tuple[int, int, int], tuple[int, int, int]]
"""A box of the grid: first voxel and one past the last, both corners."""


@dataclass(frozen=True)
class Medium:
    """What a tumour spreads through, on the whole grid.

    Args:
        x, y, z: face coefficients, 1/mm²: entry (i, j, k) couples that cell with the next along the axis.
        tissue_first, tissue_stop: extent of tissue in each row along z, (x, y); see `extent_of_rows`.
        bound: of the face coefficients, where they will change; 0 where they will not.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    z: NDArray[np.float32]
    tissue_first: Rows
    tissue_stop: Rows
    bound: float = 0.0

    @cached_property
    def whole_grid(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """The three, as `stencil.spread` needs them: whole lanes, ghost planes at both x ends, nothing leaves."""
        nx, ny, nz = self.x.shape
        faces = []
        for place, face in enumerate((self.x, self.y, self.z), start=len(_ARRAYS_OF_A_BOX)):
            whole = _aligned((nx + 2, ny, _lanes(nz)), place)
            whole[...] = 0
            whole[1:-1, :, :nz] = face
            faces.append(whole)
        x, y, z = faces
        x[-2], y[:, -1], z[:, :, -1] = 0, 0, 0
        return x, y, z

    @cached_property
    def tissue(self) -> tuple[Rows, Rows]:
        """Extent of tissue in the rows of such a grid: none in its ghost planes."""
        return _with_empty_ghosts(self.tissue_first), _with_empty_ghosts(self.tissue_stop)

    @cached_property
    def largest(self) -> float:
        """Largest face coefficient, 1/mm²."""
        return self.bound or float(max(self.x.max(), self.y.max(), self.z.max()))


class Workspace:
    """Memory that one box after another is carved from: touching fresh pages would cost as much as the arithmetic."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[np.float32]] = {}

    def carve(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return an array of zeros in the memory called `name`; what was carved from it before is lost."""
        size = math.prod(shape)
        held = self._held.get(name)
        if held is None or held.size < size:
            held = self._held[name] = _aligned((size,), _ARRAYS_OF_A_BOX.index(name))
        carved = held[:size].reshape(shape)
        carved[...] = 0
        return carved


class ActiveBox:
    """Density and medium of a box of the grid, in arrays of the box's own size with a ghost plane at each x end.

    Compact arrays keep an average tumour in the processor's cache. Along z the box begins and ends at multiples of
    `LANES`, beyond the grid's end if need be.

    Args:
        medium: of the whole grid.
        low: first voxel of `density` in the grid.
        density: float32, what to start from; zero around it.
        reach: lowest and highest voxel that the tumour is expected to come to; moving the box on the way costs time.
        workspace: memory to use; a box made in the same memory ends this one.
    """

    def __init__(
        self,
        medium: Medium,
        low: tuple[int, int, int],
        density: NDArray[np.float32],
        reach: Reach | None = None,
        workspace: Workspace | None = None,
    ) -> None:
        self._medium = medium
        self._workspace = workspace or Workspace()
        self._scratch: NDArray[np.float32]
        self._memory = list(_ARRAYS_OF_A_BOX)  # of density, of scratch, and to spare
        self._grid = np.array(medium.x.shape)
        self._end = np.array([*self._grid[:2], _lanes(self._grid[2])])
        self._low = np.array([*low[:2], low[2] // LANES * LANES])
        self._high = np.array([low[0] + density.shape[0], low[1] + density.shape[1], _lanes(low[2] + density.shape[2])])
        start = np.zeros(self._high - self._low, np.float32)
        start[:, :, low[2] - self._low[2] :][:, :, : density.shape[2]] = density
        self.u = _with_ghosts(start)
        self._first = np.zeros(self.u.shape[:2], np.int32)
        self._stop = np.full(self.u.shape[:2], self.u.shape[2], np.int32)
        least = np.stack([self._low - _GROWTH, self._high + _GROWTH])
        wanted = np.array(reach) if reach is not None else least
        self._resize(np.minimum(wanted[0], least[0]), np.maximum(wanted[1], least[1]))
        self.updates = 0
        """Cells computed over all stages made."""
        self._steps = 0
        self._made = self._next_look = 0
        self._spread = self._growth = self._step_spread = self._step_growth = 0.0

    def grow(self, growth: np.float32) -> None:
        """Grow logistically, without spreading, by `growth` = exp(rho t)."""
        grow_logistic(self.u, self._first, self._stop, growth)

    def enter_phase(self, weights: NDArray[np.float32], diffusion: np.float32, growth: float) -> None:
        """Set what the coming steps are, all alike.

        Args:
            weights: of the scheme's stages, see `super_steps`.
            diffusion: D_w times the time step, mm².
            growth: rho times the time step.
        """
        self._spread += self._made * self._step_spread
        self._growth += self._made * self._step_growth
        self._steps += self._made
        self._weights, self._diffusion = weights, diffusion
        self._step_spread, self._step_growth = float(diffusion) * self._medium.largest, growth
        self._made = self._next_look = 0

    def march(self, until: int, growth: np.float32, level: np.float32, limits: NDArray[np.float64]) -> bool:
        """Make the steps of the phase up to number `until`, the box following the front; see `stencil.march`.

        Args:
            until: steps of the phase to have made in the end.
            growth: exp(rho times the time step) of these steps; the last of a phase may differ from the others.
            level: density that counts for the limits.
            limits: give up if more than limits[n] voxels hold at least `level` after n steps in all.

        Returns:
            Whether it gave up.
        """
        reached = np.zeros(6, np.bool_)
        while self._made < until:
            self._made, self._next_look, updates, why = march(
                self.u,
                self._scratch,
                *self._medium.whole_grid,
                self._corner,
                self._first,
                self._stop,
                *self._tissue,
                self._movable(),
                reached,
                self._made,
                until,
                self._next_look,
                self._weights,
                self._diffusion,
                growth,
                level,
                limits,
                self._steps,
                self._spread,
                self._growth,
                self._step_spread,
                self._step_growth,
            )
            self.updates += updates
            if why == OUTGREW:
                return True
            if why == AT_EDGE:
                self._resize(self._low - _GROWTH * reached[0::2], self._high + _GROWTH * reached[1::2])
        return False

    def refill(self, low: tuple[int, int, int], density: NDArray[np.float32]) -> None:
        """Put something else in, as when what grows has been moved; time goes on.

        Args:
            low: first voxel of `density` in the grid.
            density: float32; zero around it.
        """
        begin, end = np.array(low), np.array(low) + density.shape
        if (begin < self._low).any() or (end > self._high).any():
            self._resize(np.minimum(self._low, begin - _GROWTH), np.maximum(self._high, end + _GROWTH))
        self.u[...] = 0
        self._scratch[...] = 0
        x, y, z = begin - self._low
        box = (slice(x + 1, x + 1 + density.shape[0]), slice(y, y + density.shape[1]))
        self.u[box][:, :, z : z + density.shape[2]] = density
        self._first[...], self._stop[...] = self.u.shape[2], 0
        part = (np.int32(z // LANES * LANES), np.int32(_lanes(z + density.shape[2])))
        first, stop = (np.clip(rows[box], *part) for rows in self._tissue)
        self._first[box], self._stop[box] = first // LANES * LANES, -(-stop // LANES) * LANES
        self._next_look = self._made

    @property
    def steps(self) -> int:
        """Steps made."""
        return self._steps + self._made

    def count_at_least(self, level: np.float32) -> int:
        """Count the voxels with at least this density, which must be above 0."""
        return int(count_at_least(self.u, self._first, self._stop, level))

    def living(self, growth: np.float32 = _NO_GROWTH) -> tuple[NDArray[np.float32], tuple[int, int, int]]:
        """Copy the part of the density that the rows reach, and name the grid index of its first voxel.

        Args:
            growth: exp(rho t) of logistic growth to apply to the copy; below 1 it goes back in time.
        """
        first, stop = self._first, self._stop
        x, x_stop, y, y_stop = bounds_of(first, stop, (1, len(first) - 1, 0, self.u.shape[1]))
        some = stop > first
        z, z_stop = int(first[some].min()), int(stop[some].max())
        z_stop = min(z_stop, int(self._grid[2] - self._low[2]))
        # without growth, long steps may leave [0, 1] by next to nothing; a density does not
        density = np.clip(self.u[x:x_stop, y:y_stop, z:z_stop], np.float32(0), np.float32(1))
        if growth != 1:
            density = (density * growth / (_NO_GROWTH - density + density * growth)).astype(np.float32)
        low = (int(self._low[0]) + x - 1, int(self._low[1]) + y, int(self._low[2]) + z)
        return density, low

    def _movable(self) -> NDArray[np.bool_]:
        return np.ravel(np.column_stack([self._low > 0, self._high < self._end]))

    def _resize(self, low: NDArray[np.int64], high: NDArray[np.int64]) -> None:
        low = np.maximum([*low[:2], low[2] // LANES * LANES], 0)
        high = np.minimum([*high[:2], _lanes(high[2])], self._end)
        (x, y, z), shape = self._low - low, high - low
        nx, ny, nz = self._high - self._low
        size = (int(shape[0]) + 2, int(shape[1]), int(shape[2]))
        self._memory.reverse()  # the old density is still to be read
        u = self._workspace.carve(self._memory[0], size)
        u[1 + x : 1 + x + nx, y : y + ny, z : z + nz] = self.u[1:-1]
        first, stop = np.full(u.shape[:2], shape[2], np.int32), np.zeros(u.shape[:2], np.int32)
        kept = self._stop[1:-1] > self._first[1:-1]
        first[1 + x : 1 + x + nx, y : y + ny][kept] = self._first[1:-1][kept] + z
        stop[1 + x : 1 + x + nx, y : y + ny][kept] = self._stop[1:-1][kept] + z
        self.u, self._first, self._stop, self._low, self._high = u, first, stop, low, high
        self._scratch = self._workspace.carve(self._memory[1], size)
        self._corner = (int(low[0]), int(low[1]), int(low[2]))
        if (self._low == 0).all() and (high == self._end).all():
            self._tissue = self._medium.tissue
            return
        window = (slice(low[0], high[0] + 2), slice(low[1], high[1]))
        first, stop = (np.clip(rows[window] - np.int32(low[2]), 0, np.int32(shape[2])) for rows in self._medium.tissue)
        stop[[0, -1]] = 0  # what lies beyond is not in the box
        self._tissue = first, stop


def _aligned(shape: tuple[int, ...], place: int) -> NDArray[np.float32]:
    """Memory in which rows begin where vector registers do, and pages share few cache sets with those of others."""
    size = math.prod(shape)
    raw = np.empty(size + LANES + place * _APART, np.float32)
    begin = -(raw.ctypes.data // raw.itemsize) % LANES + place * _APART
    return raw[begin : begin + size].reshape(shape)


def _with_empty_ghosts(rows: Rows) -> Rows:
    return np.pad(rows, ((1, 1), (0, 0)))


def _lanes(cells: int) -> int:
    return -(-cells // LANES) * LANES


def _with_ghosts(box: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.pad(box, ((1, 1), (0, 0), (0, 0)))
