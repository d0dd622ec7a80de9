"""The part of the grid that a growing tumour has reached, kept compact and moved ahead of its front."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .live_rows import LANES, Rows
from .stencil import AT_EDGE, OUTGREW, count_at_least, grow_logistic, march

_GROWTH = np.array([8, 8, LANES])
"""Cells added to a side that life has reached, along x, y and z."""


@dataclass(frozen=True)
class Medium:
    """What a tumour spreads through, on the whole grid.

    Args:
        x, y, z: face coefficients, 1/mm²: entry (i, j, k) couples that cell with the next along the axis.
        tissue_first, tissue_stop: extent of tissue in each row along z, (x, y); see `extent_of_rows`.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    z: NDArray[np.float32]
    tissue_first: Rows
    tissue_stop: Rows

    @cached_property
    def largest(self) -> float:
        """Largest face coefficient, 1/mm²."""
        return float(max(self.x.max(), self.y.max(), self.z.max()))


class Workspace:
    """Memory that one box after another is carved from: touching fresh pages would cost as much as the arithmetic."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[np.float32]] = {}

    def carve(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return an array of zeros in the memory called `name`; what was carved from it before is lost."""
        size = math.prod(shape)
        held = self._held.get(name)
        if held is None or held.size < size:
            held = self._held[name] = np.empty(size, np.float32)
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
        workspace: memory to use; a box made in the same memory ends this one.
    """

    def __init__(
        self,
        medium: Medium,
        low: tuple[int, int, int],
        density: NDArray[np.float32],
        workspace: Workspace | None = None,
    ) -> None:
        self._medium = medium
        self._workspace = workspace or Workspace()
        self._scratch: NDArray[np.float32]
        self._memory = ["first", "second", "third"]  # of density, of scratch, and to spare
        self._grid = np.array(medium.x.shape)
        self._end = np.array([*self._grid[:2], _lanes(self._grid[2])])
        self._low = np.array([*low[:2], low[2] // LANES * LANES])
        self._high = np.array([low[0] + density.shape[0], low[1] + density.shape[1], _lanes(low[2] + density.shape[2])])
        start = np.zeros(self._high - self._low, np.float32)
        start[:, :, low[2] - self._low[2] :][:, :, : density.shape[2]] = density
        self.u = _with_ghosts(start)
        self._first = np.zeros(self.u.shape[:2], np.int32)
        self._stop = np.full(self.u.shape[:2], self.u.shape[2], np.int32)
        self._resize(np.array([True] * 6))
        self.updates = 0
        """Cells computed over all steps made."""
        self._steps = 0

    def grow(self, growth: np.float32) -> None:
        """Grow logistically, without spreading, by `growth` = exp(rho t)."""
        grow_logistic(self.u.ravel(), growth)

    def march(
        self,
        steps: int,
        diffusion: np.float32,
        growth: np.float32,
        level: np.float32,
        limits: NDArray[np.float64],
    ) -> tuple[int, bool]:
        """Make steps of spreading and growing (see `stencil.advance`), the box following the front.

        Args:
            steps: to make.
            diffusion: D_w times the time step, mm².
            growth: exp(rho times the time step).
            level: density that counts for the limits.
            limits: give up if more than limits[n] voxels hold at least `level` after n steps in all.

        Returns:
            Steps made, and whether it gave up.
        """
        made, reached = 0, np.zeros(6, np.bool_)
        spread = float(diffusion) * self._medium.largest
        while made < steps:
            more, updates, why = march(
                self.u,
                self._scratch,
                *self._faces,
                self._first,
                self._stop,
                *self._tissue,
                self._movable(),
                reached,
                steps - made,
                diffusion,
                growth,
                level,
                limits,
                self._steps,
                spread,
            )
            made += more
            self._steps += more
            self.updates += updates
            if more % 2:
                self.u, self._scratch = self._scratch, self.u
                self._memory[:2] = self._memory[1::-1]
            if why == OUTGREW:
                return made, True
            if why == AT_EDGE:
                self._resize(reached)
        return made, False

    def count_at_least(self, level: np.float32) -> int:
        """Count the voxels with at least this density, which must be above 0."""
        return int(count_at_least(self.u, self._first, self._stop, level))

    def inner(self) -> tuple[NDArray[np.float32], tuple[int, int, int]]:
        """Copy the density without what is outside the grid, and name the grid index of its first voxel."""
        x, y, z = (int(v) for v in self._low)
        return self.u[1:-1, :, : self._grid[2] - z].copy(), (x, y, z)

    def _movable(self) -> NDArray[np.bool_]:
        return np.ravel(np.column_stack([self._low > 0, self._high < self._end]))

    def _resize(self, sides: NDArray[np.bool_]) -> None:
        low = np.maximum(self._low - _GROWTH * sides[0::2], 0)
        high = np.minimum(self._high + _GROWTH * sides[1::2], self._end)
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
        self._take_medium(size)

    def _take_medium(self, size: tuple[int, int, int]) -> None:
        (x, y, z), (nx, ny, nz) = self._low, np.minimum(self._high, self._grid) - self._low
        window = (slice(x, x + nx), slice(y, y + ny), slice(z, z + nz))
        faces = []
        for name, coefficients in (("x", self._medium.x), ("y", self._medium.y), ("z", self._medium.z)):
            face = self._workspace.carve(name, size)
            face[1:-1, :, :nz] = coefficients[window]
            faces.append(face)
        faces[0][-2], faces[1][:, -1], faces[2][:, :, -1] = 0, 0, 0  # nothing leaves the box
        self._faces = faces
        self._tissue = [
            np.pad(np.clip(rows[window[:2]] - self._low[2], 0, size[2]), ((1, 1), (0, 0)))
            for rows in (self._medium.tissue_first, self._medium.tissue_stop)
        ]


def _lanes(cells: int) -> int:
    return -(-cells // LANES) * LANES


def _with_ghosts(box: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.pad(box, ((1, 1), (0, 0), (0, 0)))
