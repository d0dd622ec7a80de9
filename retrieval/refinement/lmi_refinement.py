"""Learn-Morph-Infer (Ezhov et al. 2023): a network predicts the growth, and its simulation has to prove itself.

The network has learned from outlines of simulated tumours, which no patient's outlines are like: so what it tells is
simulated, compared with the patient's outlines beside the best match, and the better of the two is kept.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from ...index import Hits, best_thresholds
from ...learn.lmi import Estimate, GrowthReader
from ...store.parameters import GrowthParameters
from ...store.reader import TumorStore
from ..imaging.patient import Patient
from .anatomy import points_to_patient
from .domain import Site, check_model, site_of
from .lmi_rerank import SAMPLES, Simulated, simulated
from .objective import DiceObjective
from .posterior import BoxedDensity, Posterior, Sample
from .refinement_base import Refined, Tell, carried
from .refinement_options import SimulationSpace


@dataclass(frozen=True)
class InferenceRefinement:
    """Ask a network for the growth, simulate it and draws of the network's doubt, and keep the best, or the best match.

    Args:
        where: anatomy to simulate in, see `site_of`; the network looks at the atlas.
        search_thresholds: find both thresholds too; without it, the store's are taken.
        arch: of the network, one of `GROWTH_DESIGNS`.
        seed: of the draws.
    """

    where: SimulationSpace = "patient"
    search_thresholds: bool = True
    arch: str = "small"
    seed: int = 1

    @property
    def matches(self) -> int:
        """See `Refinement`."""
        return 1

    def check(self, store: TumorStore) -> None:
        """See `Refinement`."""
        check_model(store)
        GrowthReader.of(store, self.arch)

    def __call__(self, store: TumorStore, hits: Hits, patient: Patient, tell: Tell | None = None) -> Refined:
        """See `Refinement`.

        Raises:
            InputError: PyTorch is missing, there is no network for this store, or the store is of another growth model.
        """
        begun = time.perf_counter()
        reader = GrowthReader.of(store, self.arch)
        at_atlas = site_of(store, patient, "atlas")
        site = at_atlas if self.where == "atlas" else site_of(store, patient, self.where)
        estimate = reader(at_atlas.core, at_atlas.whole, SAMPLES, self.seed)
        if tell:
            tell(f"simulating what the network tells, and {SAMPLES} draws of its doubt")
        objective = DiceObjective(site.solver, site.core, site.whole, store.thresholds, search=self.search_thresholds)
        told, *draws = _placed(estimate, site, store, patient)
        found = simulated(objective, told, draws)
        match = _match(objective, site, store, hits, patient)
        best = max([match, *found.all], key=lambda sample: sample.score)
        scores = {
            "match": match.score,
            "network": found.told.score if found.told else 0.0,
            "draw": max((sample.score for sample in found.draws), default=0.0),
            "middle": found.middle.score if found.middle else 0.0,
        }
        samples = (best, *(sample for sample in found.all if sample is not best))
        weights = np.array([float(sample is not match and sample is not found.middle) for sample in samples])
        weights = weights if weights.any() else np.ones(len(samples))
        posterior = Posterior(
            "lmi",
            self.where,
            site.atlas.frame,
            samples,
            weights / weights.sum(),  # match and middle are no draws: they stand for nothing but themselves
            2 + SAMPLES,
            time.perf_counter() - begun,
            (int(hits.ids[0]),),
            {"where": self.where, "search_thresholds": self.search_thresholds, "arch": self.arch, "seed": self.seed},
            {},
            {
                "kept": _origin(best, match, found),
                "scores": scores,
                "distance": estimate.distance,
                "farther": estimate.farther,
                "networks": [file.sha256 for file in reader.files],
            },
            tuple(_doubts(estimate, scores, kept_match=best is match)),
        )
        if best is match:  # as retrieved: by way of the site's voxels it would lose a little
            atlas, grid = store.density(int(hits.ids[0])), patient.segmentation.frame
            density = np.clip(patient.spatial.to_patient(atlas, store.frame, grid), 0.0, 1.0)
        else:
            density, atlas = carried(best.density.full(posterior.frame), posterior, store, patient)
        thresholds, masks = store.thresholds, patient.segmentation
        if self.search_thresholds:
            thresholds = best_thresholds(density, masks.core, masks.whole, store.thresholds)
        return Refined(density, atlas, thresholds, posterior)


def _placed(estimate: Estimate, site: Site, store: TumorStore, patient: Patient) -> list[GrowthParameters]:
    """Take what is told, then the draws, to where they are to be simulated."""
    tumours = [estimate.parameters, *estimate.draws]
    seeds = np.array([tumour.seed_mm for tumour in tumours])
    if site.space == "patient":
        seeds = points_to_patient(seeds, store.frame, patient.spatial, site.atlas.frame)
    return [replace(tumour, seed_mm=(x, y, z)) for tumour, (x, y, z) in zip(tumours, seeds.tolist(), strict=True)]


def _origin(best: Sample, match: Sample, found: Simulated) -> str:
    if best is match:
        return "match"
    return "network" if best is found.told else "middle" if best is found.middle else "draw"


def _match(objective: DiceObjective, site: Site, store: TumorStore, hits: Hits, patient: Patient) -> Sample:
    """Bring the best match to the site, and compare it as everything else."""
    tumour = int(hits.ids[0])
    density, parameters = store.density(tumour), store.known_parameters(tumour)
    if site.space == "patient":  # where its parameters would give another tumour
        density, parameters = patient.spatial.to_patient(density, store.frame, site.atlas.frame), None
    boxed = BoxedDensity.of(np.clip(density, 0.0, 1.0))
    thresholds, _, score = objective.judged(boxed.values, boxed.low)
    return Sample(parameters, thresholds, boxed, score, tumour)


def _doubts(estimate: Estimate, scores: dict[str, float], *, kept_match: bool) -> list[str]:
    doubts = []
    if kept_match:
        told = max(score for name, score in scores.items() if name != "match")
        doubts.append(
            f"the best match fits the outlines better than what the network tells (Dice sum {scores['match']:.3f}, "
            f"{told:.3f}): the match is kept"
        )
    if not estimate.farther:
        doubts.append(
            f"the outlines lie farther from those that the network has learned from (distance {estimate.distance:.1f}) "
            "than any simulated tumour that it was tried on: what it tells may be far off"
        )
    return doubts
