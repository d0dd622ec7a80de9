"""Accuracy of a surrogate of the solver on held-out anatomies (Ezhov et al. 2021, Figs 4, 6 and 7).

Beside it stands the solver in the atlas's anatomy: what a study would use that has no anatomy of the patient.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..learn.surrogate import SurrogateFile, SurrogateSolver, named_surrogate
from ..retrieval.outputs import staged_folder
from ..simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters, load_atlas
from ..store.atlas import Atlas
from ..store.cores import available_cores
from ..store.frame import Frame
from ..store.reader import TumorStore, open_store
from .surrogate_errors import LEVELS, TISSUES, Row, Volume, crop_slices, density_errors, known
from .surrogate_figures import plot_growth, plot_histograms

Announce = Callable[[str, int, int], None]

PAPER = {
    "Ezhov et al. (2021): 3 tissues": (0.821, 0.813, 0.815),
    "Ezhov et al. (2021): CSF alone": (0.798, 0.799, 0.801),
}
"""Mean Dice at `LEVELS` on 2,000 tumours of 5 unseen anatomies (Ezhov et al. 2021, Figs. 7 and 10)."""

BATCH = 32
"""Tumours that are asked for at once, where that is timed."""


@dataclass(frozen=True)
class SurrogateBenchRequest:
    """What to compare.

    Args:
        networks: files of surrogates, see `named_surrogate`.
        stores: tumours of anatomies that these have not seen, each of its own.
        out: folder for the results.
        tumours: of each store.
        atlas: whose anatomy the solver is asked in instead; see `load_atlas`.
        device: that surrogates run on.
    """

    networks: tuple[Path, ...]
    stores: tuple[str, ...]
    out: Path
    tumours: int = 400
    atlas: str = "icbm152"
    device: str = "cpu"


def compare_surrogates(
    request: SurrogateBenchRequest, announce: Announce = lambda what, done, total: None
) -> list[Row]:
    """Hold surrogates, and the solver in another anatomy, against simulations.

    Writes surrogate.jsonl, table.md, histograms.png and growth.png.

    Returns:
        A row a tumour and way of saying its density; of tumours whose growth one of the networks has not learned, none.

    Raises:
        InputError: a network has learned from one of the stores' anatomies, or there are too few tumours.
        GliodexError: anything else that the user can mend.
    """
    files = [named_surrogate(path) for path in request.networks]
    stores = [open_store(path) for path in request.stores]
    _check(request, files, stores)
    other = load_atlas(request.atlas)
    rows: list[Row] = []
    with staged_folder(request.out) as folder:
        for number, store in enumerate(stores):
            ways = dict(_ways(store, files, other, request.device))
            solver = FisherKolmogorov(store.atlas, _settings(store))
            learned: list[GrowthParameters] = []
            found: list[Row] = []
            for n, tumour in enumerate(store.ids[: request.tumours].tolist(), 1):
                announce("unseen anatomies", number * request.tumours + n, len(stores) * request.tumours)
                if all(file.ranges.hold(store.parameters(tumour)) for file in files):
                    learned.append(store.parameters(tumour))
                    found += _held_against_simulation(store, tumour, ways, solver)
            if learned:
                at_once = {way: _at_once(say, learned) for way, say in ways.items()}
                solved = _at_once(solver, learned)
                rows += [row | {"at_once": at_once[row["way"]], "solver_at_once": solved} for row in found]
            if number == 0:
                first = SurrogateSolver(store.atlas, files[0], device=request.device)
                plot_growth(store, _settings(store), first, folder / "growth.png")
        if not rows:
            raise InputError(f"no tumour of these stores grew as {files[0].path} has learned", hint="build others")
        (folder / "surrogate.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "table.md").write_text(surrogate_table(summarise(rows)) + "\n")
        plot_histograms(rows, folder / "histograms.png")
    return rows


def _check(request: SurrogateBenchRequest, files: list[SurrogateFile], stores: list[TumorStore]) -> None:
    if not files or not stores or request.tumours < 2:
        raise InputError("give at least one network, one store and 2 tumours of each")
    for file in files:
        seen = {anatomy["digest"] for anatomy in file.record["run"]["anatomies"]}
        for store in stores:
            if store.manifest.atlas["digest"] in seen:
                raise InputError(
                    f"{file.path} has learned from the anatomy of {store.path}", hint="compare with others"
                )
    for store in stores:
        if len(store) < request.tumours:
            raise InputError(f"{store.path} holds {len(store)} tumours, {request.tumours} are wanted (‹tumors›)")


Way = Callable[[GrowthParameters], Volume]


def _ways(store: TumorStore, files: list[SurrogateFile], other: Atlas, device: str) -> Iterator[tuple[str, Way]]:
    for file in files:
        yield file.path.stem, SurrogateSolver(store.atlas, file, device=device)
    yield f"solver in {other.name}", Elsewhere(store.atlas, other, _settings(store))


def _settings(store: TumorStore) -> FisherKolmogorovSettings:
    return FisherKolmogorovSettings.from_record(store.manifest.model, store.path, "compare with its own gliodex")


class Elsewhere:
    """The solver in another anatomy, to which the tissues' boxes are scaled.

    Args:
        here: anatomy that is asked for.
        other: anatomy that is simulated in.
        settings: of the growth model.
    """

    def __init__(self, here: Atlas, other: Atlas, settings: FisherKolmogorovSettings) -> None:
        self._here, self._other = here, other
        self._solver = FisherKolmogorov(other, settings)
        boxes = [_tissue_box(atlas) for atlas in (here, other)]
        scale = (boxes[1][1] - boxes[1][0]) / (boxes[0][1] - boxes[0][0])
        self._to_other = np.diag([*scale, 1.0])
        self._to_other[:3, 3] = boxes[1][0] - scale * boxes[0][0]

    def __call__(self, parameters: GrowthParameters) -> Volume:
        """Density on the frame of the anatomy that is asked for."""
        x, y, z = (float(v) for v in (self._to_other @ [*parameters.seed_mm, 1.0])[:3])
        density = self._solver(replace(parameters, seed_mm=self._solver.nearest_seed((x, y, z))))
        moved = Frame(self._other.frame.shape, np.linalg.inv(self._to_other) @ self._other.frame.affine)
        return np.clip(self._here.frame.resample(density, moved), 0.0, 1.0)


def _tissue_box(atlas: Atlas) -> NDArray[np.float64]:
    inside = np.argwhere(atlas.tissue)
    ends = atlas.frame.world(np.array([inside.min(0), inside.max(0)], np.float64))
    return np.sort(ends, axis=0)


def _held_against_simulation(
    store: TumorStore, tumour: int, ways: dict[str, Way], solver: FisherKolmogorov
) -> Iterator[Row]:
    parameters = store.parameters(tumour)
    begun = time.perf_counter()
    solver.grow(parameters)
    solved = time.perf_counter() - begun
    truth = store.density(tumour)
    inside = crop_slices(store.frame, parameters)
    for way, say in ways.items():
        begun = time.perf_counter()
        said = say(parameters)
        seconds = time.perf_counter() - begun
        row = {"way": way, "anatomy": store.atlas.name, "tumour": tumour, "seconds": seconds, "solver_seconds": solved}
        yield row | density_errors(said[inside], truth[inside], store.atlas, inside)


def _at_once(say: Way, tumours: list[GrowthParameters]) -> float:
    """Seconds that a tumour takes where `BATCH` are asked for at once, on all cores: the median of three times."""
    tumours = [tumours[n % len(tumours)] for n in range(BATCH)]
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        if isinstance(say, SurrogateSolver):
            say.grow_all(tumours)
        else:
            with ThreadPoolExecutor(available_cores()) as pool:
                list(pool.map(say, tumours))
        seconds.append((time.perf_counter() - begun) / BATCH)
    return float(np.median(seconds))


def summarise(rows: list[Row]) -> list[Row]:
    """Sum up what each way of saying densities did: means with 95 % intervals, medians of seconds."""
    found = []
    names = [*(f"dice_{level:g}" for level in LEVELS), *(f"mae_{name}" for name in TISSUES)]
    for way in dict.fromkeys(row["way"] for row in rows):
        chosen = [row for row in rows if row["way"] == way]
        anatomies = list(dict.fromkeys(row["anatomy"] for row in chosen))
        means = {}
        for name in names:
            values = [known([row for row in chosen if row["anatomy"] == a], name) for a in anatomies]
            means[name] = _mean_over(values) if any(map(len, values)) else None
        found.append(
            {
                "way": way,
                "tumours": len(chosen),
                "anatomies": len(anatomies),
                "means": means,
                **{name: float(np.median(known(chosen, name))) for name in _SECONDS},
            }
        )
    return found


def _mean_over(anatomies: list[NDArray[np.float64]]) -> list[float]:
    """Mean of the tumours of all anatomies, its 95 % interval, and their number.

    Anatomies are drawn with replacement, then tumours of each: what is claimed is of anatomies that nobody has seen.
    """
    anatomies = [values for values in anatomies if len(values)]
    rng = np.random.default_rng(0)
    means = [
        np.concatenate([rng.choice(values, len(values)) for values in (anatomies[n] for n in drawn)]).mean()
        for drawn in rng.integers(len(anatomies), size=(_RESAMPLED, len(anatomies)))
    ]
    together = np.concatenate(anatomies)
    low, high = np.quantile(means, [0.025, 0.975]).tolist()
    return [float(together.mean()), low, high, len(together)]


def surrogate_table(summaries: list[Row]) -> str:
    """Write a line a way, in Markdown; then the paper's, and what the solver itself takes."""
    first = summaries[0]
    timed = ("seconds", "at_once") if "at_once" in first else ("seconds",)
    head = ["way", "n", *(f"Dice at {level:g}" for level in LEVELS), *(f"MAE {name}" for name in TISSUES)]
    head += ["ms", f"ms, {BATCH} at once"][: len(timed)]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in summaries:
        cells = [row["way"], f"{row['tumours']:,}"]
        cells += [f"{m[0]:.3f} ({m[1]:.3f} to {m[2]:.3f})" if m else "" for m in row["means"].values()]
        cells += [f"{1e3 * row[name]:.1f}" for name in timed]
        lines.append(f"| {' | '.join(cells)} |")
    for way, dices in PAPER.items():
        cells = [way, "2,000", *(f"{d:.3f}" for d in dices), *[""] * (len(TISSUES) + len(timed))]
        lines.append(f"| {' | '.join(cells)} |")
    cells = ["the solver, in the anatomy itself", f"{first['tumours']:,}", *["1.000"] * 3, *["0.000"] * 3]
    cells += [f"{1e3 * first[f'solver_{name}']:.1f}" for name in timed]
    lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


_RESAMPLED = 2000
_SECONDS = ("seconds", "solver_seconds", "at_once", "solver_at_once")
