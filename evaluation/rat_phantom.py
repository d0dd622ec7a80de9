"""The synthetic case of Ezhov et al. (2019): a tumour in a rat's brain, seen on day 9, whose day 11 is to be foretold.

There is no rat's atlas here: the human one at a tenth of its size stands for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..retrieval.forecast import FollowUp, Ranges, Scan
from ..simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters
from ..store.atlas import Atlas
from ..store.frame import Frame

DAY, LATER = 9.0, 11.0
SEED_MM = 2.8, -0.2, 1.8
TRUTH = np.array([np.log(0.02), np.log(0.6), 0.7, 0.25])
"""ln D (mm²/day), ln ρ (1/day), thresholds of T1 and T2."""

RANGES = Ranges((0.004, 0.08), (0.2, 1.2), (0.5, 0.85), (0.1, 0.5))
"""Around the truth; the paper does not say its own."""

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


def small_animal(solver: FisherKolmogorov) -> FollowUp:
    """Make the paper's problem: injected at a known place, seen on `DAY`.

    Args:
        solver: see `small_brain`.
    """
    rates = GrowthParameters(SEED_MM, float(np.exp(TRUTH[0])), float(np.exp(TRUTH[1])), DAY)
    density = solver(rates)
    core, whole = (density >= np.float32(threshold) for threshold in TRUTH[2:])
    low, values = solver.seed_density(SEED_MM)
    injected = np.zeros(solver.atlas.frame.shape, np.float32)
    injected[tuple(slice(a, a + n) for a, n in zip(low, values.shape, strict=True))] = values
    return FollowUp(solver, injected, Scan(DAY, core, whole), RANGES, _MARGIN)


def whole_ul(problem: FollowUp, point: NDArray[np.float64], days: float) -> float:
    """Volume that T2 shows of a point at a day, microlitres."""
    shown = np.count_nonzero(problem.grow(point, days).full() >= np.float32(point[3]))
    return float(shown) * problem.solver.atlas.frame.voxel_ml * 1000
