"""Errors of networks that predict growth, beside Table 2 of Ezhov et al. (2023), and their Figure 5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .scoring import bootstrap

Row = dict[str, Any]

LEVELS = (0.01, 0.1, 0.8)
"""Densities at which outlines are compared (Ezhov et al. 2023, Table 2)."""

ONE_NETWORK = "√(DT), √(ρT) and seed, one network"
"""What a query takes."""

PAPER = {
    "D, ρ, T and seed, two networks": (0.461, 0.463, 0.0, 0.607, 0.558, 0.423),
    "√(DT), √(ρT) and seed, two networks": (0.059, 0.059, 0.0, 0.940, 0.928, 0.855),
    ONE_NETWORK: (0.057, 0.057, 0.0, 0.943, 0.932, 0.861),
}
"""Ezhov et al. (2023), Table 2, rows 1 to 3: MAE in grey matter, white matter and CSF, Dice at `LEVELS`."""

PUSHING_PAPER = {
    "D, ρ, T and seed, two networks": (0.089, 0.087, 0.059, 0.846, 0.807, 0.737),
    "√(DT), √(ρT) and seed, two networks": (0.059, 0.057, 0.054, 0.877, 0.841, 0.772),
    ONE_NETWORK: (0.055, 0.054, 0.054, 0.886, 0.850, 0.783),
}
"""Rows 4 to 6, of the model with mass effect."""

MEASURES = ("mae_grey", "mae_white", *(f"dice_{level:g}" for level in LEVELS))
"""Of the table's columns that have intervals."""

SMALL_ML = 0.4
"""Volume above the highest level, some fifty voxels, below which Dice there says little."""


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
        cells = [f"Ezhov et al. (2023): {way}", "12,000", *(f"{value:.3f}" for value in (grey, white, csf, *dices))]
        lines.append(f"| {' | '.join(cells + [''] * (len(head) - len(cells)))} |")
    return "\n".join(lines)


def plot_errors(rows: list[Row], path: Path) -> None:
    """Draw the mean absolute error of every tumour over its √(DT) and √(ρT) (Ezhov et al. 2023, Fig. 5); PNG."""
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
    axes.set_title(f"{first}: {len(chosen):,} held-out tumors", loc="left", fontsize=10)
    figure.colorbar(points, label="mean absolute error in white matter", extend="max")
    figure.savefig(path, dpi=110)


def _known(rows: list[Row], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows if row.get(name) is not None], np.float64)
