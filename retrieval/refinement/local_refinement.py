"""Local refinement as a query runs it: a search around the best matches, and a posterior around what it found."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...index import Hits, best_thresholds
from ...simulate import MASS_EFFECT_PA
from ...store.cores import available_cores
from ...store.reader import TumorStore
from ..imaging.patient import Patient
from .domain import check_model, matches_at, site_of
from .laplace_t import spread_of
from .local import (
    PUSHING_STEPS,
    STEPS,
    LocalSettings,
    Progress,
    as_numbers,
    from_numbers,
    pushing_numbers,
    refine_locally,
)
from .objective import DiceObjective, Fit
from .posterior import BoxedDensity, Posterior, Sample, misfits_of
from .refinement_base import Refined, Tell, carried
from .refinement_options import SimulationSpace


@dataclass(frozen=True)
class LocalRefinement:
    """Search around the best matches for a tumour that fits better; see `refine_locally`.

    Args:
        settings: see `LocalSettings`.
        where: anatomy to simulate in, see `site_of`.
        search_thresholds: find both thresholds too; without it, the store's are taken.
    """

    settings: LocalSettings = field(default_factory=LocalSettings)
    where: SimulationSpace = "patient"
    search_thresholds: bool = True

    @property
    def matches(self) -> int:
        """See `Refinement`."""
        return _MATCHES  # some may neither spread nor multiply

    def check(self, store: TumorStore) -> None:
        """See `Refinement`."""
        check_model(store)

    def __call__(self, store: TumorStore, hits: Hits, patient: Patient, tell: Tell | None = None) -> Refined:
        """See `Refinement`.

        Raises:
            InputError: no match has known parameters, nothing like the patient's tumour can be simulated around them,
                or the store is of another growth model.
        """
        begun = time.perf_counter()
        site = site_of(store, patient, self.where)
        began_from, starts = matches_at(site, store, hits, patient.spatial, self.settings.starts)
        hardest_pa = max(start.mass_effect for start in starts)  # one that was added may press harder than the prior's
        objective = DiceObjective(
            site.solver,
            site.core,
            site.whole,
            store.thresholds,
            search=self.search_thresholds,
            largest_pa=max(MASS_EFFECT_PA[1], hardest_pa),
        )
        fits = refine_locally(objective, starts, self.settings, _counting(tell))
        if not fits[0].score:
            raise InputError(
                f"around the best matches of {store.path} no tumour that resembles this one can be simulated",
                hint="look at the answer without ‹refine›",
            )
        samples, weights = _samples(fits, objective, self.settings.seed)
        posterior = Posterior(
            "local",
            self.where,
            site.atlas.frame,
            samples,
            weights,
            len(fits) + SAMPLES,
            time.perf_counter() - begun,
            began_from,
            asdict(self.settings) | {"where": self.where, "search_thresholds": self.search_thresholds},
        )
        density, atlas = carried(posterior.best.density.full(posterior.frame), posterior, store, patient)
        thresholds, masks = store.thresholds, patient.segmentation
        if self.search_thresholds:  # where the masks were drawn, they can be told a little better
            thresholds = best_thresholds(density, masks.core, masks.whole, store.thresholds)
        return Refined(density, atlas, thresholds, posterior)


def _counting(tell: Tell | None) -> Progress | None:
    return (lambda done, total: tell(f"{done:,} of {total:,} simulations")) if tell else None


def _samples(fits: list[Fit], objective: DiceObjective, seed: int) -> tuple[tuple[Sample, ...], NDArray[np.float64]]:
    """Draw tumours around the best fit, simulate them, and weigh each by how it fits; the best comes first."""
    numbers, steps = (pushing_numbers, PUSHING_STEPS) if objective.pushing else (as_numbers, STEPS)
    points = np.array([numbers(fit.parameters) for fit in fits])
    around = spread_of(points, misfits_of([fit.score for fit in fits]), np.array(steps), SHARPNESS)
    drawn = around.draw(SAMPLES, np.random.default_rng(seed))
    tumours = [fits[0].parameters, *map(from_numbers, drawn)]
    with ThreadPoolExecutor(available_cores()) as pool:
        simulated = list(pool.map(objective.simulated, tumours))
    # the best was found, not drawn: it stands for nothing but itself
    density = around.log_density(drawn)
    if objective.pushing:  # a mass effect below 0 is mirrored, see `from_numbers`
        density = np.logaddexp(density, around.log_density(drawn * np.array([1.0] * len(STEPS) + [-1.0])))
    logarithms = -SHARPNESS * np.log(misfits_of([fit.score for fit, _ in simulated[1:]])) - density
    weights = np.concatenate([[0.0], np.exp(logarithms - logarithms.max())])
    weights[[run is None for _, run in simulated]] = 0.0
    if not weights.any():
        weights[0] = 1.0
    samples, kept = [], []
    for (fit, run), weight in zip(simulated, weights / weights.sum(), strict=True):
        if run is not None:
            samples.append(Sample(fit.parameters, fit.thresholds, BoxedDensity.grown(run), fit.score))
            kept.append(weight)
    return tuple(samples), np.array(kept)


SAMPLES = 64
"""Tumours that stand for a posterior."""

SHARPNESS = 12.0
"""Of `weights_of_scores`: chosen so that credible intervals of simulated truths hold about what they say."""

_MATCHES = 15
