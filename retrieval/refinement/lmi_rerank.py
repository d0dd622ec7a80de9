"""What a network tells of growth, put to the test: simulated, with draws of its doubt and what the best of these share.

Outlines at densities that nobody told leave growth in doubt. Of the draws that meet them best none is the truth, but
their middle lies nearer to it than what the network tells alone (benchmarks/lmi.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...store.cores import available_cores
from ...store.parameters import REFERENCE_DURATION_DAYS, GrowthParameters
from .objective import DiceObjective
from .posterior import BoxedDensity, Sample

SAMPLES = 64
"""Draws of a network's doubt that a query simulates."""

BEST = 4
"""Draws whose middle is taken."""


class Simulated(NamedTuple):
    """What became of a network's answer.

    Args:
        told: its own, None where it cannot be simulated or outgrows the outlines.
        draws: those that can be.
        middle: of the `BEST` draws, None where there are not so many.
    """

    told: Sample | None
    draws: tuple[Sample, ...]
    middle: Sample | None

    @property
    def all(self) -> tuple[Sample, ...]:
        """All that there are."""
        return tuple(sample for sample in (self.told, *self.draws, self.middle) if sample)


def simulated(objective: DiceObjective, told: GrowthParameters, draws: Sequence[GrowthParameters]) -> Simulated:
    """Simulate what a network tells, draws of its doubt, and the middle of those that fit best."""
    with ThreadPoolExecutor(available_cores()) as pool:
        first, *others = pool.map(lambda tumour: _sample(objective, tumour), (told, *draws))
    fitting = sorted((sample for sample in others if sample), key=lambda sample: sample.score, reverse=True)
    best = [sample.parameters for sample in fitting[:BEST] if sample.parameters]
    middle = _sample(objective, middle_of(best)) if len(best) == BEST else None
    return Simulated(first, tuple(sample for sample in others if sample), middle)


def middle_of(tumours: Sequence[GrowthParameters]) -> GrowthParameters:
    """Geometric means of √(DT) and √(ρT), and the mean seed and mass effect."""
    mu1, mu2 = np.exp(np.log([(tumour.mu1, tumour.mu2) for tumour in tumours]).mean(axis=0)).tolist()
    x, y, z = np.mean([tumour.seed_mm for tumour in tumours], axis=0).tolist()
    days, pressure = REFERENCE_DURATION_DAYS, float(np.mean([tumour.mass_effect for tumour in tumours]))
    return GrowthParameters((x, y, z), mu1**2 / days, mu2**2 / days, days, pressure)


def _sample(objective: DiceObjective, tumour: GrowthParameters) -> Sample | None:
    """Simulate a tumour whose seed is brought into tissue; None where it outgrows the outlines by far."""
    fit, run = objective.simulated(replace(tumour, seed_mm=objective.solver.nearest_seed(tumour.seed_mm)))
    if run is None:
        return None
    return Sample(fit.parameters, fit.thresholds, BoxedDensity.grown(run), fit.score)
