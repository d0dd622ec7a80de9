"""Turning down hopeless draws before they are simulated.

Nine draws of ten end outside the realistic sizes. Three looks, cheapest first, tell most of them:

1. Growth alone: the volume with density >= 0.2 is at most the seed's volume times exp(rho T) over 0.2, because
   mass never grows faster than exp(rho t). Rigorous.
2. Distance: a Fisher front travels 2 sqrt(D rho) T = 2 mu1 mu2. Where that is more than `FARTHEST_FRONT_MM`, even
   grey matter alone (speed / sqrt(10)) lets it run through the brain.
3. A run on a grid of twice the spacing, 32 times cheaper. Where the front, sqrt(D / rho) wide, is steep for the grid,
   its whole volume may be 1.9 times the real one; `LARGEST_EXCESS` leaves room for that on the upper limit, as measured
   on 20,163 draws. On the lower limit, cells of at least `FAINT_LEVEL` are counted instead of `SMALLEST_EXCESS` more
   of them: the volume of a diffuse tumour that barely shows may be off by any factor. Where its density stays below
   `CORE_LEVEL`, the real one has no core.

`benchmarks/preview_bias.py` counts what is lost.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..store.atlas import Atlas
from ..store.frame import Frame
from ..store.manifest import THRESHOLDS
from ..store.parameters import GrowthParameters
from .fisher_kolmogorov import FisherKolmogorov, FisherKolmogorovSettings
from .prior import Prior

FARTHEST_FRONT_MM = 400.0
LARGEST_EXCESS = ((0.6, 2.2), (1.0, 1.8), (1.5, 1.55), (4.0, 1.4), (math.inf, 1.25))
"""Up to this mu1/mu2 (mm), the coarse volume near the upper limit is at most that many times the real one."""

SMALLEST_EXCESS = 1.4
FAINT_LEVEL = 0.15
CORE_LEVEL = 0.45


class SizePreview:
    """Tells from a coarse run whether a tumour can have a realistic size."""

    def __init__(self, atlas: Atlas, settings: FisherKolmogorovSettings, prior: Prior) -> None:
        self._prior = prior
        self._seed_ml = settings.seed_volume_ml
        self._half_tissue_ml = 0.5 * float(atlas.tissue.sum()) * atlas.frame.voxel_ml  # a front may miss a part of it
        self._coarse = FisherKolmogorov(_halved(atlas), replace(settings, growth_per_step=0.5))
        self._voxel_ml = self._coarse.atlas.frame.voxel_ml

    def hopeless(self, parameters: GrowthParameters) -> bool:
        """Whether a full simulation of this draw would surely be thrown away."""
        low, high = self._prior.whole_ml
        growth = min(parameters.proliferation * parameters.duration, 700.0)
        if self._seed_ml * math.exp(growth) / THRESHOLDS["whole"] < low:
            return True
        if high < self._half_tissue_ml and 2 * parameters.mu1 * parameters.mu2 > FARTHEST_FRONT_MM:
            return True
        excess = next(excess for limit, excess in LARGEST_EXCESS if not parameters.mu1 > limit * parameters.mu2)
        try:
            run = self._coarse.grow(parameters, stop_above_ml=high * excess)
        except InputError:  # the seed's tissue vanished on the coarse grid
            return False
        faint_ml = float((run.density >= FAINT_LEVEL).sum()) * self._voxel_ml
        coreless = self._prior.core_ml[0] > 0 and float(run.density.max()) < CORE_LEVEL
        return run.outgrew or faint_ml * SMALLEST_EXCESS < low or coreless


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
