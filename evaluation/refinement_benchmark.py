"""What stages after retrieval gain: on simulated truths, whose density is known, and on patients."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UnsolvedError
from ..index import DiceIndex
from ..retrieval.imaging.choices import Space
from ..retrieval.imaging.patient import Patient
from ..retrieval.imaging.segmentation import Segmentation
from ..retrieval.imaging.spaces import space_map
from ..retrieval.imaging.transforms import AffineMap, SpatialMap
from ..retrieval.outputs import staged_folder
from ..retrieval.personalization import Stopwatch, check_filled, dice, personalize_with
from ..retrieval.refinement import METHODS, LocalRefinement, LocalSettings, Posterior, SimulationSpace
from ..retrieval.refinement.refinement_options import NoRefinement, RefinementContext, RefinementOptions, Tmcmc
from ..retrieval.result import Answer
from ..simulate import GrowthParameters, MassEffectSettings, model_in, settings_of, without_mass_effect
from ..store.atlas import Atlas
from ..store.quantization import dequantise, level_of, quantise
from ..store.reader import TumorStore, open_store
from .held_out_sets import cases_of, check_unseen, segmentation_of, unseen_tumours
from .scoring import bootstrap

Row = dict[str, Any]
Announce = Callable[[str, int, int], None]

LEVELS = (0.01, 0.1, 0.8)
"""Densities at which outlines are compared with those of the truth (Ezhov et al. 2023, Table 1)."""

PAPER = {"dice_0.01": 0.943, "dice_0.1": 0.932, "dice_0.8": 0.861}
"""Learn-Morph-Infer, one network for mu1, mu2 and seed (Ezhov et al. 2023, Table 1)."""

_IDENTITY = AffineMap(np.eye(4), {"kind": "identity"})
_SHOWS = 0.01  # density from which a voxel counts for coverage


@dataclass(frozen=True)
class StagesRequest:
    """What to compare.

    Args:
        store: path of the store.
        out: folder for the results.
        truths: simulations that the store has never seen; half of them are simulated finer, too.
        cohort: folder of patients; none without.
        space: that the patients are in.
        seed: of the truths.
        stages: names of those to compare; tmcmc begins around the matches, with growth as wide as the store's.
        correlation_length_mm: of tmcmc, length over which images err alike.
        local: how long the local search may go on.
    """

    store: str
    out: Path
    truths: int = 100
    cohort: Path | None = None
    space: Space = "sri24"
    seed: int = 3
    stages: tuple[str, ...] = ("local",)
    local: LocalSettings = field(default_factory=LocalSettings)
    correlation_length_mm: float | None = None


@dataclass(frozen=True)
class Truth:
    """A tumour of which everything is known.

    Args:
        parameters: of its simulation.
        density: on the store's frame.
    """

    parameters: GrowthParameters
    density: NDArray[np.float32]


def compare_stages(request: StagesRequest, announce: Announce = lambda what, done, total: None) -> list[Row]:
    """Refine simulated truths and patients; writes stages.jsonl and table.md.

    Truths are simulated as the store's tumours ("unseen"), and with voxels of half the size and the arithmetic mean for
    faces ("finer"), so that no tumour that is tried can be the truth itself.

    Returns:
        A row a stage and query.

    Raises:
        GliodexError: anything the user can mend.
    """
    store = ready_for_stages(request)
    index = DiceIndex.open(store)
    rows: list[Row] = []
    with staged_folder(request.out) as folder:
        for name, number, made in (
            ("unseen", request.truths, truths_of(store, request.seed)),
            ("finer", request.truths // 2, finer_truths_of(store, request.seed)),
        ):
            for n, truth in enumerate(islice(made, number), 1):
                announce(name, n, number)
                segmentation = Segmentation(*_masks_of(truth.density, store), store.frame)
                found = _asked(request, "atlas", folder, store, index, segmentation, _IDENTITY)
                rows += [{"set": name, "label": str(n)} | _against(*one, truth, store) for one in found]
        if request.cohort is not None:
            spatial = space_map(request.space, store.atlas)
            cases = cases_of(request.cohort)
            for n, case in enumerate(cases, 1):
                announce("patients", n, len(cases))
                found = _asked(request, "patient", folder, store, index, segmentation_of(case), spatial)
                rows += [{"set": "patients", "label": case.parent.name} | _score(*one) for one in found]
        (folder / "stages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "table.md").write_text(table(rows) + "\n")
    return rows


def ready_for_stages(request: StagesRequest) -> TumorStore:
    """Refuse what could not be compared in the end, before any work; returns the store.

    Raises:
        GliodexError: see `compare_stages`.
    """
    store = open_store(request.store)
    if request.truths < 2:
        raise InputError(f"‹n_synthetic› must be at least 2, not {request.truths}")
    for name in request.stages:
        if name not in METHODS or name == "none":
            raise InputError(f"‹stages={name}› is none of {', '.join(list(METHODS)[1:])}")
    if request.correlation_length_mm is not None and "tmcmc" not in request.stages:
        raise InputError("‹correlation_length_mm› is for tmcmc", hint="leave it out, or name tmcmc in ‹stages›")
    check_filled(store)
    check_unseen(store, request.seed)
    if request.cohort is not None:
        cases_of(request.cohort)
    for name in request.stages:
        if stage := METHODS[name]().stage(RefinementContext(request.out)):
            stage.check(store)
    return store


def truths_of(store: TumorStore, seed: int) -> Iterator[Truth]:
    """Simulate tumours that a store has never seen, endlessly.

    Raises:
        InputError: see `unseen_tumours`.
    """
    for parameters, integers in unseen_tumours(store, seed):
        yield Truth(parameters, dequantise(integers))


def finer_truths_of(store: TumorStore, seed: int) -> Iterator[Truth]:
    """Simulate the same tumours on voxels of half the size, with the other mean for the diffusivity of faces.

    Those that cannot be simulated there, or fold the tissue, are left out.
    """
    settings = settings_of(store.manifest.model, store.path, "compare with its own gliodex")
    plain = without_mass_effect(settings)
    plain = replace(plain, face_mean="arithmetic" if plain.face_mean == "harmonic" else "harmonic")
    finer = replace(settings, growth=plain) if isinstance(settings, MassEffectSettings) else plain
    solver = model_in(_halved_voxels(store.atlas), finer)
    i, j, k = store.frame.shape
    for truth in truths_of(store, seed):
        try:
            run = solver.grow(truth.parameters)
        except UnsolvedError:
            continue
        if run.least_jacobian <= 0:
            continue
        yield Truth(truth.parameters, run.full().reshape(i, 2, j, 2, k, 2).mean(axis=(1, 3, 5), dtype=np.float32))


def _halved_voxels(atlas: Atlas) -> Atlas:
    frame = atlas.frame.refined(2)
    white, grey, csf, t1 = (
        frame.resample(values, atlas.frame) for values in (atlas.white, atlas.grey, atlas.csf, atlas.t1)
    )
    white, grey, csf = (np.clip(values, 0.0, 1.0) for values in (white, grey, csf))
    return Atlas(f"{atlas.name}, finer", frame, white, grey, csf, t1)


def _masks_of(density: NDArray[np.float32], store: TumorStore) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    integers = quantise(density)
    core, whole = (integers >= level_of(store.thresholds[name]) for name in ("core", "whole"))
    return core, whole


Asked = tuple[Answer, float]
"""An answer, and seconds that its last stage took."""


def _options(name: str, where: SimulationSpace, request: StagesRequest) -> RefinementOptions:
    if name == "none":
        return NoRefinement()
    if name == "tmcmc":
        return Tmcmc(
            simulation_space=where,
            prior="store",
            init="matches",
            correlation_length_mm=request.correlation_length_mm or 0.0,
        )
    found: RefinementOptions = METHODS[name](simulation_space=where)
    return found


def _asked(
    request: StagesRequest,
    where: SimulationSpace,
    folder: Path,
    store: TumorStore,
    index: DiceIndex,
    segmentation: Segmentation,
    spatial: SpatialMap,
) -> list[Asked]:
    """Ask by retrieval alone, and by each stage."""
    found = []
    for name in ("none", *request.stages):
        stage = (
            LocalRefinement(request.local, where)
            if name == "local"
            else _options(name, where, request).stage(RefinementContext(folder))
        )
        watch = Stopwatch()
        made = personalize_with(store, index, Patient(segmentation, spatial), refinement=stage, watch=watch)
        found.append((made, watch.seconds["refinement" if stage else "search"]))
    return found


def _score(found: Answer, seconds: float) -> Row:
    """Score an answer by the Dice sum in the patient."""
    posterior = found.posterior
    alike = posterior.settings.get("alike_mm")
    return {
        "stage": posterior.method + (f", alike over {alike:g} mm" if alike else ""),
        "score": found.dice["score"],
        "evaluations": posterior.evaluations if found.before else 0,
        "seconds": seconds,
    }


def _against(found: Answer, seconds: float, truth: Truth, store: TumorStore) -> Row:
    """Score an answer by all that is known of a truth."""
    row = _score(found, seconds)
    density, parameters = found.density_atlas, found.posterior.best.parameters
    row["mae"] = float(np.abs(density - truth.density)[store.atlas.tissue].mean())
    for level in LEVELS:
        there = truth.density >= np.float32(level)
        row[f"dice_{level:g}"] = dice(density >= np.float32(level), there) if there.any() else None
    if parameters is not None:
        row["seed_mm"] = float(np.linalg.norm(np.subtract(parameters.seed_mm, truth.parameters.seed_mm)))
        row["mu1"] = parameters.mu1 / truth.parameters.mu1 - 1
        row["mu2"] = parameters.mu2 / truth.parameters.mu2 - 1
    return row | coverage(found.posterior, truth.density, store.atlas.tissue)


def coverage(posterior: Posterior, truth: NDArray[np.float32], tissue: NDArray[np.bool_]) -> Row:
    """Count the voxels whose density lies in its credible interval, of those that have a tumour in either.

    Args:
        posterior: on the frame of the others.
        truth: density.
        tissue: where tumours grow.
    """
    low, high = posterior.credible_maps()
    shows = tissue & ((truth >= _SHOWS) | (high >= _SHOWS))
    inside = (truth >= low - _ROUNDING) & (truth <= high + _ROUNDING)
    return {
        "coverage": float(inside[shows].mean()) if shows.any() else None,
        "width": float((high - low)[shows].mean()) if shows.any() else None,
        "effective_samples": posterior.effective_samples,
    }


_ROUNDING = 1 / 4095  # of the densities of a store


def table(rows: list[Row]) -> str:
    """Write a line a set and stage, in Markdown: means with 95 % intervals, medians of what is skewed."""
    head = ["truths", "stage", "n", "Dice sum", "MAE", *(f"Dice at {level:g}" for level in LEVELS)]
    head += ["seed off, mm", "√(DT) off", "√(ρT) off", "in 90 % interval", "simulations", "s"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name in dict.fromkeys(row["set"] for row in rows):
        for stage in dict.fromkeys(row["stage"] for row in rows if row["set"] == name):
            chosen = [row for row in rows if (row["set"], row["stage"]) == (name, stage)]
            cells = [
                _NAMES[name],
                stage,
                str(len(chosen)),
                _mean(chosen, "score"),
                _mean(chosen, "mae", 4, around=False),
            ]
            cells += [_mean(chosen, f"dice_{level:g}", around=False) for level in LEVELS]
            cells += [_median(chosen, "seed_mm", 2), _median(chosen, "mu1", 3), _median(chosen, "mu2", 3)]
            cells += [_mean(chosen, "coverage", 2, around=False), _median(chosen, "evaluations", 0)]
            cells.append(_median(chosen, "seconds", 1 if stage != "retrieval" else 3))
            lines.append(f"| {' | '.join(cells)} |")
    paper = [f"{value:.3f}" for value in PAPER.values()]
    lines.append(f"| simulated | Ezhov et al. (2023) | | | | {' | '.join(paper)} | | | | | | |")
    return "\n".join(lines)


_NAMES = {"unseen": "simulated alike", "finer": "simulated finer", "patients": "patients"}


def _known(rows: list[Row], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows if row.get(name) is not None], np.float64)


def _mean(rows: list[Row], name: str, digits: int = 3, *, around: bool = True) -> str:
    values = _known(rows, name)
    if not len(values):
        return ""
    text = f"{values.mean():.{digits}f}"
    if not around:
        return text
    low, high = bootstrap(values)
    return f"{text} ({low:.{digits}f} to {high:.{digits}f})"


def _median(rows: list[Row], name: str, digits: int) -> str:
    values = np.abs(_known(rows, name))
    return f"{np.median(values):.{digits}f}" if len(values) else ""
