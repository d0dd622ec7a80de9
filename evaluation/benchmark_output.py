"""What the benchmark leaves: lines of JSON, a table beside the paper's, and a plot of accuracy against time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .retrieval_methods import PAPER

Row = dict[str, Any]

SET_TITLES = {"unseen": "held-out simulations", "perturbed": "perturbed masks", "patients": "patients"}
"""How the sets of queries are called in tables and plots."""

_COLOURS = {
    "dice": "#000000",
    "ds": "#0072B2",
    "vae": "#009E73",
    "ae": "#D55E00",
    "hash": "#CC79A7",
    "radiomics": "#999999",
}
_MARKERS = {"flat": "o", "ivf": "s", "hnsw": "^"}


def write_lines(rows: list[Row], path: Path) -> None:
    """Write one line of JSON a row."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def accuracy_table(rows: list[Row]) -> str:
    """Markdown: a way of searching a line, for each set top-1, top-5 and top-15, and the paper's figures beside."""
    sets = [name for name in SET_TITLES if any(row["set"] == name for row in rows)]
    counts = {name: next(row["queries"] for row in rows if row["set"] == name) for name in sets}
    head = [f"{SET_TITLES[name]} ({counts[name]:,})" for name in sets]
    lines = [
        "| searched by | "
        + " | ".join(f"{title}: top-1 / 5 / 15, % | loss" for title in head)
        + " | paper, patients | paper, held-out |",
        "|---" * (2 * len(sets) + 3) + "|",
    ]
    for way in dict.fromkeys(row["way"] for row in rows):
        cells = []
        for name in sets:
            row = _row(rows, way, name)
            cells += [_shares(row), f"{row['loss']:.4f}"]
        method = _row(rows, way, sets[0])["method"]
        paper = PAPER.get(method) if way == method else None
        for published in (paper.patients, paper.unseen) if paper else (None, None):
            cells.append(" / ".join(f"{v:g}" for v in published) if published else "")
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cost_table(rows: list[Row], authors_s: float | None = None) -> str:
    """Markdown: what each way of searching costs."""
    lines = [
        "| searched by | a query, ms: p50 / p95 / p99 | encoding | cold, s | compared | made in | on disk | in memory "
        "| paper, s a query |",
        "|---" * 9 + "|",
    ]
    for way in dict.fromkeys(row["way"] for row in rows):
        row = _row(rows, way, next(iter(SET_TITLES)))
        paper = PAPER.get(row["method"]) if way == row["method"] else None
        cells = [
            f"{row['p50_ms']:.1f} / {row['p95_ms']:.1f} / {row['p99_ms']:.1f}",
            f"{row['encoding_ms']:.1f}",
            f"{row['cold_s']:.1f}",
            f"{row['evaluated']:,.0f}",
            _minutes(row["build_s"], row["training_s"]),
            f"{row['disk_bytes'] / 1e6:,.0f} MB",
            "?" if row["memory_bytes"] is None else f"{row['memory_bytes'] / 1e6:,.0f} MB",
            f"{paper.seconds:g}" if paper else "",
        ]
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    if authors_s is not None:
        lines.append(f"| the authors' loop, extrapolated | {1e3 * authors_s:,.0f} | | | all | | | | 340 |")
    return "\n".join(lines)


def plot(rows: list[Row], path: Path, authors_s: float | None = None) -> None:
    """Draw top-1 accuracy and mean loss against the median time of a query, for each set of queries; PNG."""
    sets = [name for name in SET_TITLES if any(row["set"] == name for row in rows)]
    figure = Figure(figsize=(5.2 * len(sets), 8.2), layout="constrained")
    axes = figure.subplots(2, len(sets), sharex=True, sharey="row", squeeze=False)
    for column, name in enumerate(sets):
        chosen = [row for row in rows if row["set"] == name]
        for row in chosen:
            _point(axes[0, column], row, 100.0 * row["top_1"]["found"] / row["top_1"]["of"], _interval(row))
            _point(axes[1, column], row, max(row["loss"], _SMALLEST_LOSS), None)
        axes[0, column].set_title(f"{chosen[0]['queries']:,} {SET_TITLES[name]}")
        axes[1, column].set_xlabel("median time of a query, ms, one core, encoding included")
        for ax in axes[:, column]:
            ax.set_xscale("log")
            ax.grid(alpha=0.3, which="both", linewidth=0.5)
            if authors_s is not None:
                ax.axvline(1e3 * authors_s, color="#666666", linestyle=":", linewidth=1)
        if authors_s is not None:
            axes[0, column].annotate(
                "the authors' loop,\nextrapolated",
                (1e3 * authors_s, 50),
                xytext=(-6, 0),
                textcoords="offset points",
                ha="right",
                fontsize=8,
                color="#444444",
            )
    axes[0, 0].set_ylabel("best match of exact search found (top-1), %")
    axes[0, 0].set_ylim(-3, 106)
    axes[1, 0].set_ylabel(f"mean loss in Dice sum (at least {_SMALLEST_LOSS:g})")
    axes[1, 0].set_yscale("log")
    figure.suptitle(f"{rows[0]['tumours']:,} tumours; filled: as ranked, hollow: the best re-ranked by exact Dice")
    handles = _legend(axes[0, 0], rows)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 9), fontsize=8, frameon=False)
    figure.savefig(path, dpi=110)


_SMALLEST_LOSS = 1e-5


def _point(ax: Axes, row: Row, value: float, interval: tuple[float, float] | None) -> None:
    colour = _colour(row["method"])
    filled = colour if not row["rerank"] else "none"
    if interval:
        ax.vlines(row["p50_ms"], *interval, color=colour, linewidth=1, alpha=0.6)
    marker = _marker(row)
    ax.plot(row["p50_ms"], value, marker, color=colour, markerfacecolor=filled, markersize=7, clip_on=False)


def _legend(ax: Axes, rows: list[Row]) -> list[Any]:
    seen: dict[str, Any] = {}
    for row in rows:
        name = row["way"].split(", ")[0] + ("" if row["engine"] == "flat" else f", {row['engine']}")
        if name not in seen:
            (seen[name],) = ax.plot([], [], _marker(row), color=_colour(row["method"]), label=name)
    return list(seen.values())


def _marker(row: Row) -> str:
    return {"ds32": "v", "ds64": "D", "radiomics-standardised": "P"}.get(row["method"], _MARKERS[row["engine"]])


def _colour(method: str) -> str:
    return next(colour for name, colour in _COLOURS.items() if method.startswith(name))


def _interval(row: Row) -> tuple[float, float]:
    return 100.0 * row["top_1"]["low"], 100.0 * row["top_1"]["high"]


def _row(rows: list[Row], way: str, name: str) -> Row:
    return next(row for row in rows if row["way"] == way and row["set"] == name)


def _shares(row: Row) -> str:
    first = row["top_1"]
    interval = f"({100 * first['low']:.1f} to {100 * first['high']:.1f})"
    percents = [100.0 * row[f"top_{n}"]["found"] / row[f"top_{n}"]["of"] for n in (1, 5, 15)]
    return f"{percents[0]:.1f} {interval} / {percents[1]:.1f} / {percents[2]:.1f}"


def _minutes(build: float | None, training: float) -> str:
    built = "?" if build is None else f"{build / 60:.1f} min"
    return built + (f" + {training / 60:.0f} min training" if training else "")
