"""Neural posterior estimation as a query runs it: the posterior of growth given the label map of both outlines.

Five numbers of growth are asked for (seed, ln √(DT), ln √(ρT)), and the densities at which both outlines show. The
store's own tumours cost no simulation, and say where in the prior the first round is to look.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...index import Hits
from ...learn.surrogate import SurrogateFile
from ...store.cores import available_cores
from ...store.parameters import GrowthParameters
from ...store.reader import TumorStore
from ..imaging.patient import Patient
from .anatomy import points_to_patient
from .domain import Site, check_model, pushing_doubts, site_of, surrogate_doubts
from .likelihood import Images
from .local import as_numbers, from_numbers
from .objective import MU1_MM, MU2, TOO_LARGE
from .posterior import BoxedDensity, Posterior, Sample
from .posterior_problem import Box, seed_box
from .refinement_base import Refined, Tell, carried
from .refinement_options import ROUNDS, SIMULATIONS_PER_ROUND, SimulationSpace

if TYPE_CHECKING:
    from ...learn.npe.posterior_network import Inferred, NeuralSettings
    from ...learn.npe.truncated_prior import Region

Numbers = NDArray[np.float64]
Maps = NDArray[np.uint8]

CORE, WHOLE = (0.5, 0.85), (0.05, 0.5)
"""Densities at which T1Gd and FLAIR may show an outline (Ezhov et al. 2023)."""


@dataclass(frozen=True)
class NeuralRefinement:
    """Learn the posterior of growth and thresholds from simulations, in rounds; see `learn.neural_posterior`.

    Args:
        simulations, rounds, seed: see `NeuralSettings`.
        where: anatomy to simulate in, see `site_of`.
        known: tumours of the store to begin with; 0 begins with the whole prior.
        surrogate: that stands in for the solver; growth that it has not learned is taken for impossible.
        device: that the surrogate runs on.
    """

    simulations: int = SIMULATIONS_PER_ROUND
    rounds: int = ROUNDS
    seed: int = 1
    where: SimulationSpace = "patient"
    known: int = 2000
    surrogate: SurrogateFile | None = None
    device: str = "cpu"

    @property
    def matches(self) -> int:
        """See `Refinement`."""
        return 1

    def check(self, store: TumorStore) -> None:
        """See `Refinement`."""
        from ...learn.npe.mixture_density import require_sbi

        require_sbi()
        check_model(store, self.surrogate, self.device)

    def __call__(self, store: TumorStore, hits: Hits, patient: Patient, tell: Tell | None = None) -> Refined:
        """See `Refinement`.

        Raises:
            InputError: PyTorch or sbi is missing, there is no core, too little can be simulated, or the store is of
                another growth model.
        """
        from ...learn.npe.mixture_density import require_sbi
        from ...learn.npe.posterior_network import NeuralSettings, infer_from_labels

        require_sbi()
        begun = time.perf_counter()
        site = site_of(store, patient, self.where, self.surrogate, self.device, hits)
        problem = OutlineProblem(site)
        settings = NeuralSettings(self.simulations, self.rounds, scores=False, seed=self.seed)
        region = self._region(store, patient, problem, settings, tell)
        inferred = infer_from_labels(problem, problem.observed, settings, region=region, progress=tell)
        samples, draws = self._samples(problem, inferred)
        posterior = Posterior(
            "npe",
            self.where,
            site.atlas.frame,
            samples,
            np.full(len(samples), 1 / len(samples)),
            inferred.rounds[-1].simulations + len(samples),
            time.perf_counter() - begun,
            (),
            asdict(settings) | self._record(problem),
            draws,
            {"rounds": [asdict(one) for one in inferred.rounds], "strangeness": round(inferred.strangeness(), 2)},
            (*_doubts(inferred), *surrogate_doubts(self.surrogate), *pushing_doubts(site)),
        )
        density, atlas = carried(posterior.best.density.full(posterior.frame), posterior, store, patient)
        thresholds = dict(zip(("core", "whole"), posterior.best.thresholds, strict=True))
        return Refined(density, atlas, thresholds, posterior)

    def _record(self, problem: OutlineProblem) -> dict[str, object]:
        record: dict[str, object] = {"where": self.where, "known": self.known}
        record["seeds_mm"] = [list(end) for end in problem.seeds]
        if problem.site.mass_effect:
            record["mass_effect_pa"] = problem.site.mass_effect
        return record | ({"surrogate": self.surrogate.sha256} if self.surrogate else {})

    def _region(
        self,
        store: TumorStore,
        patient: Patient,
        problem: OutlineProblem,
        settings: NeuralSettings,
        tell: Tell | None,
    ) -> Region | None:
        """Find where in the prior to look, from the store's own tumours; None where these are too few."""
        from ...learn.npe.posterior_network import learn_posterior
        from ...learn.npe.truncated_prior import Region

        if not self.known:
            return None
        if tell:
            tell("learning from the store's own tumours")
        at_atlas = OutlineProblem(site_of(store, patient, "atlas"))
        points, maps = known_pairs(store, at_atlas, self.known, self.seed)
        if len(points) < _FEWEST_KNOWN:
            return None
        ends = at_atlas.low, at_atlas.high
        drawn = learn_posterior(points, maps, at_atlas.observed, ends, settings).draw(_PLACED, self.seed)
        if self.where == "patient":
            frame = problem.site.atlas.frame
            drawn[:, :3] = points_to_patient(drawn[:, :3], store.frame, patient.spatial, frame)
        # tumours of the store are no even draws from this prior, and may lie in another anatomy: look farther
        wide = drawn.mean(axis=0) + _FARTHER * (drawn - drawn.mean(axis=0))
        return Region.around(wide, problem.high - problem.low)

    def _samples(self, problem: OutlineProblem, inferred: Inferred) -> tuple[tuple[Sample, ...], dict[str, Numbers]]:
        """Draw from the posterior, and simulate some draws for their densities; that whose outlines fit best first."""
        points = inferred.draw(_DRAWS, self.seed + 1)
        with ThreadPoolExecutor(available_cores()) as pool:
            grown = list(pool.map(problem.grow, points[:SAMPLES]))
        samples = [
            Sample(problem.growth_of(point), problem.thresholds_of(point), density, problem.dice(density, point))
            for point, density in zip(points, grown, strict=False)
            if density is not None
        ]
        if not samples:
            raise InputError(
                "no draw from the learned posterior can be simulated", hint="give more ‹simulations_per_round›"
            )
        samples.sort(key=lambda sample: -sample.score)
        best = next(n for n, point in enumerate(points) if problem.growth_of(point) == samples[0].parameters)
        points = points[[best, *(n for n in range(len(points)) if n != best)]]
        growth = [problem.growth_of(point) for point in points]
        draws = {f"seed_{axis}_mm": points[:, n] for n, axis in enumerate("xyz")} | {
            "mu1_mm": np.array([p.mu1 for p in growth]),
            "mu2": np.array([p.mu2 for p in growth]),
            "threshold_core": points[:, 5],
            "threshold_whole": points[:, 6],
        }
        return tuple(samples), draws


class OutlineProblem:
    """Label maps of tumours simulated at a site, and the prior of seed, ln μ1, ln μ2 and both thresholds.

    Args:
        site: where.

    Raises:
        InputError: there is no core.
    """

    def __init__(self, site: Site) -> None:
        if not site.core.any():
            raise InputError("‹refine=npe› reads a label map of core and whole: this tumour has no core")
        self.site = site
        self.seeds: Box = seed_box(site.atlas, Images(site.atlas, site.core, site.whole))
        ends = [*zip(*self.seeds, strict=True), np.log(MU1_MM), np.log(MU2), CORE, WHOLE]
        self.low, self.high = np.array(ends, np.float64).T
        inside = np.argwhere(site.whole)
        margin = np.ceil(_MARGIN_MM / np.array(site.atlas.frame.spacing)).astype(int)
        low = np.maximum(inside.min(axis=0) - margin, 0)
        high = np.minimum(inside.max(axis=0) + margin + 1, site.atlas.frame.shape)
        self._box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        self.observed: Maps = (site.whole.astype(np.uint8) + site.core)[self._box]

    def label_maps(self, points: Numbers, rng: np.random.Generator) -> tuple[NDArray[np.bool_], Maps]:
        """See `LabelProblem`; a tumour far larger than the observed one is left out."""
        with ThreadPoolExecutor(available_cores()) as pool:
            grown = list(pool.map(self.grow, points))
        maps = [
            self.label_map(density.full(self.site.atlas.frame), self.thresholds_of(point))
            for density, point in zip(grown, points, strict=True)
            if density is not None
        ]
        possible = np.array([density is not None for density in grown], bool)
        return possible, np.array(maps, np.uint8).reshape(-1, *self.observed.shape)

    def label_map(self, density: NDArray[np.float32], thresholds: tuple[float, float]) -> Maps:
        """Label map that a density on the frame shows, within the box that is looked at."""
        seen = density[self._box]
        core, whole = (seen >= np.float32(threshold) for threshold in thresholds)
        return np.asarray(core.astype(np.uint8) + whole, np.uint8)

    def dice(self, density: BoxedDensity, point: Numbers) -> float:
        """Sum of the Dice of both outlines with the observed ones."""
        shown = self.label_map(density.full(self.site.atlas.frame), self.thresholds_of(point))
        pairs = ((shown >= label, self.observed >= label) for label in (1, 2))
        return sum(2.0 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)) for a, b in pairs)

    def grow(self, point: Numbers) -> BoxedDensity | None:
        """Simulate a point; None where nothing grows, or too much."""
        try:
            tumour = self.site.solver.grow(self.growth_of(point), TOO_LARGE * self.site.whole_ml)
        except InputError:  # the seed is outside the tissue, or the equations were not solved
            return None
        return None if tumour.outgrew or tumour.least_jacobian <= 0 else BoxedDensity.grown(tumour)

    def growth_of(self, point: Numbers) -> GrowthParameters:
        """Growth that a point stands for."""
        return replace(from_numbers(point[:5]), mass_effect=self.site.mass_effect)

    def thresholds_of(self, point: Numbers) -> tuple[float, float]:
        """Thresholds of core and whole that it stands for."""
        return float(point[5]), float(point[6])


def known_pairs(store: TumorStore, problem: OutlineProblem, most: int, seed: int) -> tuple[Numbers, Maps]:
    """Read tumours of a store that grew within a problem's prior in the atlas, with thresholds drawn anew.

    Args:
        store: of the tumours.
        problem: in the store's atlas.
        most: tumours to read.
        seed: of their choice and their thresholds.
    """
    rng = np.random.default_rng(seed)
    points, maps = [], []
    for tumour in rng.permutation(store.searched):
        parameters = store.known_parameters(int(tumour))
        if parameters is None or parameters.mu1 <= 0 or parameters.mu2 <= 0:
            continue
        point = np.array([*as_numbers(parameters), rng.uniform(*CORE), rng.uniform(*WHOLE)])
        if not ((point >= problem.low) & (point <= problem.high)).all():
            continue
        points.append(point)
        maps.append(problem.label_map(store.density(int(tumour)), problem.thresholds_of(point)))
        if len(points) == most:
            break
    return np.array(points).reshape(-1, len(problem.low)), np.array(maps, np.uint8).reshape(-1, *problem.observed.shape)


def _doubts(inferred: Inferred) -> list[str]:
    strange = inferred.strangeness()
    if strange <= _STRANGE:
        return []
    return [
        f"the masks lie {strange:.1f} standard deviations from what tumours of the posterior show: the neural "
        "posterior was asked beyond what it has learned"
    ]


SAMPLES = 256
"""Draws that are simulated, for what they say of every voxel."""

_DRAWS, _PLACED, _FEWEST_KNOWN = 2048, 400, 200
_FARTHER, _MARGIN_MM, _STRANGE = 1.5, 16.0, 4.0
