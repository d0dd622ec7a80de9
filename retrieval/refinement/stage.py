"""Stages after retrieval as a query runs them: matches in, a better tumour and its posterior out."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...index import Hits, best_thresholds
from ...simulate import FisherKolmogorov, FisherKolmogorovSettings
from ...store.atlas import Atlas
from ...store.cores import available_cores
from ...store.parameters import GrowthParameters
from ...store.reader import TumorStore
from ..segmentation import Segmentation
from ..spatial import AffineMap, SpatialMap, mask_to_atlas
from .anatomy import patient_anatomy, points_to_patient
from .local import STEPS, LocalSettings, as_numbers, from_numbers, refine_locally
from .objective import DiceObjective, Fit
from .posterior import BoxedDensity, Posterior, Sample, misfits_of
from .spread import spread_of

Progress = Callable[[int, int], None]
Where = Literal["patient", "atlas"]
"""Anatomies that tumours can be refined in."""


class Refined(NamedTuple):
    """What a stage makes of matches.

    Args:
        density: of the best tumour on the patient's grid, float32.
        density_atlas: the same on the store's frame.
        thresholds: of core and whole, at which its outlines fit the patient best.
        posterior: all that it found; its best sample is this tumour.
    """

    density: NDArray[np.float32]
    density_atlas: NDArray[np.float32]
    thresholds: dict[str, float]
    posterior: Posterior


class Refinement(Protocol):
    """A stage after retrieval."""

    @property
    def matches(self) -> int:
        """Distinct matches that it begins from."""
        ...

    def __call__(
        self,
        store: TumorStore,
        hits: Hits,
        segmentation: Segmentation,
        spatial: SpatialMap,
        progress: Progress | None = None,
    ) -> Refined:
        """Refine.

        Args:
            store: that was searched.
            hits: distinct matches, best first.
            segmentation: the patient's masks.
            spatial: correspondence between patient and atlas.
            progress: told how many simulations of how many are done.
        """
        ...


@dataclass(frozen=True)
class LocalRefinement:
    """Search around the best matches for a tumour that fits better; see `refine_locally`.

    Args:
        settings: see `LocalSettings`.
        where: "patient" simulates in the atlas's tissue carried to the patient, "atlas" in the atlas.
        search_thresholds: find both thresholds too; without it, the store's are taken.
    """

    settings: LocalSettings = field(default_factory=LocalSettings)
    where: Where = "patient"
    search_thresholds: bool = True

    @property
    def matches(self) -> int:
        """See `Refinement`."""
        return _MATCHES  # some may have no known parameters

    def __call__(
        self,
        store: TumorStore,
        hits: Hits,
        segmentation: Segmentation,
        spatial: SpatialMap,
        progress: Progress | None = None,
    ) -> Refined:
        """See `Refinement`.

        Raises:
            InputError: no match has known parameters, nothing like the patient's tumour can be simulated around them,
                or the store is of another growth model.
        """
        begun = time.perf_counter()
        grid = segmentation.frame
        atlas = store.atlas if self.where == "atlas" else patient_anatomy(store.atlas, spatial, grid)
        to_here = spatial if self.where == "atlas" else _SAME
        core = mask_to_atlas(to_here, segmentation.core, grid, atlas.frame)
        whole = mask_to_atlas(to_here, segmentation.whole, grid, atlas.frame) | core
        settings = FisherKolmogorovSettings.from_record(store.manifest.model, store.path, "leave out --refine")
        solver = FisherKolmogorov(atlas, settings)
        objective = DiceObjective(solver, core, whole, store.thresholds, search=self.search_thresholds)
        began_from, starts = self._starts(store, hits, spatial, atlas)
        fits = refine_locally(objective, starts, self.settings, progress)
        if not fits[0].score:
            raise InputError(
                f"around the best matches of {store.path} no tumour that resembles this one can be simulated: look at "
                "the answer without --refine"
            )
        samples, weights = _samples(fits, objective, self.settings.seed)
        posterior = Posterior(
            "local",
            self.where,
            atlas.frame,
            samples,
            weights,
            len(fits) + SAMPLES,
            time.perf_counter() - begun,
            began_from,
            asdict(self.settings) | {"where": self.where, "search_thresholds": self.search_thresholds},
        )
        return _refined(posterior, store, segmentation, spatial, search=self.search_thresholds)

    def _starts(
        self, store: TumorStore, hits: Hits, spatial: SpatialMap, atlas: Atlas
    ) -> tuple[tuple[int, ...], list[GrowthParameters]]:
        known = {int(tumour): store.known_parameters(int(tumour)) for tumour in hits.ids}
        starts = {tumour: p for tumour, p in known.items() if p is not None and p.mu1 > 0 and p.mu2 > 0}
        if not starts:
            raise InputError(
                f"none of the {len(known)} best matches of {store.path} has known rates of growth: leave out --refine"
            )
        ids, parameters = tuple(starts)[: self.settings.starts], list(starts.values())[: self.settings.starts]
        if self.where == "atlas":
            return ids, parameters
        seeds = points_to_patient(np.array([p.seed_mm for p in parameters]), store.frame, spatial, atlas.frame)
        return ids, [replace(p, seed_mm=tuple(seed)) for p, seed in zip(parameters, seeds.tolist(), strict=True)]


def _samples(fits: list[Fit], objective: DiceObjective, seed: int) -> tuple[tuple[Sample, ...], NDArray[np.float64]]:
    """Draw tumours around the best fit, simulate them, and weigh each by how it fits; the best comes first."""
    points = np.array([as_numbers(fit.parameters) for fit in fits])
    around = spread_of(points, misfits_of([fit.score for fit in fits]), np.array(STEPS), SHARPNESS)
    drawn = around.draw(SAMPLES, np.random.default_rng(seed))
    tumours = [fits[0].parameters, *map(from_numbers, drawn)]
    with ThreadPoolExecutor(available_cores()) as pool:
        simulated = list(pool.map(objective.simulated, tumours))
    # the best was found, not drawn: it stands for nothing but itself
    logarithms = -SHARPNESS * np.log(misfits_of([fit.score for fit, _ in simulated[1:]])) - around.log_density(drawn)
    weights = np.concatenate([[0.0], np.exp(logarithms - logarithms.max())])
    weights[[run is None for _, run in simulated]] = 0.0
    if not weights.any():
        weights[0] = 1.0
    samples, kept = [], []
    for (fit, run), weight in zip(simulated, weights / weights.sum(), strict=True):
        if run is not None:
            samples.append(Sample(fit.parameters, fit.thresholds, BoxedDensity(run.density, run.low), fit.score))
            kept.append(weight)
    return tuple(samples), np.array(kept)


def carried(
    values: NDArray[np.float32],
    posterior: Posterior,
    store: TumorStore,
    segmentation: Segmentation,
    spatial: SpatialMap,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bring values in [0, 1] on a posterior's frame to the patient's grid and to the atlas."""
    if posterior.space == "atlas":
        there, atlas = spatial.to_patient(values, store.frame, segmentation.frame), values
    else:
        there = segmentation.frame.resample(values, posterior.frame)
        atlas = spatial.to_atlas(values, posterior.frame, store.frame)
    return np.clip(there, 0.0, 1.0), np.clip(atlas, 0.0, 1.0)


def _refined(
    posterior: Posterior, store: TumorStore, segmentation: Segmentation, spatial: SpatialMap, *, search: bool
) -> Refined:
    best = posterior.best.density.full(posterior.frame)
    density, atlas = carried(best, posterior, store, segmentation, spatial)
    thresholds = store.thresholds
    if search:  # where the masks were drawn, they can be told a little better
        thresholds = best_thresholds(density, segmentation.core, segmentation.whole, store.thresholds)
    return Refined(density, atlas, thresholds, posterior)


SAMPLES = 64
"""Tumours that stand for a posterior."""

SHARPNESS = 12.0
"""Of `weights_of_scores`: chosen so that credible intervals of simulated truths hold about what they say."""

_MATCHES = 15
_SAME = AffineMap(np.eye(4), {})
