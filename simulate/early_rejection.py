"""Turning down hopeless draws before they are simulated.

Nine draws of ten end outside the realistic sizes. Three looks, cheapest first, tell most of them:

1. Growth alone: the volume with density >= 0.2 is at most the seed's volume times exp(rho T) over 0.2, because
   mass never grows faster than exp(rho t). Rigorous.
2. Distance: a Fisher front travels 2 sqrt(D rho) T = 2 mu1 mu2 in white matter, less in grey, and more slowly while it
   forms. `FARTHEST_FRONT_MM` is 1.45 times what any of 20,000 kept tumours had.
3. A run on a grid of twice the spacing, 32 times cheaper. Where the front, sqrt(D / rho) wide, is steep for the grid,
   its whole volume may be 1.9 times the real one; `LARGEST_EXCESS` leaves room for that on the upper limit, as measured
   on 20,163 draws. On the lower limit, cells of at least `FAINT_LEVEL` are counted instead of `SMALLEST_EXCESS` more
   of them: the volume of a diffuse tumour that barely shows may be off by any factor. Where its density stays below
   `CORE_LEVEL`, the real one has no core.

`benchmarks/preview_bias.py` counts what is lost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..store.atlas import Atlas
from ..store.frame import Frame
from ..store.manifest import THRESHOLDS
from ..store.parameters import GrowthParameters
from .active_box import Reach
from .active_rows import TAIL
from .elementary import exp
from .fisher_kolmogorov import FisherKolmogorov
from .growth import Growth
from .prior import Prior
from .settings import FisherKolmogorovSettings

FARTHEST_FRONT_MM = ((3.0, 390.0), (4.0, 340.0), (5.0, 210.0), (6.0, 185.0), (8.0, 155.0), (math.inf, 115.0))
"""Up to this mu2, no front that could have travelled farther belongs to a tumour of at most `FARTHEST_FRONT_ML`."""

FARTHEST_FRONT_ML = 250.0
LARGEST_EXCESS = ((0.6, 2.2), (1.0, 1.8), (1.5, 1.55), (4.0, 1.4), (math.inf, 1.25))
"""Up to this mu1/mu2 (mm), the coarse volume near the upper limit is at most that many times the real one."""

SMALLEST_EXCESS = 1.4
FAINT_LEVEL = 0.15
CORE_LEVEL = 0.45


@dataclass(frozen=True)
class Preview:
    """What a look before the simulation says.

    Args:
        hopeless: a full simulation would surely be thrown away.
        reach: voxels that the tumour is expected to come to; None where the looks stopped short of it.
    """

    hopeless: bool
    reach: Reach | None = None


class SizePreview:
    """Tells from a coarse run whether a tumour can have a realistic size, and where it will be.

    The run pushes no tissue, whatever the tumour does: see docs/decisions.md.
    """

    def __init__(self, atlas: Atlas, settings: FisherKolmogorovSettings, prior: Prior) -> None:
        self._prior = prior
        self._seed_ml = settings.seed_volume_ml
        self._half_tissue_ml = 0.5 * float(atlas.tissue.sum()) * atlas.frame.voxel_ml  # a front may miss a part of it
        self.coarse = FisherKolmogorov(_halved(atlas), replace(settings, growth_per_step=_COARSE_GROWTH_PER_STEP))
        self._voxel_ml = self.coarse.atlas.frame.voxel_ml

    def __call__(self, parameters: GrowthParameters) -> Preview:
        """Look at a draw."""
        if self.hopeless_at_a_glance(parameters):
            return Preview(hopeless=True)
        whole_grid = (0, 0, 0), self.coarse.atlas.frame.shape
        try:
            self.coarse.seed_density(parameters.seed_mm)
        except InputError:  # the seed's tissue vanished on the coarse grid
            return Preview(hopeless=False)
        still = replace(parameters, mass_effect=0.0)
        return self.judged(self.coarse.grow(still, self.coarse_limit_ml(parameters), whole_grid))

    def hopeless_at_a_glance(self, parameters: GrowthParameters) -> bool:
        """Whether growth alone or the way of the front says so."""
        low, high = self._prior.whole_ml
        growth = min(parameters.proliferation * parameters.duration, 700.0)
        if self._seed_ml * exp(growth) / THRESHOLDS["whole"] < low:
            return True
        farthest = next(mm for limit, mm in FARTHEST_FRONT_MM if parameters.mu2 <= limit)
        farthest *= max(1.0, high / FARTHEST_FRONT_ML) ** (1 / 3)
        return high < self._half_tissue_ml and 2 * parameters.mu1 * parameters.mu2 > farthest

    def coarse_limit_ml(self, parameters: GrowthParameters) -> float:
        """Whole volume of the coarse run above which the real tumour is too large."""
        excess = next(excess for limit, excess in LARGEST_EXCESS if not parameters.mu1 > limit * parameters.mu2)
        return self._prior.whole_ml[1] * excess

    def judged(self, run: Growth) -> Preview:
        """Say what a coarse run tells."""
        low = self._prior.whole_ml[0]
        faint_ml = float((run.density >= FAINT_LEVEL).sum()) * self._voxel_ml
        coreless = self._prior.core_ml[0] > 0 and float(run.density.max()) < CORE_LEVEL
        if run.outgrew or faint_ml * SMALLEST_EXCESS < low or coreless:
            return Preview(hopeless=True)
        return Preview(hopeless=False, reach=_reach(run))


def _reach(run: Growth) -> Reach | None:
    """Voxels of the fine grid that a coarse run came to, with the room that the solver keeps ahead of life."""
    if not (run.density > TAIL).any():
        return None
    low, high = [], []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        alive = np.flatnonzero((run.density > TAIL).any(axis=others))
        low.append(2 * (run.low[axis] + int(alive[0])) - _ROOM)
        high.append(2 * (run.low[axis] + int(alive[-1]) + 1) + _ROOM)
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


_COARSE_GROWTH_PER_STEP = 1.0
_ROOM = 8


def _halved(atlas: Atlas) -> Atlas:
    shape = tuple(n // 2 for n in atlas.frame.shape)
    affine = atlas.frame.affine.copy()
    affine[:3, :3] *= 2
    affine[:3, 3] = atlas.frame.world([0.5, 0.5, 0.5])

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        i, j, k = shape
        blocks = values[: 2 * i, : 2 * j, : 2 * k].reshape(i, 2, j, 2, k, 2)
        return np.asarray(blocks.mean(axis=(1, 3, 5)), dtype=np.float32)

    frame = Frame((shape[0], shape[1], shape[2]), affine)
    return Atlas(atlas.name, frame, mean(atlas.white), mean(atlas.grey), mean(atlas.csf), mean(atlas.t1))
