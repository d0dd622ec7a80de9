"""How well Learn-Morph-Infer tells the growth of tumours that nobody has seen: paper 001's Table 2 and Figure 5.

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
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...errors import InputError
from ...index.threshold_search import ThresholdSearch
from ...learn.growth import (
    CORE_LEVELS,
    GROWTH_DESIGNS,
    LEVELS_A_DENSITY,
    SMALL_GROWTH,
    WHOLE_LEVELS,
    GrowthReader,
    Targets,
    growth_path,
)
from ...simulate import GrowthModel, GrowthParameters, model_of
from ...store.atlas import Atlas
from ...store.cores import available_cores
from ...store.integers import dequantise
from ...store.reader import TumorStore, open_store
from ..outputs import staged_folder
from ..refinement.objective import DiceObjective
from ..refinement.told_growth import BEST, simulated
from .query_sets import unseen_tumours
from .scoring import bootstrap

Row = dict[str, Any]
Announce = Callable[[str, int, int], None]
Mask = NDArray[np.bool_]

LEVELS = (0.01, 0.1, 0.8)
"""Densities at which outlines are compared (paper 001, Table 2)."""

ONE_NETWORK = "√(DT), √(ρT) and seed, one network"
"""What a query takes."""

NETWORKS: dict[str, tuple[Targets, ...]] = {
    "D, ρ, T and seed, two networks": (Targets("rates", "linear"), Targets("seed")),
    "D, ρ, T and seed, one network": (Targets("rates+seed", "linear"),),
    "ln D, ln ρ, ln T and seed, one network": (Targets("rates+seed"),),
    "√(DT), √(ρT) and seed, two networks": (Targets("mu"), Targets("seed")),
    ONE_NETWORK: (Targets(),),
    f"{ONE_NETWORK}, linear": (Targets("mu+seed", "linear"),),
}
"""What may have been trained for a store."""

PAPER = {
    "D, ρ, T and seed, two networks": (0.461, 0.463, 0.0, 0.607, 0.558, 0.423),
    "√(DT), √(ρT) and seed, two networks": (0.059, 0.059, 0.0, 0.940, 0.928, 0.855),
    ONE_NETWORK: (0.057, 0.057, 0.0, 0.943, 0.932, 0.861),
}
"""Paper 001, Table 2, rows 1 to 3: MAE in grey matter, white matter and CSF, Dice at `LEVELS`; 12,000 tumours."""

PUSHING_PAPER = {
    "D, ρ, T and seed, two networks": (0.089, 0.087, 0.059, 0.846, 0.807, 0.737),
    "√(DT), √(ρT) and seed, two networks": (0.059, 0.057, 0.054, 0.877, 0.841, 0.772),
    ONE_NETWORK: (0.055, 0.054, 0.054, 0.886, 0.850, 0.783),
}
"""Rows 4 to 6, of the model with mass effect."""

MEASURES = ("mae_grey", "mae_white", *(f"dice_{level:g}" for level in LEVELS))
"""Of the table's columns that have intervals."""

NEIGHBOURS = 5000
"""Tumours of the small store whose nearest neighbours are shown beside the networks."""

SMALL_ML = 0.4
"""Volume above the highest level, some fifty voxels, below which Dice there says little."""

SIMULATED = 48
"""Draws of a network's doubt that are simulated for one row."""


@dataclass(frozen=True)
class GrowthBenchRequest:
    """What to compare.

    Args:
        store: whose networks are asked.
        out: folder for the results.
        unseen: simulations that the store has never seen.
        seed: of these, and of their outlines.
    """

    store: str
    out: Path
    unseen: int = 1000
    seed: int = 3


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
    if request.unseen < 2:
        raise InputError(f"--unseen must be at least 2, not {request.unseen}")
    store = open_store(request.store)
    judge = Judge(store)
    tellers = dict(_networks(store, judge, request.seed)) | dict(_neighbours(store))
    rows: list[Row] = []
    with staged_folder(request.out) as folder, ThreadPoolExecutor(available_cores()) as pool:
        for n, tumour in enumerate(islice(outlined_tumours(store, request.seed), request.unseen), 1):
            announce("unseen tumours", n, request.unseen)
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
            density = self.solver(parameters)
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
    """Compare a density with the truth as paper 001's authors do.

    Returns:
        Mean absolute error in voxels with white (grey) matter where the truth has tumour, in CSF where
        any is told; Dice at `LEVELS`, None where neither reaches the level.
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


def _networks(store: TumorStore, judge: Judge, seed: int) -> Iterator[tuple[str, Teller]]:
    """Find the networks of a store; at least the one that queries take must be there.

    Raises:
        InputError: it is not, or one has learned from the campaign of a seed.
    """
    taken = f"{SMALL_GROWTH.name}: {ONE_NETWORK}"
    reader = unaware(GrowthReader.of(store), seed)
    yield taken, _asking(reader)
    yield f"{taken}, then the middle of the best {BEST} of {SIMULATED} draws", _trying(reader, judge.solver, store)
    for design in GROWTH_DESIGNS:
        for name, targets in NETWORKS.items():
            there = all(growth_path(store, design, one).is_file() for one in targets)
            if there and f"{design}: {name}" != taken:
                yield f"{design}: {name}", _asking(unaware(GrowthReader.of(store, design, targets=targets), seed))


def unaware(reader: GrowthReader, seed: int) -> GrowthReader:
    """Return networks that have learned nothing from the campaign of a seed.

    Raises:
        InputError: one has.
    """
    for file in reader.files:
        if any(name.startswith(f"seed-{seed}-") for name in file.record["run"]["learned_from"]["campaigns"]):
            raise InputError(f"{file.path} has learned from tumours of the seed {seed}: choose another --seed")
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


def _trying(reader: GrowthReader, solver: GrowthModel, store: TumorStore) -> Teller:
    def ask(tumour: Unseen) -> tuple[GrowthParameters | int, Row]:
        told = reader(tumour.core, tumour.whole, draws=SIMULATED)
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


def summarise(rows: list[Row]) -> list[Row]:
    """Sum up what each way of telling did: means with 95 % intervals, medians of what is skewed."""
    found = []
    for way in dict.fromkeys(row["way"] for row in rows):
        chosen = [row for row in rows if row["way"] == way]
        means = {name: _known(chosen, name) for name in MEASURES}
        covered = np.concatenate([_known(chosen, "mu1_covered"), _known(chosen, "mu2_covered")])
        found.append(
            {
                "way": way,
                "tumours": len(chosen),
                "pushing": any(row.get("pressure") for row in chosen),
                "means": {name: [float(values.mean()), *bootstrap(values)] for name, values in means.items()},
                "mae_csf": float(_known(chosen, "mae_csf").mean()),
                "medians": {
                    name: float(np.median(np.abs(_known(chosen, name))))
                    for name in ("seed_mm", "mu1_off", "mu2_off", "pressure_off", "seconds")
                },
                "covered": float(covered.mean()) if len(covered) else None,
                "densest": _of_sizes(chosen),
            }
        )
    return found


def _of_sizes(rows: list[Row]) -> dict[str, list[float]]:
    """Mean Dice at the highest level, and of how many, where the truth has less and more than `SMALL_ML` there."""
    found = {}
    name = f"dice_{LEVELS[-1]:g}"
    for size, chosen in (
        ("small", [row for row in rows if row["densest_ml"] < SMALL_ML]),
        ("large", [row for row in rows if row["densest_ml"] >= SMALL_ML]),
    ):
        values = _known(chosen, name)
        found[size] = [float(values.mean()) if len(values) else 0.0, len(values)]
    return found


def growth_table(summaries: list[Row]) -> str:
    """Write a line a way, in Markdown; then the paper's."""
    pushing = summaries[0].get("pushing", False)
    head = ["way", "n", "MAE grey", "white", "CSF", *(f"Dice at {level:g}" for level in LEVELS)]
    head += ["seed off, mm", "√(DT) off", "√(ρT) off", *["γ off, kPa"] * pushing, "in 90 % interval", "ms"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in summaries:
        means = [f"{mean:.3f} ({low:.3f} to {high:.3f})" for mean, low, high in row["means"].values()]
        off = row["medians"]
        cells = [row["way"], f"{row['tumours']:,}", *means[:2], f"{row['mae_csf']:.3f}", *means[2:]]
        cells += [f"{off['seed_mm']:.2f}", f"{off['mu1_off']:.3f}", f"{off['mu2_off']:.3f}"]
        if pushing:
            cells.append(f"{off['pressure_off']:.1f}")
        cells += ["" if row["covered"] is None else f"{row['covered']:.2f}", f"{1e3 * off['seconds']:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    for way, (grey, white, csf, *dices) in (PUSHING_PAPER if pushing else PAPER).items():
        cells = [f"paper 001: {way}", "12,000", *(f"{value:.3f}" for value in (grey, white, csf, *dices))]
        lines.append(f"| {' | '.join(cells + [''] * (len(head) - len(cells)))} |")
    return "\n".join(lines)


def plot_errors(rows: list[Row], path: Path) -> None:
    """Draw the mean absolute error of every tumour over its √(DT) and √(ρT) (paper 001, Fig. 5); PNG."""
    first = rows[0]["way"]
    chosen = [row for row in rows if row["way"] == first]
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    errors = _known(chosen, "mae_white")
    points = axes.scatter(
        _known(chosen, "mu1"),
        _known(chosen, "mu2"),
        c=errors,
        s=14,
        cmap="viridis",
        vmin=0,
        vmax=float(np.quantile(errors, 0.98)),
        linewidths=0,
    )
    axes.set_xlabel("√(DT), mm")
    axes.set_ylabel("√(ρT)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"{first}: {len(chosen):,} unseen tumours", loc="left", fontsize=10)
    figure.colorbar(points, label="mean absolute error in white matter", extend="max")
    figure.savefig(path, dpi=110)


def _known(rows: list[Row], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows if row.get(name) is not None], np.float64)


_TINY, _DRAWS = 1e-4, 200
