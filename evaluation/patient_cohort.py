"""Plausibility of growth models: Dice of a store's best tumours with patients (Ezhov et al. 2022, Figs 3 and 4)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ..errors import InputError
from ..index import DiceIndex
from ..retrieval.imaging.choices import Space
from ..retrieval.outputs import staged_folder
from ..retrieval.personalization import check_filled
from ..simulate import described
from ..store.reader import TumorStore, open_store
from .held_out_sets import QuerySet, check_unseen, patients, unseen

Row = dict[str, Any]

MASKS = ("core", "whole", "both")
"""T1Gd, FLAIR, and their sum."""

SETS = {"patients": "patients", "unseen": "held-out tumors of its own"}
"""What stores are asked, and how figures call it (Ezhov et al. 2022, Fig. 3, a and b)."""

_TITLES = {"core": "core (T1Gd)", "whole": "whole (FLAIR)", "both": "core + whole"}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_ALIKE = 1.02  # stores whose sizes differ by less are taken to be as large
_FEWEST = 6
"""Patients below which no interval, and no verdict, is told."""


def plausibility(
    paths: list[str],
    cohort: Path,
    out: Path,
    space: Space = "sri24",
    announce: Callable[[str, int, int], None] = lambda what, done, total: None,
    own: int = 0,
    seed: int = 3,
) -> list[Row]:
    """Find the best tumours of one or several stores for each patient; plausibility.jsonl, table.md and a plot.

    Args:
        paths: of the stores; those after the first are compared with it, patient by patient.
        cohort: folder with a folder a patient.
        out: folder for the results.
        space: that the patients are in.
        announce: told how far it has come.
        own: tumours of each store's own growth model, unseen by it, to be asked besides: how closely it would meet
            patients, were the model true.
        seed: of these.

    Returns:
        A row a store and patient, or unseen tumour, which `set` tells: `best_core`, `best_whole`, `best_both`, each the
        best Dice that any tumour has; and `match_core`, `match_whole`, those of the best match by both.

    Raises:
        GliodexError: anything the user can mend.
    """
    stores = _opened(paths, seed if own else None)
    rows: list[Row] = []
    with staged_folder(out) as folder:
        for path, store in stores.items():
            asked = patients(store, cohort, space, partial(announce, f"{path}: patients"))
            rows += _best(store, path, asked)
            if own:
                rows += _best(store, path, unseen(store, own, seed, partial(announce, f"{path}: held-out tumors")))
        (folder / "plausibility.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "table.md").write_text(table(rows) + "\n")
        plot(rows, folder / "plausibility.png")
    return rows


def _opened(paths: list[str], seed: int | None) -> dict[str, TumorStore]:
    """Open stores, and refuse at once what could not be compared in the end."""
    stores = {path: open_store(path) for path in paths}
    for store in stores.values():
        check_filled(store)
        if seed is not None:
            check_unseen(store, seed)
    if len({_place(path) for path in paths}) < len(paths):
        raise InputError("each store can be compared once")
    return stores


def _place(path: str) -> str:
    return path.rstrip("/") if "://" in path else str(Path(path).resolve())


def short_names(paths: Iterable[str]) -> dict[str, str]:
    """Names of stores for figures: those of their folders, where no two are alike."""
    names = {path: path.rstrip("/").rpartition("/")[2] for path in paths}
    return names if len(set(names.values())) == len(names) else {path: path for path in names}


def _best(store: TumorStore, path: str, asked: QuerySet) -> list[Row]:
    index = DiceIndex.open(store)
    nothing = np.zeros(store.frame.shape, bool)
    rows = []
    for (core, whole), patient in zip(asked, asked.labels, strict=True):
        both = index.search(core, whole, 1)
        rows.append(
            {
                "store": path,
                "model": described(store.manifest.model),
                "tumours": len(store.searched),
                "set": asked.name,
                "patient": patient,
                "best_core": float(index.search(core, nothing, 1).dice_core[0]),
                "best_whole": float(index.search(nothing, whole, 1).dice_whole[0]),
                "best_both": float(both.scores[0]),
                "match_core": float(both.dice_core[0]),
                "match_whole": float(both.dice_whole[0]),
                "match": int(both.ids[0]),
            }
        )
    return rows


def table(rows: list[Row]) -> str:
    """Markdown: means over the cohort with 95 % intervals (Student's t), and differences to the first store, paired."""
    stores = list(dict.fromkeys(row["store"] for row in rows))
    compared = any(row["set"] == "unseen" for row in rows)
    heads = ["store", "model", "tumours", "patients", "best Dice, core", "whole", "core + whole"]
    heads += ["best match, core", "whole", *["core + whole of held-out tumors"] * compared]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    columns = ("best_core", "best_whole", "best_both", "match_core", "match_whole")
    for store in stores:
        chosen = _of(rows, store)
        first, others = chosen[0], _values(_of(rows, store, "unseen"), "best_both")
        cells = [store, first["model"], f"{first['tumours']:,}", str(len(chosen))]
        cells += [_with_interval(_values(chosen, name)) for name in columns]
        cells += [f"{_with_interval(others)} of {len(others)}" if len(others) else ""] * compared
        lines.append(f"| {' | '.join(cells)} |")
    for store in stores[1:]:
        if sentence := _verdict(_of(rows, stores[0]), _of(rows, store)):
            lines += ["", sentence]
    return "\n".join(lines)


def _verdict(first: list[Row], other: list[Row]) -> str:
    one, two = ((rows[0]["store"], rows[0]["tumours"]) for rows in (first, other))
    return closer_of(one, two, _values(other, "best_both") - _values(first, "best_both"))


def closer_of(first: tuple[str, int], other: tuple[str, int], apart: ArrayLike) -> str:
    """Say which of two stores is the closer to patients.

    Args:
        first: name of the store that the other is held against, and how many tumours it holds.
        other: likewise.
        apart: how much the Dice sum of each patient is higher in the other.

    Returns:
        A sentence with the mean and its 95 % interval (Student's t); nothing for too few patients to tell.
    """
    values = np.asarray(apart, np.float64)
    interval = _interval(values)
    if interval is None:
        return ""
    low, high = interval
    told = "closer to" if low > 0 else "farther from" if high < 0 else ""
    verdict = f"its tumours are {told} the patients" if told else "which is closer to the patients cannot be told"
    figures = f"{values.mean():+.3f} (95 % {low:+.3f} to {high:+.3f})"
    said = f"{other[0]} against {first[0]}, core + whole: {figures}: {verdict}."
    sizes = (other[1], first[1])
    if max(sizes) > _ALIKE * min(sizes):
        said += f" They differ in size ({sizes[0]:,} against {sizes[1]:,}), by which alone the larger is closer."
    return said


def plot(rows: list[Row], path: Path) -> None:
    """Draw how the best Dice is distributed: a row for core, whole and both, a column for what was asked; PNG."""
    stores = list(dict.fromkeys(row["store"] for row in rows))
    sets = [name for name in SETS if any(row["set"] == name for row in rows)]
    figure = Figure(figsize=(7.0 if len(sets) == 1 else 10.0, 7.6), layout="constrained")
    axes = figure.subplots(len(MASKS), len(sets), squeeze=False)
    for line, mask in zip(axes, MASKS, strict=True):
        for ax, asked in zip(line, sets, strict=True):
            _histogram(ax, {store: _values(_of(rows, store, asked), f"best_{mask}") for store in stores}, mask)
        line[0].set_ylabel("how many")
        line[0].set_title(_TITLES[mask], loc="left", fontsize=10)
    for ax, asked in zip(axes[0], sets, strict=True):
        count = len({row["patient"] for row in rows if row["set"] == asked})
        ax.set_title(f"{count} {SETS[asked]}", fontsize=10)
        axes[-1][sets.index(asked)].set_xlabel("best Dice of any tumour in the store (dashed: mean)")
    figure.suptitle("How closely a store's tumours meet what it is asked", fontsize=12)
    figure.savefig(path, dpi=110)


def _histogram(ax: Axes, values: dict[str, NDArray[np.float64]], mask: str) -> None:
    top = 2.0 if mask == "both" else 1.0
    colours = [_COLOURS[n % len(_COLOURS)] for n in range(len(values))]
    names = short_names(values)
    labels = [f"{names[store]}: mean {each.mean():.2f}" for store, each in values.items()]
    ax.hist(list(values.values()), np.linspace(0, top, 41).tolist(), color=colours, label=labels)
    for each, colour in zip(values.values(), colours, strict=True):
        ax.axvline(float(each.mean()), color=colour, linestyle="--", linewidth=1.2, zorder=0, ymax=1.04, clip_on=False)
    ax.legend(frameon=False, fontsize=9, loc="upper left")
    ax.set_xlim(0, top)
    ax.spines[["top", "right"]].set_visible(False)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))


def _of(rows: list[Row], store: str, asked: str = "patients") -> list[Row]:
    return [row for row in rows if row["store"] == store and row["set"] == asked]


def _values(rows: list[Row], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows], np.float64)


def _interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """95 % interval of a mean by Student's t; None for too few to tell."""
    if len(values) < _FEWEST:
        return None
    reach = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return float(values.mean() - reach), float(values.mean() + reach)


def _with_interval(values: NDArray[np.float64]) -> str:
    interval = _interval(values)
    return f"{values.mean():.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
