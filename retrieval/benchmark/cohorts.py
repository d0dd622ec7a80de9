"""How plausible a growth model is: how closely a store's best tumours resemble patients (paper 003, Figs 3 and 4)."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from ...errors import InputError
from ...index import DiceIndex
from ...store.reader import TumorStore, open_store
from ..outputs import staged_folder
from ..spaces import Space
from .query_sets import QuerySet, patients

mpl.use("Agg")

Row = dict[str, Any]

MASKS = ("core", "whole", "both")
"""T1Gd, FLAIR, and their sum."""

_TITLES = {"core": "core (T1Gd)", "whole": "whole (FLAIR)", "both": "core + whole"}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_FEWEST = 6
"""Patients below which no interval, and no verdict, is told."""


def plausibility(
    paths: list[str],
    cohort: Path,
    out: Path,
    space: Space = "sri24",
    announce: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> list[Row]:
    """Find the best tumours of one or several stores for each patient; plausibility.jsonl, table.md and a plot.

    Args:
        paths: of the stores; those after the first are compared with it, patient by patient.
        cohort: folder with a folder a patient.
        out: folder for the results.
        space: that the patients are in.
        announce: told how far it has come.

    Returns:
        A row a store and patient: `best_core`, `best_whole`, `best_both`, each the best Dice that any tumour has; and
        `match_core`, `match_whole`, those of the best match by both.

    Raises:
        GliodexError: anything the user can mend.
    """
    if len(set(paths)) < len(paths):
        raise InputError("each store can be compared once")
    rows: list[Row] = []
    with staged_folder(out) as folder:
        for path in paths:
            store = open_store(path)
            if not len(store):
                raise InputError(f"{path} holds no tumours yet: fill it with `gliodex build {path} --count N`")
            asked = patients(store, cohort, space, partial(announce, f"{path}: patients"))
            rows += _best(store, path, asked)
        (folder / "plausibility.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "table.md").write_text(table(rows) + "\n")
        plot(rows, folder / "plausibility.png")
    return rows


def _best(store: TumorStore, path: str, asked: QuerySet) -> list[Row]:
    index = DiceIndex.open(store)
    nothing = np.zeros(store.frame.shape, bool)
    rows = []
    for (core, whole), patient in zip(asked, asked.labels, strict=True):
        both = index.search(core, whole, 1)
        rows.append(
            {
                "store": path,
                "model": str(store.manifest.model["model"]),
                "tumours": len(store),
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
    lines = [
        "| store | model | tumours | patients | best Dice, core | whole | core + whole | best match, core | whole |",
        "|---" * 9 + "|",
    ]
    columns = ("best_core", "best_whole", "best_both", "match_core", "match_whole")
    for store in stores:
        chosen = [row for row in rows if row["store"] == store]
        cells = [_with_interval(_values(chosen, name)) for name in columns]
        first = chosen[0]
        lines.append(
            f"| {store} | {first['model']} | {first['tumours']:,} | {len(chosen)} | " + " | ".join(cells) + " |"
        )
    for store in stores[1:]:
        apart = _values([r for r in rows if r["store"] == store], "best_both") - _values(
            [r for r in rows if r["store"] == stores[0]], "best_both"
        )
        interval = _interval(apart)
        if interval is None:
            continue
        low, high = interval
        verdict = (
            "closer to the patients"
            if low > 0
            else "farther from the patients"
            if high < 0
            else "neither closer nor farther"
        )
        lines += [
            "",
            f"{store} against {stores[0]}: both {apart.mean():+.3f} (95 % {low:+.3f} to {high:+.3f}): {verdict}",
        ]
    return "\n".join(lines)


def plot(rows: list[Row], path: Path) -> None:
    """Draw the distributions of the best Dice over the cohort, one row for core, whole and both; PNG."""
    stores = list(dict.fromkeys(row["store"] for row in rows))
    figure = Figure(figsize=(7.0, 7.6), layout="constrained")
    axes = figure.subplots(len(MASKS), 1)
    for ax, mask in zip(axes, MASKS, strict=True):
        top = 2.0 if mask == "both" else 1.0
        edges = np.linspace(0, top, 41)
        values = [_values([row for row in rows if row["store"] == store], f"best_{mask}") for store in stores]
        colours = [_COLOURS[n % len(_COLOURS)] for n in range(len(stores))]
        means = [float(each.mean()) for each in values]
        labels = [f"{Path(store).name}: mean {mean:.2f}" for store, mean in zip(stores, means, strict=True)]
        ax.hist(values, edges, color=colours, label=labels)
        for mean, colour in zip(means, colours, strict=True):
            ax.axvline(mean, color=colour, linestyle="--", linewidth=1.2, zorder=0, ymax=1.04, clip_on=False)
        ax.legend(frameon=False, fontsize=9, loc="upper left")
        ax.set_xlim(0, top)
        ax.set_ylabel("patients")
        ax.set_title(_TITLES[mask], loc="left", fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
        ax.yaxis.get_major_locator().set_params(integer=True)
    axes[-1].set_xlabel("best Dice of any tumour in the store (dashed: mean)")
    count = len({row["patient"] for row in rows})
    figure.suptitle(f"How closely {count} patients are met", fontsize=12)
    figure.savefig(path, dpi=110)


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
