"""From the tumours that retrieval found to one that fits: seed, diffusion length and growth number by CMA-ES.

Only mu1 = sqrt(D T) and mu2 = sqrt(rho T) shape a density (Ezhov et al. 2023), so five numbers are searched: the seed,
and the logarithms of both; and the mass effect, where there is one. The thresholds are found anew for every tumour
(`DiceObjective`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...store.cores import available_cores
from ...store.parameters import REFERENCE_DURATION_DAYS, GrowthParameters
from .objective import DiceObjective, Fit
from .refinement_options import LOCAL_SIMULATIONS

Progress = Callable[[int, int], None]
"""Told how many simulations of how many are done."""

STEPS = (4.0, 4.0, 4.0, 0.25, 0.12)
"""Standard deviations that the search begins with: seed, mm; ln mu1; ln mu2."""

PUSHING_STEPS = (*STEPS, 2.0)
"""With that of the mass effect, kPa."""


@dataclass(frozen=True)
class LocalSettings:
    """How long and how widely to search.

    Args:
        evaluations: tumours to simulate besides the starts, over all of these; at least `POPULATION` for each.
        starts: matches to begin from.
        seed: of the random numbers.
        updates: cells to compute; large tumours end the search by it.
    """

    evaluations: int = LOCAL_SIMULATIONS
    starts: int = 2
    seed: int = 1
    updates: int = 30_000_000_000

    def __post_init__(self) -> None:
        if self.starts < 1 or self.seed < 0:
            raise InputError(f"starts must be at least 1 and a seed not negative, not {self.starts} and {self.seed}")
        if self.evaluations < POPULATION * self.starts:
            raise InputError(
                f"{self.evaluations} simulations are too few to begin from {self.starts} matches",
                hint=f"give at least {POPULATION * self.starts}",
            )


POPULATION = 8
"""Tumours simulated before the search is told how they fit; 4 + 3 ln 5 (Hansen 2016)."""


def refine_locally(
    objective: DiceObjective,
    starts: Sequence[GrowthParameters],
    settings: LocalSettings | None = None,
    progress: Progress | None = None,
) -> list[Fit]:
    """Search around each start for the tumour that fits best; the same on any number of cores.

    The starts compete for a quarter of the simulations. Then the best goes on until it gets no better, and what it
    leaves goes to the next.

    Args:
        objective: to maximise.
        starts: where to begin; those after `settings.starts` are not used.
        settings: see `LocalSettings`.
        progress: told how far it has come.

    Returns:
        All tumours tried and the starts, the best first.
    """
    settings = settings or LocalSettings()
    numbers = pushing_numbers if objective.pushing else as_numbers
    began_from = [numbers(start) for start in starts[: settings.starts]]
    searches = [_search(start, settings.seed + n) for n, start in enumerate(began_from, 1)]
    best = [0.0] * len(searches)
    tried: list[Fit] = []
    updates = 0

    def advance(n: int, end: int, last: int, pool: ThreadPoolExecutor) -> None:
        nonlocal updates
        while not searches[n].stop() and len(tried) + POPULATION <= end and updates < last:
            asked = searches[n].ask()
            fits = list(pool.map(lambda numbers: objective(from_numbers(numbers)), asked))
            searches[n].tell(asked, [-fit.score for fit in fits])
            tried.extend(fits)
            updates += sum(fit.updates for fit in fits)
            best[n] = max(best[n], *(fit.score for fit in fits))
            if progress:
                progress(len(tried), settings.evaluations)

    with ThreadPoolExecutor(available_cores()) as pool:
        at_starts = list(pool.map(lambda numbers: objective(from_numbers(numbers)), began_from))
        share = _TRIAL * len(searches)
        for n in range(len(searches)):
            end = max((n + 1) * settings.evaluations // share, len(tried) + POPULATION)
            advance(n, end, (n + 1) * settings.updates // share, pool)
        for n in sorted(range(len(searches)), key=lambda n: -best[n]):  # others get what the better one leaves
            advance(n, settings.evaluations, settings.updates, pool)
    # a search may leave its start and find nothing as good
    return sorted(tried + at_starts, key=lambda fit: -fit.score)


_TRIAL = 4  # all simulations are so many times those in which the starts compete


def as_numbers(parameters: GrowthParameters) -> NDArray[np.float64]:
    """Write a tumour as what is searched: seed in mm, ln mu1 (mu1 in mm), ln mu2."""
    return np.array([*parameters.seed_mm, math.log(parameters.mu1), math.log(parameters.mu2)])


def pushing_numbers(parameters: GrowthParameters) -> NDArray[np.float64]:
    """Write a tumour as what is searched where tumours push: behind the others, the mass effect in kPa."""
    return np.append(as_numbers(parameters), parameters.mass_effect / 1000)


def from_numbers(numbers: NDArray[np.float64]) -> GrowthParameters:
    """Inverse of `as_numbers` and `pushing_numbers`, at a duration of `REFERENCE_DURATION_DAYS`.

    A mass effect below 0, where a search may look, is mirrored.
    """
    x, y, z, mu1, mu2 = (float(v) for v in numbers[:5])
    found = GrowthParameters.from_mu((x, y, z), math.exp(mu1), math.exp(mu2), REFERENCE_DURATION_DAYS)
    return replace(found, mass_effect=1000 * abs(float(numbers[5]))) if len(numbers) > len(STEPS) else found


def _search(start: NDArray[np.float64], seed: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cma speaks of plotting libraries
        import cma
    rng = np.random.default_rng(seed)
    options = {
        "CMA_stds": list(PUSHING_STEPS[: len(start)]),
        "popsize": POPULATION,
        "seed": np.nan,  # its own would be that of all of numpy
        "randn": lambda *shape: rng.standard_normal(shape),
        "tolfun": 1e-5,
        "tolx": 1e-3,
        "verbose": -9,
    }
    return cma.CMAEvolutionStrategy(start, 1.0, options)
