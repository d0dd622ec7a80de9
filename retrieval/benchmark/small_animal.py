"""The synthetic case of paper 002: a tumour in a rat's brain, seen on day 9, whose day 11 is to be foretold.

There is no rat's atlas here: the human one at a tenth of its size stands for it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from ...simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters
from ...store.atlas import Atlas
from ...store.cores import available_cores
from ...store.frame import Frame

DAY, LATER = 9.0, 11.0
SEED_MM = 2.8, -0.2, 1.8
TRUTH = np.array([np.log(0.02), np.log(0.6), 0.7, 0.25])
"""ln D (mm²/day), ln ρ (1/day), thresholds of T1 and T2."""

NAMES = "diffusivity", "proliferation", "threshold_core", "threshold_whole"
_SIZE, _MARGIN = 0.1, 20  # of the human brain; voxels around the observed tumour


def small_brain(atlas: Atlas) -> FisherKolmogorov:
    """Solver in a brain of a tenth of the size, with a seed as much smaller."""
    affine = atlas.frame.affine.copy()
    affine[:3] *= _SIZE
    small = Atlas(
        f"{atlas.name}, a tenth",
        Frame(atlas.frame.shape, affine),
        *(getattr(atlas, name) for name in ("white", "grey", "csf", "t1")),
    )
    usual = FisherKolmogorovSettings()
    settings = FisherKolmogorovSettings(
        seed_volume_ml=usual.seed_volume_ml * _SIZE**3, seed_width_mm=usual.seed_width_mm * _SIZE
    )
    return FisherKolmogorov(small, settings)


class SmallAnimal:
    """Label maps of tumours seeded at a known place, and a uniform prior of `NAMES`.

    Args:
        solver: see `small_brain`.
    """

    low = np.array([np.log(0.004), np.log(0.2), 0.5, 0.1])
    high = np.array([np.log(0.08), np.log(1.2), 0.85, 0.5])

    def __init__(self, solver: FisherKolmogorov) -> None:
        self.solver = solver
        seen = self.density(TRUTH, DAY) >= np.float32(TRUTH[3])
        voxels = np.argwhere(seen)
        low, high = voxels.min(axis=0) - _MARGIN, voxels.max(axis=0) + _MARGIN
        self._box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        self.observed = self.label_map(TRUTH)

    def density(self, point: NDArray[np.float64], days: float) -> NDArray[np.float32]:
        """Density of a point at a day, on the frame."""
        return self.solver(GrowthParameters(SEED_MM, float(np.exp(point[0])), float(np.exp(point[1])), days))

    def label_map(self, point: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Tell what T1 and T2 show of it on day 9."""
        density = self.density(point, DAY)[self._box]
        core, whole = (density >= np.float32(threshold) for threshold in point[2:])
        return np.asarray(core.astype(np.uint8) + whole, np.uint8)

    def label_maps(
        self, points: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """See `LabelProblem`."""
        with ThreadPoolExecutor(available_cores()) as pool:
            maps = list(pool.map(self.label_map, points))
        return np.ones(len(points), bool), np.array(maps, np.uint8).reshape(-1, *self.observed.shape)

    def whole_ul(self, point: NDArray[np.float64], days: float) -> float:
        """Volume that T2 shows at a day, microlitres."""
        shown = np.count_nonzero(self.density(point, days) >= np.float32(point[3]))
        return float(shown) * self.solver.atlas.frame.voxel_ml * 1000
