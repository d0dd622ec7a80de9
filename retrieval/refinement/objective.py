"""How well a simulated tumour fits two masks: the Dice sum, at the thresholds that fit best."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...index import SEARCHED_LEVELS, dice_of_levels
from ...simulate import MASS_EFFECT_PA, Growth, GrowthSolver, Prior, pushes
from ...store.parameters import GrowthParameters
from ...store.quantization import LEVELS, level_of, quantise

Mask = NDArray[np.bool_]

_PRIOR = Prior()
MU1_MM, MU2 = (
    tuple(math.sqrt(rates[n] * _PRIOR.duration[n]) for n in (0, 1))
    for rates in (_PRIOR.diffusivity, _PRIOR.proliferation)
)
"""Ranges of sqrt(D T), mm, and sqrt(rho T) that the prior allows; far beyond, a simulation would take minutes."""

DOUBT = 0.002
"""What Dice must gain for a threshold to lie 0.1 away from the store's; four times as much for 0.2."""


@dataclass(frozen=True)
class Fit:
    """A tumour that was tried.

    Args:
        parameters: what it was simulated with.
        thresholds: of core and whole, at which its outlines fit best.
        dice: of these outlines with the masks, core and whole.
        score: their sum, less what the thresholds' distance from the store's costs.
        updates: cells that were computed for it.
    """

    parameters: GrowthParameters
    thresholds: tuple[float, float]
    dice: tuple[float, float]
    score: float
    updates: int


class DiceObjective:
    """Simulates tumours and compares them with two masks; threads may call it side by side.

    Args:
        solver: of the anatomy that the masks lie in.
        core, whole: on its frame.
        thresholds: of core and whole, the store's.
        search: find both thresholds for every tumour; without it the store's are taken.
        largest_pa: greatest mass effect that is tried, by default the prior's, Pa.
    """

    def __init__(
        self,
        solver: GrowthSolver,
        core: Mask,
        whole: Mask,
        thresholds: dict[str, float],
        *,
        search: bool = True,
        largest_pa: float = MASS_EFFECT_PA[1],
    ) -> None:
        self._largest_pa = largest_pa
        self.solver, self.core, self.whole = solver, core, whole
        self.usual = thresholds["core"], thresholds["whole"]
        self._masks = core + np.uint8(2) * whole
        self._sizes = int(np.count_nonzero(core)), int(np.count_nonzero(whole))
        self._too_large_ml = TOO_LARGE * self._sizes[1] * solver.atlas.frame.voxel_ml
        usual = level_of(self.usual[0]), level_of(self.usual[1])
        self._levels = SEARCHED_LEVELS if search else ((usual[0], usual[0]), (usual[1], usual[1]))
        self._costs = [
            DOUBT * ((np.arange(first, last + 1) - at) / LEVELS / 0.1) ** 2
            for (first, last), at in zip(self._levels, usual, strict=True)
        ]

    @property
    def pushing(self) -> bool:
        """Whether tumours of this model push tissue."""
        return pushes(self.solver.settings.as_record())

    def __call__(self, parameters: GrowthParameters) -> Fit:
        """Simulate and compare; what the prior excludes, grows far beyond the masks or folds the tissue scores 0."""
        return self.simulated(parameters)[0]

    def simulated(self, parameters: GrowthParameters) -> tuple[Fit, Growth | None]:
        """Compare, and return the simulation too; None where it scores 0 because it could not be."""
        grows = MU1_MM[0] <= parameters.mu1 <= MU1_MM[1] and MU2[0] <= parameters.mu2 <= MU2[1]
        if not (grows and parameters.mass_effect <= self._largest_pa):
            return Fit(parameters, self.usual, (0.0, 0.0), 0.0, 0), None
        try:
            run = self.solver.grow(parameters, self._too_large_ml)
        except InputError:  # the seed is outside the tissue, or the equations were not solved
            return Fit(parameters, self.usual, (0.0, 0.0), 0.0, 0), None
        if run.outgrew or run.least_jacobian <= 0:
            return Fit(parameters, self.usual, (0.0, 0.0), 0.0, run.voxel_updates), None
        return self._compared(parameters, run), run

    def _compared(self, parameters: GrowthParameters, run: Growth) -> Fit:
        return Fit(parameters, *self.judged(run.density, run.low), run.voxel_updates)

    def judged(
        self, density: NDArray[np.float32], low: tuple[int, int, int]
    ) -> tuple[tuple[float, float], tuple[float, float], float]:
        """Compare a density in a box whose first voxel is `low`: thresholds, dice and score, see `Fit`."""
        shape = density.shape
        there = tuple(slice(a, a + n) for a, n in zip(low, shape, strict=True))
        masks = np.ascontiguousarray(self._masks[there])
        box = (0, 0, 0), (shape[0], shape[1], shape[2])
        of_levels = dice_of_levels(quantise(density), box, masks, self._sizes, self._levels)
        best = [int((dices - costs).argmax()) for dices, costs in zip(of_levels, self._costs, strict=True)]
        (core, whole), (core_level, whole_level) = (
            [float(dices[n]) for dices, n in zip(of_levels, best, strict=True)],
            [first + n for (first, _), n in zip(self._levels, best, strict=True)],
        )
        score = core + whole - sum(float(costs[n]) for costs, n in zip(self._costs, best, strict=True))
        return (core_level / LEVELS, whole_level / LEVELS), (core, whole), score


TOO_LARGE = 4.0  # times the whole mask, of what has a density of 0.2
