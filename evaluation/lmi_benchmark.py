"""Errors of Learn-Morph-Infer on held-out tumours (Ezhov et al. 2023, Table 2 and Fig. 5).

A tumour is simulated, outlined at two densities drawn at random, and told from these outlines; what is told is
simulated and held against the truth. Beside it stand the nearest tumours of stores, by exact Dice at any thresholds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, UnsolvedError
from ..index.threshold_search import ThresholdSearch
from ..learn.lmi import (
    GROWTH_DESIGNS,
    SMALL_GROWTH,
    GrowthReader,
    Targets,
    growth_path,
)
from ..learn.training.density_crops import CORE_LEVELS, LEVELS_A_DENSITY, WHOLE_LEVELS
from ..retrieval.outputs import staged_folder
from ..retrieval.personalization import check_filled
from ..retrieval.refinement.lmi_rerank import BEST, simulated
from ..retrieval.refinement.objective import DiceObjective
from ..simulate import GrowthModel, GrowthParameters, model_of
from ..store.atlas import Atlas
from ..store.cores import available_cores
from ..store.quantization import dequantise
from ..store.reader import TumorStore, open_store
from .held_out_sets import check_unseen, unseen_tumours
from .lmi_table import LEVELS, ONE_NETWORK, Row, growth_table, plot_errors, summarise

Announce = Callable[[str, int, int], None]
Mask = NDArray[np.bool_]

NETWORKS: dict[str, tuple[Targets, ...]] = {
    "D, ρ, T and seed, two networks": (Targets("rates", "linear"), Targets("seed")),
    "D, ρ, T and seed, one network": (Targets("rates+seed", "linear"),),
    "ln D, ln ρ, ln T and seed, one network": (Targets("rates+seed"),),
    "√(DT), √(ρT) and seed, two networks": (Targets("mu"), Targets("seed")),
    ONE_NETWORK: (Targets(),),
    f"{ONE_NETWORK}, linear": (Targets("mu+seed", "linear"),),
}
"""What may have been trained for a store."""

NEIGHBOURS = 5000
"""Tumours of the small store whose nearest neighbours are shown beside the networks."""


@dataclass(frozen=True)
class GrowthBenchRequest:
    """What to compare.

    Args:
        store: whose networks are asked.
        out: folder for the results.
        unseen: simulations that the store has never seen.
        seed: of these, and of their outlines.
        draws: of the network's doubt, simulated of each tumour for a row of their own; 0 leaves it out.
    """

    store: str
    out: Path
    unseen: int = 1000
    seed: int = 3
    draws: int = 48


@dataclass(frozen=True, eq=False)
class Unseen:
    """A tumour that nobody has seen.

    Args:
        parameters: that it grew with.
        density: on the frame of the store.
        core, whole: its outlines.
    """

    parameters: GrowthParameters
    density: NDArray[np.float32]
    core: Mask
    whole: Mask


Teller = Callable[[Unseen], tuple[GrowthParameters | int, Row]]
"""From outlines to growth, or to a tumour of the store; and what else is to be told of this."""


def compare_growth_networks(
    request: GrowthBenchRequest, announce: Announce = lambda what, done, total: None
) -> list[Row]:
    """Ask networks and stores; writes lmi.jsonl, table.md and error_by_growth.png.

    Returns:
        A row a tumour and way of telling its growth.

    Raises:
        GliodexError: anything the user can mend.
    """
    store = ready_for_networks(request)
    judge = Judge(store)
    tellers = dict(_networks(store, judge, request)) | dict(_neighbours(store))
    rows: list[Row] = []
    with staged_folder(request.out) as folder, ThreadPoolExecutor(available_cores()) as pool:
        for n, tumour in enumerate(islice(outlined_tumours(store, request.seed), request.unseen), 1):
            announce("held-out tumors", n, request.unseen)
            told = {name: _timed(teller, tumour) for name, teller in tellers.items()}
            found = pool.map(lambda one, tumour=tumour: judge(tumour, one[0]), told.values())
            rows += [
                _about(tumour.parameters) | {"way": name, "label": n} | row | scores
                for (name, (_, row)), scores in zip(told.items(), found, strict=True)
            ]
        (folder / "lmi.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "table.md").write_text(growth_table(summarise(rows)) + "\n")
        plot_errors(rows, folder / "error_by_growth.png")
    return rows


def ready_for_networks(request: GrowthBenchRequest) -> TumorStore:
    """Refuse what could not be compared in the end, before any work; returns the store.

    Raises:
        GliodexError: see `compare_growth_networks`.
    """
    if request.unseen < 2:
        raise InputError(f"‹n_test› must be at least 2, not {request.unseen}")
    if 0 < request.draws < BEST:
        raise InputError(
            f"‹n_posterior_samples› must be 0, or at least the {BEST} whose middle is taken, not {request.draws}"
        )
    store = open_store(request.store)
    check_filled(store)
    check_unseen(store, request.seed)
    unaware(GrowthReader.of(store), request.seed)
    return store


def _about(truth: GrowthParameters) -> Row:
    return {"mu1": truth.mu1, "mu2": truth.mu2, "pressure": truth.mass_effect / 1000}


def outlined_tumours(store: TumorStore, seed: int) -> Iterator[Unseen]:
    """Simulate tumours that a store has never seen, endlessly, and outline them at random densities.

    Raises:
        InputError: see `unseen_tumours`.
    """
    rng = np.random.default_rng(seed)
    for parameters, integers in unseen_tumours(store, seed):
        density = dequantise(integers)
        whole, core = (
            density >= np.float32(rng.uniform(low, high) / LEVELS_A_DENSITY)
            for low, high in (WHOLE_LEVELS, CORE_LEVELS)
        )
        yield Unseen(parameters, density, core, whole)


class Judge:
    """Simulates what was told of a tumour, and holds it against the truth.

    Args:
        store: of the growth model and the atlas.
    """

    def __init__(self, store: TumorStore) -> None:
        self.solver = model_of(store, "compare with its own")
        self._store = store

    def __call__(self, truth: Unseen, told: GrowthParameters | int) -> Row:
        """Score growth, or a tumour of the store, by everything that is known of the truth."""
        if isinstance(told, int):
            density, parameters = self._store.density(told), self._store.known_parameters(told)
        else:
            parameters = replace(told, seed_mm=self.solver.nearest_seed(told.seed_mm))
            try:
                density = self.solver(parameters)
            except UnsolvedError:  # what cannot be simulated tells of no tumour
                density = np.zeros_like(truth.density)
        row = density_errors(density, truth.density, self._store.atlas)
        densest = np.count_nonzero(truth.density >= np.float32(LEVELS[-1]))
        row["densest_ml"] = float(densest * self._store.frame.voxel_ml)
        if parameters is not None:
            row["seed_mm"] = float(np.linalg.norm(np.subtract(parameters.seed_mm, truth.parameters.seed_mm)))
            row["mu1_off"] = parameters.mu1 / truth.parameters.mu1 - 1
            row["mu2_off"] = parameters.mu2 / truth.parameters.mu2 - 1
            row["pressure_off"] = (parameters.mass_effect - truth.parameters.mass_effect) / 1000
        return row


def density_errors(density: NDArray[np.float32], truth: NDArray[np.float32], atlas: Atlas) -> Row:
    """Compare a density with the truth as Ezhov et al. (2023) do.

    Returns:
        Mean absolute error in voxels with white (grey) matter where the truth has tumour, in CSF where any is told,
        which is nowhere but where tissue is pushed; Dice at `LEVELS`, None where neither reaches the level.
    """
    off, there = np.abs(density - truth), truth > _TINY
    csf = ~atlas.tissue & (atlas.csf > _TINY) & (density > _TINY)
    row: Row = {
        "mae_grey": _mean_of(off, there & (atlas.grey > _TINY)),
        "mae_white": _mean_of(off, there & (atlas.white > _TINY)),
        "mae_csf": _mean_of(off, csf) or 0.0,
    }
    for level in LEVELS:
        a, b = density >= np.float32(level), truth >= np.float32(level)
        total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
        row[f"dice_{level:g}"] = 2 * int(np.count_nonzero(a & b)) / total if total else None
    return row


def _mean_of(values: NDArray[np.float32], where: Mask) -> float | None:
    return float(values[where].mean(dtype=np.float64)) if where.any() else None


def _timed(teller: Teller, tumour: Unseen) -> tuple[GrowthParameters | int, Row]:
    begun = time.perf_counter()
    told, row = teller(tumour)
    return told, row | {"seconds": time.perf_counter() - begun}


def _networks(store: TumorStore, judge: Judge, request: GrowthBenchRequest) -> Iterator[tuple[str, Teller]]:
    """Find the networks of a store; at least the one that queries take must be there.

    Raises:
        InputError: it is not, or one has learned from the campaign of a seed.
    """
    taken = f"{SMALL_GROWTH.name}: {ONE_NETWORK}"
    reader = unaware(GrowthReader.of(store), request.seed)
    yield taken, _asking(reader)
    if draws := request.draws:
        name = f"{taken}, then the middle of the best {BEST} of {draws} draws"
        yield name, _trying(reader, draws, judge.solver, store)
    for design in GROWTH_DESIGNS:
        for name, targets in NETWORKS.items():
            there = all(growth_path(store, design, one).is_file() for one in targets)
            if there and f"{design}: {name}" != taken:
                reader = unaware(GrowthReader.of(store, design, targets=targets), request.seed)
                yield f"{design}: {name}", _asking(reader)


def unaware(reader: GrowthReader, seed: int) -> GrowthReader:
    """Return networks that have learned nothing from the campaign of a seed.

    Raises:
        InputError: one has.
    """
    for file in reader.files:
        if any(name.startswith(f"seed-{seed}-") for name in file.record["run"]["learned_from"]["campaigns"]):
            raise InputError(f"{file.path} has learned from tumours of the seed {seed}", hint="choose another ‹seed›")
    return reader


def _asking(reader: GrowthReader) -> Teller:
    def ask(tumour: Unseen) -> tuple[GrowthParameters | int, Row]:
        told = reader(tumour.core, tumour.whole, draws=_DRAWS)
        row: Row = {"farther": told.farther}
        for name in ("mu1", "mu2"):
            low, high = np.quantile([getattr(draw, name) for draw in told.draws], [0.05, 0.95])
            row[f"{name}_covered"] = bool(low <= getattr(tumour.parameters, name) <= high)
        return told.parameters, row

    return ask


def _trying(reader: GrowthReader, draws: int, solver: GrowthModel, store: TumorStore) -> Teller:
    def ask(tumour: Unseen) -> tuple[GrowthParameters | int, Row]:
        told = reader(tumour.core, tumour.whole, draws=draws)
        objective = DiceObjective(solver, tumour.core, tumour.whole, store.thresholds)
        middle = simulated(objective, told.parameters, told.draws).middle
        return middle.parameters if middle and middle.parameters else told.parameters, {}

    return ask


def _neighbours(store: TumorStore) -> Iterator[tuple[str, Teller]]:
    """Search the store, and a small part of it."""
    names: list[str] = []
    count = 0
    for record in store.segments:
        names.append(record.name)
        count += record.count
        if count >= NEIGHBOURS:
            break
    parts = [store.part(names), store] if count < len(store) else [store]
    for part in parts:
        index = ThresholdSearch.open(part)  # outlines are at densities that nobody told the network either

        def search(tumour: Unseen, index: ThresholdSearch = index) -> tuple[GrowthParameters | int, Row]:
            return int(index.search(tumour.core, tumour.whole, 1).ids[0]), {}

        yield f"nearest of {len(part):,} tumours", search


_TINY, _DRAWS = 1e-4, 200
