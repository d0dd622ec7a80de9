"""The Fisher-Kolmogorov solver on an NVIDIA GPU: many tumours at once, each in a box of its own.

The same steps as on the CPU (`FisherKolmogorov`), on every cell of the box that the coarse run foretold; one launch
makes one stage of all tumours. numba-cuda, because its kernels read like those of `stencil` and its simulator runs them
where there is no GPU, in tests.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from ..errors import InputError
from ..store.atlas import Atlas
from ..store.parameters import GrowthParameters
from . import cuda_kernels
from .active_box import Reach
from .active_rows import TAIL
from .fisher_kolmogorov import WHOLE_LEVEL, FisherKolmogorov, check_still, growth_factor
from .growth import Growth, Snapshot
from .schedule import Stages, stages_of
from .settings import FisherKolmogorovSettings

BATCH_CELLS = 1 << 29
"""Cells of all boxes that are worked on at once: 4 GiB of the GPU's memory."""

_THREADS = 256
_ROOM = 4  # cells beyond the box foretold: the device has no margin that moves


def require_gpu() -> None:
    """Refuse where there is no usable GPU.

    Raises:
        InputError: none was found.
    """
    if not cuda.is_available():
        raise InputError(
            "‹device=cuda›: no NVIDIA GPU with a driver was found on this machine",
            hint="leave ‹device› out to use the CPU",
        )


@dataclass(frozen=True)
class _Work:
    """A tumour to simulate: its box is `shape` cells from `low` on."""

    parameters: GrowthParameters
    stages: Stages
    limit_ml: float | None
    low: NDArray[np.int64]
    shape: NDArray[np.int64]
    seed_low: tuple[int, int, int]
    seed: NDArray[np.float32]

    @property
    def cells(self) -> int:
        return int(np.prod(self.shape))


class CudaFisherKolmogorov:
    """The solver for one atlas on the current GPU.

    Args:
        atlas: where tumours grow.
        settings: see `FisherKolmogorovSettings`.

    Raises:
        InputError: there is no GPU.
    """

    def __init__(self, atlas: Atlas, settings: FisherKolmogorovSettings | None = None) -> None:
        require_gpu()
        self.host = FisherKolmogorov(atlas, settings)
        self._shape = atlas.frame.shape
        self._faces = tuple(cuda.to_device(np.ascontiguousarray(face)) for face in self.host.faces)

    def grow_many(
        self,
        wanted: Sequence[GrowthParameters],
        stop_above_ml: Sequence[float] | None = None,
        reaches: Sequence[Reach | None] | None = None,
        snapshots: Sequence[Sequence[float]] | None = None,
    ) -> list[Growth]:
        """Simulate tumours side by side; each is that of `FisherKolmogorov.grow`, to rounding and to its cut tails.

        Args:
            wanted: parameters of each.
            stop_above_ml: of each, see `FisherKolmogorov.grow`.
            reaches: box of voxels that each is expected to fill, None for the whole grid. One that leaves it is
                simulated again on the whole grid.
            snapshots: shares of the duration of each, see `FisherKolmogorov.grow`.

        Raises:
            InputError: no tissue lies within three widths of a seed, or a tumour has a mass effect.
        """
        for parameters in wanted:
            check_still(parameters)
        limits: Sequence[float | None] = stop_above_ml or [None] * len(wanted)
        reaches = reaches or [None] * len(wanted)
        snapshots = snapshots or [()] * len(wanted)
        works = [
            _Work(p, stages_of(self.host.plan(p, limit, shares), p), limit, *self._box(p, reach))
            for p, limit, shares, reach in zip(wanted, limits, snapshots, reaches, strict=True)
        ]
        found = self._in_batches(works)
        left = [n for n, run in enumerate(found) if not run.outgrew and _at_edge(run, self._shape)]
        again = [replace(works[n], low=np.zeros(3, np.int64), shape=np.array(self._shape)) for n in left]
        for n, run in zip(left, self._in_batches(again), strict=True):
            found[n] = run
        return found

    def _in_batches(self, works: list[_Work]) -> list[Growth]:
        """March works of about equally many stages together, as many as fit."""
        found: dict[int, Growth] = {}
        batch: list[int] = []
        order = sorted(range(len(works)), key=lambda n: len(works[n].stages.diffusion))
        for place, n in enumerate(order):
            batch.append(n)
            cells = sum(works[m].cells for m in batch)
            if place + 1 == len(order) or cells + works[order[place + 1]].cells > BATCH_CELLS:
                found |= dict(zip(batch, self._march([works[m] for m in batch]), strict=True))
                batch = []
        return [found[n] for n in range(len(works))]

    def _box(
        self, parameters: GrowthParameters, reach: Reach | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, int, int], NDArray[np.float32]]:
        """First cell and shape of a tumour's box, and its seed's first cell and density."""
        grid = np.array(self._shape)
        seed_low, seed = self.host.seed_density(parameters.seed_mm)
        if reach is None:
            return np.zeros(3, np.int64), grid, seed_low, seed
        low = np.maximum(np.minimum(np.array(reach[0]) - _ROOM, seed_low), 0)
        high = np.minimum(np.maximum(np.array(reach[1]) + _ROOM, np.array(seed_low) + seed.shape), grid)
        return low, high - low, seed_low, seed

    def _march(self, works: list[_Work]) -> list[Growth]:
        cells = [work.cells for work in works]
        begins = np.concatenate([[0], np.cumsum(cells)]).astype(np.int64)
        flat = np.zeros(begins[-1], np.float32)
        for work, begin, end in zip(works, begins, begins[1:], strict=False):
            box = flat[begin:end].reshape(work.shape)
            x, y, z = np.array(work.seed_low) - work.low
            i, j, k = work.seed.shape
            factor = work.stages.first_growth
            box[x : x + i, y : y + j, z : z + k] = work.seed * factor / (1 + work.seed * (factor - 1))
        starts = np.concatenate([np.arange(0, count, _THREADS) for count in cells]).astype(np.int64)
        owners = np.repeat(np.arange(len(cells)), [-(-count // _THREADS) for count in cells]).astype(np.int32)

        most = max(len(work.stages.diffusion) for work in works)
        diffusion, growth, limit = (
            np.stack([_padded(getattr(work.stages, name), most, fill) for work in works], axis=1)
            for name, fill in (("diffusion", -1.0), ("growth", 1.0), ("limit", math.inf))
        )
        u, scratch = cuda.to_device(flat), cuda.to_device(np.zeros_like(flat))
        alive, counts = cuda.to_device(np.ones(len(works), np.int8)), cuda.to_device(np.zeros(len(works), np.int64))
        where = (
            cuda.to_device(owners),
            cuda.to_device(starts),
            cuda.to_device(begins),
            cuda.to_device(np.stack([work.low for work in works])),
            cuda.to_device(np.stack([work.shape for work in works])),
        )
        d_diffusion, d_growth = cuda.to_device(diffusion.astype(np.float32)), cuda.to_device(growth.astype(np.float32))
        d_limit = cuda.to_device(limit.astype(np.float64))
        taken: list[list[Snapshot]] = [[] for _ in works]
        for stage in range(most):
            here, there = (u, scratch) if stage % 2 == 0 else (scratch, u)
            cuda_kernels.spread[len(owners), _THREADS](
                here, there, *self._faces, *where, d_diffusion, d_growth, alive, stage
            )
            if np.isfinite(limit[stage]).any():
                cuda_kernels.count[len(owners), _THREADS](there, *where[:3], d_limit, alive, counts, stage, WHOLE_LEVEL)
                cuda_kernels.judge[-(-len(works) // _THREADS), _THREADS](d_limit, alive, counts, stage)
            for n, work in enumerate(works):
                if stage in work.stages.marks and alive[n]:
                    days, ahead_days = work.stages.marks[stage]
                    back = growth_factor(work.parameters, -ahead_days)
                    density = u[begins[n] : begins[n + 1]].copy_to_host().reshape(work.shape)
                    density = np.clip(density, np.float32(0), np.float32(1))
                    density = density * back / (1 - density + density * back)
                    taken[n].append(Snapshot(density, _point(work.low), days))
        living = alive.copy_to_host()
        results = []
        for n, work in enumerate(works):
            density = u[begins[n] : begins[n + 1]].copy_to_host().reshape(work.shape)
            results.append(self._result(work, density, bool(living[n]), taken[n]))
        return results

    def _result(self, work: _Work, density: NDArray[np.float32], lived: bool, taken: list[Snapshot]) -> Growth:
        density = np.clip(density, np.float32(0), np.float32(1))
        whole_ml = np.count_nonzero(density >= WHOLE_LEVEL) * self.host.atlas.frame.voxel_ml
        outgrew = not lived or (work.limit_ml is not None and bool(whole_ml > work.limit_ml))
        updates = len(work.stages.diffusion) * density.size
        return Growth(density, _point(work.low), self._shape, work.stages.steps, updates, outgrew, tuple(taken))


def _padded(values: list[float], length: int, fill: float) -> NDArray[np.float64]:
    return np.pad(np.array(values, np.float64), (0, length - len(values)), constant_values=fill)


def _at_edge(run: Growth, grid: tuple[int, int, int]) -> bool:
    """Whether a tumour has come to a side of its box that is not the grid's."""
    for axis in range(3):
        sides = ((0, run.low[axis] > 0), (-1, run.low[axis] + run.density.shape[axis] < grid[axis]))
        for side, inner in sides:
            if inner and run.density.take(side, axis).max() > TAIL:
                return True
    return False


def _point(low: NDArray[np.int64]) -> tuple[int, int, int]:
    return int(low[0]), int(low[1]), int(low[2])
