"""Many tumours that push tissue, side by side: what `MassEffect` does, each array with an axis more.

All tumours of a batch are pushed together; between two pushes each makes its own time steps, those with fewer wait. So
batches are of tumours with about as many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....errors import InputError
from ....store.atlas import Atlas
from ....store.parameters import GrowthParameters
from ...active_rows import TAIL
from ...fisher_kolmogorov import WHOLE_LEVEL, growth_factor
from ...growth import Growth, Snapshot
from ...schedule import Stages, stages_of
from ..settings import MassEffectSettings
from ..solver import MassEffect
from ..tissue_grid import MARGIN, TissueGrid, slices_of
from .elasticity import ElasticBodies
from .tissue import MovingTissues, spread


@dataclass
class _Work:
    """A tumour to simulate.

    Args:
        parameters: of the tumour.
        stages: of its time steps.
        limits: voxels of whole tumour above which to give up, at each mark and in the end.
        shown: marks at which a snapshot is taken, counted from 0.
        taken: snapshots so far.
    """

    parameters: GrowthParameters
    stages: Stages
    limits: list[float]
    shown: set[int]
    taken: list[Snapshot] = field(default_factory=list)

    @property
    def ends(self) -> list[int]:
        """Stages made before each push, and before the last."""
        return [stage + 1 for stage in sorted(self.stages.marks)] + [len(self.stages.diffusion)]


class BatchedMassEffect:
    """The solver for one atlas on one device.

    Args:
        atlas: where tumours grow.
        settings: see `MassEffectSettings`.
        device: of PyTorch.
        batch: tumours to simulate at a time; by default as many as the GPU has memory for.
    """

    def __init__(
        self, atlas: Atlas, settings: MassEffectSettings, device: str = "cuda", batch: int | None = None
    ) -> None:
        self.host = MassEffect(atlas, settings)
        self._settings, self._device = settings, torch.device(device)
        self._grid = grid = TissueGrid.of(atlas, settings.voxels_a_cell)
        self._bodies = ElasticBodies(grid.body, grid.cell_mm, settings.form, self._device)
        self._batch = batch or self._most_at_a_time()

    def grow_many(
        self,
        wanted: Sequence[GrowthParameters],
        stop_above_ml: Sequence[float | None] | None = None,
        snapshots: Sequence[Sequence[float]] | None = None,
    ) -> list[Growth | None]:
        """Simulate tumours side by side; each is that of `MassEffect.grow`, to rounding and to its cut tails.

        One without mass effect makes its steps as if it pushed, no longer than between two pushes.

        Args:
            wanted: parameters of each.
            stop_above_ml: of each, see `FisherKolmogorov.grow`; looked at where the tissue is pushed.
            snapshots: shares of the duration of each, see `MassEffect.grow`.

        Returns:
            Each tumour; None where the elastic equations were not solved.

        Raises:
            InputError: no tissue lies within three widths of a seed, a mass effect is too large, or memory too small.
        """
        limits = stop_above_ml or [None] * len(wanted)
        snapshots = snapshots or [()] * len(wanted)
        works = [self._work(p, limit, shares) for p, limit, shares in zip(wanted, limits, snapshots, strict=True)]
        order = sorted(range(len(works)), key=lambda n: (len(works[n].limits), len(works[n].stages.diffusion)))
        found: dict[int, Growth | None] = {}
        while order:
            pushes = len(works[order[0]].limits)
            batch = [n for n in order[: self._batch] if len(works[n].limits) == pushes]
            try:
                found |= dict(zip(batch, self._march([works[n] for n in batch]), strict=True))
            except torch.OutOfMemoryError as error:
                if len(batch) == 1:
                    raise InputError(
                        "the GPU's memory does not hold one tumour",
                        hint="leave ‹device› out to use the CPU",
                    ) from error
                self._batch = len(batch) // 2  # others work on this GPU too
                continue
            order = order[len(batch) :]
        return [found[n] for n in range(len(works))]

    def _work(self, parameters: GrowthParameters, limit_ml: float | None, shares: Sequence[float]) -> _Work:
        plan = self.host.plan(parameters, limit_ml)
        marks = sorted(plan.marks)
        shown = {marks.index(mark) for share in shares if (mark := self.host.nearest_mark(plan, share)) is not None}
        limits = [float(plan.limits[mark]) for mark in [*marks, -1]]
        return _Work(parameters, stages_of(plan, parameters), limits, shown)

    def _most_at_a_time(self) -> int:
        """Tumours that fit into the memory that the GPU has left."""
        free_bytes = torch.cuda.mem_get_info(self._device)[0]
        return max(1, int(_PART_OF_MEMORY * free_bytes / (_ARRAYS * self._grid.brain.size * 4)))

    def _march(self, works: list[_Work]) -> list[Growth | None]:
        """Simulate works with as many pushes."""
        found: dict[int, Growth | None] = {}
        numbers = list(range(len(works)))  # of those that still grow
        tissue = MovingTissues(self._grid, self._settings, self._bodies, len(works), self._device)
        u = torch.stack([self._planted(work) for work in works])
        begins = [0] * len(works)
        for n in range(len(works[0].limits)):
            ends = [works[m].ends[n] for m in numbers]
            u = self._steps(u, tissue.faces, [works[m].stages for m in numbers], begins, ends)
            last = n + 1 == len(works[0].limits)
            ahead = [0.0 if last else works[m].stages.marks[end - 1][1] for m, end in zip(numbers, ends, strict=True)]
            density = _grown(u.clamp(0, 1), self._factors(works, numbers, [-days for days in ahead]))
            pressures = self._numbers([works[m].parameters.mass_effect for m in numbers])
            moved, solved = tissue.push(density, pressures)
            jacobians = tissue.least_jacobians().tolist()
            grown = _grown(moved, self._factors(works, numbers, ahead))
            whole = [_whole(values) for values in ((u, moved) if last else (grown,))]
            for place, m in enumerate(numbers):
                if not solved[place]:
                    found[m] = None
                    continue
                outgrew = max(counts[place] for counts in whole) > works[m].limits[n]
                if n in works[m].shown and not last:
                    days = works[m].stages.marks[ends[place] - 1][0]
                    works[m].taken.append(Snapshot(*self._cut(moved[place]), days, jacobians[place]))
                if last or outgrew:
                    found[m] = self._growth(works[m], moved[place], jacobians[place], outgrew=outgrew)
            staying = [place for place, m in enumerate(numbers) if m not in found]
            if not staying:
                break
            u = grown
            if len(staying) < len(numbers):
                which = torch.tensor(staying, device=self._device)
                u = u[which]
                tissue.keep(which)
            numbers, begins = [numbers[place] for place in staying], [ends[place] for place in staying]
        return [found[m] for m in range(len(works))]

    def _steps(
        self, u: Tensor, faces: tuple[Tensor, ...], stages: list[Stages], begins: list[int], ends: list[int]
    ) -> Tensor:
        """Make stages `begins` to `ends` of each tumour; see `super_steps` for the pairs that they come in."""
        parts = [slice(begin, end) for begin, end in zip(begins, ends, strict=True)]
        diffusion = self._table([one.diffusion[part] for one, part in zip(stages, parts, strict=True)], 0.0)
        growth = self._table([one.growth[part] for one, part in zip(stages, parts, strict=True)], 1.0)
        grows = (growth != 1).flatten(1).any(dim=1).tolist()
        for n in range(0, len(diffusion), 2):
            ahead = u + diffusion[n] * spread(u, faces)
            u = u + diffusion[n + 1] * spread(ahead, faces)
            if grows[n + 1]:
                u = torch.where(growth[n + 1] != 1, _grown(u.clamp(0, 1), growth[n + 1]), u)
        return u

    def _table(self, rows: list[list[float]], fill: float) -> Tensor:
        """Numbers of each tumour as (stage, tumour, 1, 1, 1); tumours with fewer have `fill`."""
        most = max(map(len, rows))
        table = np.array([row + [fill] * (most - len(row)) for row in rows], np.float32)
        return torch.from_numpy(np.ascontiguousarray(table.T)).to(self._device)[..., None, None, None]

    def _numbers(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self._device)

    def _factors(self, works: list[_Work], numbers: list[int], days: list[float]) -> Tensor:
        factors = [float(growth_factor(works[m].parameters, ahead)) for m, ahead in zip(numbers, days, strict=True)]
        return self._numbers(factors)[:, None, None, None]

    def _planted(self, work: _Work) -> Tensor:
        low, seed = self.host.seed_density(work.parameters.seed_mm)
        density = np.zeros(self._grid.brain.shape, np.float32)
        begin = np.array(low) - self._grid.low + MARGIN
        first, last = np.maximum(begin, 0), np.minimum(begin + seed.shape, density.shape)
        density[slices_of(first, last - first)] = seed[slices_of(first - begin, last - first)]
        planted = torch.from_numpy(density).to(self._device)
        return _grown(planted, torch.tensor(work.stages.first_growth, device=self._device))

    def _cut(self, density: Tensor) -> tuple[NDArray[np.float32], tuple[int, int, int]]:
        """Copy the box that a tumour lives in, and name its first voxel in the frame."""
        inner = density[self._grid.inner]
        low, size = [], []
        for axis in range(3):
            others = tuple(a for a in range(3) if a != axis)
            alive = torch.nonzero((inner > float(TAIL)).any(dim=others[1]).any(dim=others[0])).flatten().tolist() or [0]
            low.append(alive[0])
            size.append(alive[-1] + 1 - alive[0])
        box = inner[slices_of(np.array(low), np.array(size))].cpu().numpy()
        x, y, z = (int(v) for v in np.array(low) + self._grid.low)
        return box, (x, y, z)

    def _growth(self, work: _Work, density: Tensor, jacobian: float, *, outgrew: bool) -> Growth:
        updates, shape = len(work.stages.diffusion) * density.numel(), self._grid.frame.shape
        box, low = self._cut(density)
        return Growth(box, low, shape, work.stages.steps, updates, outgrew, tuple(work.taken), jacobian)


def _grown(density: Tensor, factor: Tensor) -> Tensor:
    """Let a density grow logistically by `factor` = exp(rho t)."""
    return density * factor / (1 + density * (factor - 1))


def _whole(density: Tensor) -> list[int]:
    """Voxels of whole tumour, of each."""
    counts: list[int] = (density >= float(WHOLE_LEVEL)).flatten(1).sum(dim=1).tolist()
    return counts


_PART_OF_MEMORY = 0.6
_ARRAYS = 150  # of a tumour at a time, at the most: 147 on a processor
