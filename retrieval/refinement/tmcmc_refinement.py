"""Transitional MCMC as a query runs it: the posterior of Ezhov et al. (2021) for a patient's outlines and PET."""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...index import Hits
from ...learn.surrogate import SurrogateFile
from ...simulate import Prior
from ...store.parameters import UNITS
from ...store.reader import TumorStore
from ..imaging.patient import Patient
from .checkpoint import load_checkpoint, save_checkpoint
from .diagnostics import r_hat
from .domain import Site, check_model, matches_at, pushing_doubts, site_of, surrogate_doubts
from .likelihood import Images
from .objective import TOO_LARGE
from .posterior import BoxedDensity, Posterior, Sample, weights_of_scores
from .posterior_problem import GrowthPosterior, GrowthPrior, seed_box
from .proposals import AroundTumours, Start, Within, around_samples
from .refinement_base import Refined, Tell, carried
from .refinement_options import PriorName, SimulationSpace
from .smc import sample
from .smc_settings import Progress, Sampled, TransitionalSettings


@dataclass(frozen=True)
class TransitionalRefinement:
    """Draw from the posterior of growth and imaging, by transitional MCMC; see `transitional.sample`.

    Args:
        settings: see `TransitionalSettings`.
        where: anatomy to simulate in, see `site_of`.
        prior: ranges of growth: "ezhov2021" of Table I of Ezhov et al. (2021), "store" of the store's own tumours.
        around_matches: begin around what retrieval found instead of with the prior; the posterior is the same.
        alike_mm: length over which images err alike, see `Images`.
        repeats: independent runs; from two on, R-hat says whether they agree.
        checkpoint: file that keeps the last complete stage; None for none.
        surrogate: that stands in for the solver; growth that it has not learned is taken for impossible.
        device: that the surrogate runs on.
    """

    settings: TransitionalSettings = field(default_factory=TransitionalSettings)
    where: SimulationSpace = "patient"
    prior: PriorName = "ezhov2021"
    around_matches: bool = False
    alike_mm: float = 0.0
    repeats: int = 1
    checkpoint: Path | None = None
    surrogate: SurrogateFile | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise InputError(f"‹chains› must be at least 1, not {self.repeats}")
        if not 0 <= self.alike_mm < math.inf:
            raise InputError(f"‹correlation_length_mm› must be a length in mm, 0 or more, not {self.alike_mm}")

    @property
    def matches(self) -> int:
        """See `Refinement`."""
        return _MATCHES

    def check(self, store: TumorStore) -> None:
        """See `Refinement`."""
        check_model(store, self.surrogate, self.device)

    def __call__(self, store: TumorStore, hits: Hits, patient: Patient, tell: Tell | None = None) -> Refined:
        """See `Refinement`.

        Raises:
            InputError: no tumour of the prior explains the images, the budget is too small, or the store is of another
                growth model.
        """
        begun = time.perf_counter()
        site = site_of(store, patient, self.where, self.surrogate, self.device, hits)
        began_from, problem = self._problem(store, hits, patient, site)
        starts = [self._start(problem, repeat, tell) for repeat in range(self.repeats)]
        runs = [self._run(problem, repeat, start, tell) for repeat, (start, _) in enumerate(starts)]
        pilots = sum(spent for _, spent in starts)
        points, probable = _pooled(runs)
        draws = _draws(problem, points)
        posterior = Posterior(
            "tmcmc",
            self.where,
            site.atlas.frame,
            *_samples(problem, points, probable),
            sum(run.evaluations for run in runs) + pilots + SAMPLES,
            time.perf_counter() - begun,
            began_from,
            self._record(problem),
            draws,
            _diagnostics(problem, runs, pilots),
            (*_doubts(problem, draws, self.prior), *surrogate_doubts(self.surrogate), *pushing_doubts(site)),
        )
        for path in filter(None, map(self._checkpoint, range(self.repeats))):
            path.unlink(missing_ok=True)
        density, atlas = carried(posterior.best.density.full(posterior.frame), posterior, store, patient)
        thresholds = dict(zip(("core", "whole"), posterior.best.thresholds, strict=True))
        return Refined(density, atlas, thresholds, posterior)

    def _problem(
        self, store: TumorStore, hits: Hits, patient: Patient, site: Site
    ) -> tuple[tuple[int, ...], GrowthPosterior]:
        core = site.core if patient.segmentation.core.any() else None
        images = Images(site.atlas, core, site.whole, site.pet, self.alike_mm)
        prior = GrowthPrior() if self.prior == "ezhov2021" else GrowthPrior.of_store(Prior())
        seeds = seed_box(site.atlas, images)
        largest_ml = TOO_LARGE * site.whole_ml
        problem = GrowthPosterior(
            site.solver, images, prior, seeds, largest_ml=largest_ml, mass_effect=site.mass_effect
        )
        if not self.around_matches:
            return (), problem
        began_from, matches = matches_at(site, store, hits, patient.spatial, _MATCHES)
        scores = {int(tumour): float(score) for tumour, score in zip(hits.ids, hits.scores, strict=True)}
        weights = weights_of_scores([scores[tumour] for tumour in began_from], _SHARPNESS)
        around = AroundTumours(matches, weights, *problem.beside_shape)
        start = Within(around, problem.allows, "do not start around the matches, or try ‹prior=store›")
        return began_from, problem.beginning(start)

    def _start(self, problem: GrowthPosterior, repeat: int, tell: Tell | None) -> tuple[Start | None, int]:
        """Find where a run begins, by a small one from the matches, and the simulations that this takes."""
        if not self.around_matches:
            return None, 0
        seed = self.settings.seed + repeat
        pilot = sample(problem, replace(PILOT, seed=seed), progress=_counting(tell, "pilot: "))
        around = around_samples(pilot.points)
        return Within(around, problem.allows, "leave out ‹init=matches›"), pilot.evaluations

    def _run(self, problem: GrowthPosterior, repeat: int, start: Start | None, tell: Tell | None) -> Sampled:
        problem = problem.beginning(start)
        path, key = self._checkpoint(repeat), self._key(problem, repeat)
        return sample(
            problem,
            replace(self.settings, seed=self.settings.seed + repeat),
            begun=load_checkpoint(path, key) if path else None,
            save=(lambda stage: save_checkpoint(path, stage, key)) if path else None,
            progress=_counting(tell, f"run {repeat + 1} of {self.repeats}: " if self.repeats > 1 else ""),
        )

    def _checkpoint(self, repeat: int) -> Path | None:
        return self.checkpoint.with_name(f"{self.checkpoint.name}-{repeat}") if self.checkpoint else None

    def _key(self, problem: GrowthPosterior, repeat: int) -> str:
        """Name what is sampled: the same name goes on with the same samples."""
        images = problem.images
        digest = hashlib.sha256(json.dumps([self._record(problem), repeat], sort_keys=True).encode())
        digest.update(problem.solver.atlas.digest.encode())
        digest.update(json.dumps(problem.solver.settings.as_record(), sort_keys=True).encode())
        for image in (images.core, images.whole, images.pet):
            digest.update(b"-" if image is None else np.ascontiguousarray(image).tobytes())
        digest.update(problem.log_start(problem.draw(8, np.random.default_rng(0))).tobytes())
        return digest.hexdigest()

    def _record(self, problem: GrowthPosterior) -> dict[str, object]:
        return asdict(self.settings) | {
            "where": self.where,
            "prior": asdict(problem.prior),
            "around_matches": self.around_matches,
            "alike_mm": self.alike_mm,
            "repeats": self.repeats,
            "images": list(problem.images.known),
            "seeds_mm": [list(end) for end in problem.rates.seeds],
            **({"mass_effect_pa": problem.mass_effect} if problem.mass_effect else {}),
            **({"surrogate": self.surrogate.sha256} if self.surrogate else {}),
        }


def _counting(tell: Tell | None, which: str) -> Progress | None:
    if tell is None:
        return None
    return lambda done, exponent: tell(f"{which}{done:,} simulations, exponent {exponent:.2g} of 1")


def _pooled(runs: list[Sampled]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draws of all runs and the logarithms of their probability, the most probable first."""
    points = np.concatenate([run.points for run in runs])
    probable = np.concatenate([run.log_posterior for run in runs])
    best = int(probable.argmax())
    order = [best, *(n for n in range(len(probable)) if n != best)]
    return points[order], probable[order]


def _samples(
    problem: GrowthPosterior, points: NDArray[np.float64], probable: NDArray[np.float64]
) -> tuple[tuple[Sample, ...], NDArray[np.float64]]:
    """Simulate some draws again, for their densities: the first, the others evenly from all walks."""
    chosen = [0, *np.linspace(1, len(points) - 1, min(SAMPLES, len(points) - 1)).round().astype(int).tolist()]
    samples = []
    for row, tumour in zip(chosen, problem.tumours(points[chosen]), strict=True):
        imaging = problem.imaging_of(points[row])
        density = BoxedDensity.grown(tumour)
        thresholds = imaging.core, imaging.whole
        samples.append(Sample(problem.growth_of(points[row]), thresholds, density, float(probable[row])))
    # the best was picked, not drawn: it stands for nothing but itself
    weights = np.full(len(samples), 1 / (len(samples) - 1))
    weights[0] = 0.0
    return tuple(samples), weights


def _draws(problem: GrowthPosterior, points: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    columns = {
        name: points[:, n] if name.startswith("seed") else np.exp(points[:, n]) for n, name in enumerate(problem.names)
    }
    derived = {
        "diffusivity": columns["mu1_mm"] ** 2 / columns["duration"],
        "proliferation": columns["mu2"] ** 2 / columns["duration"],
    }
    thresholds = {"core", "whole", "width"}
    return {f"threshold_{name}" if name in thresholds else name: values for name, values in (columns | derived).items()}


def _doubts(problem: GrowthPosterior, draws: dict[str, NDArray[np.float64]], prior: PriorName) -> tuple[str, ...]:
    """Say which ranges of growth the posterior is pressed against: what lies beyond might explain the images better."""
    doubts = []
    for name in ("diffusivity", "proliferation", "duration"):
        low, high = np.log(getattr(problem.prior, name))
        place = (float(np.log(draws[name]).mean()) - low) / (high - low)
        if not _AT_THE_END < place < 1 - _AT_THE_END:
            wider = "; ‹prior=store› has other ranges" if prior == "ezhov2021" else ""
            doubts.append(
                f"the posterior is pressed against the {'lower' if place < 0.5 else 'upper'} end of the prior's range "
                f"of the {name} ({getattr(problem.prior, name)[int(place > 0.5)]:g} {UNITS[name]}){wider}"
            )
    return tuple(doubts)


def _diagnostics(problem: GrowthPosterior, runs: list[Sampled], pilots: int) -> dict[str, object]:
    effective = np.sum([run.effective_samples for run in runs], axis=0)
    agreement = r_hat([run.points for run in runs]) if len(runs) > 1 else None
    return {
        "log_evidence": [run.log_evidence for run in runs],
        "effective_samples": dict(zip(problem.names, effective.round(1).tolist(), strict=True)),
        "r_hat": None if agreement is None else dict(zip(problem.names, agreement.round(4).tolist(), strict=True)),
        "pilot_evaluations": pilots,
        "stages": [[asdict(stage) for stage in run.stages] for run in runs],
    }


PILOT = TransitionalSettings(samples=256, steps=16)
"""Of the run that begins around the matches and finds where the full one begins."""

SAMPLES = 256
"""Draws that are simulated again, for what they say of every voxel."""

_MATCHES, _SHARPNESS = 15, 8.0
_AT_THE_END = 0.02  # of the range
