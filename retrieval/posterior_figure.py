"""Pictures of what a stage after retrieval found: the fit before and after, how sure it is, and pairs of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from .figure import CORE_COLOUR, GROUND, INK, WHOLE_COLOUR, Plane, planes_of, show_anatomy
from .refinement import Posterior
from .result import Answer

Image = NDArray[np.float32]


def draw_uncertainty(answer: Answer, background: Image, maps: dict[str, Image], level: float, path: Path) -> None:
    """Write three planes as PNG: the outlines before and after, the standard deviation, the chance to exceed a level.

    Args:
        answer: whose tumour it is; of one that was not refined, the outlines are the best match's.
        background: anatomy on the patient's grid.
        maps: "deviation" and "exceedance" there.
        level: of the exceedance.
        path: of the PNG.
    """
    arrays = {"background": background, "density": answer.density, **maps}
    fits = [("density", answer.thresholds, "dashed", 2.2)]
    if answer.before is not None:
        arrays["before"] = answer.before.density
        fits.insert(0, ("before", answer.before.thresholds, "dotted", 1.4))
    planes = planes_of(answer.segmentation, arrays)
    figure = Figure(figsize=(13.2, 13.4), facecolor=GROUND)
    grid = figure.add_gridspec(
        3, 4, width_ratios=[1, 1, 1, 0.05], wspace=0.06, hspace=0.08, left=0.02, right=0.93, top=0.95, bottom=0.06
    )
    rows = (
        ("deviation", "standard deviation of density", "viridis", None),
        ("exceedance", f"probability of density ≥ {level:g}", "magma", 1.0),
    )
    for column, plane in enumerate(planes):
        axes = figure.add_subplot(grid[0, column])
        axes.set_title(f"{plane.name}, {plane.position_mm:.0f} mm", color=INK, fontsize=12)
        _show_fits(axes, plane, fits)
    for row, (name, label, colours, top) in enumerate(rows, 1):
        highest = top or max(float(plane.images[name].max()) for plane in planes) or 1.0
        for column, plane in enumerate(planes):
            shown = _show_map(figure.add_subplot(grid[row, column]), plane, name, colours, highest)
        bar = figure.colorbar(shown, cax=figure.add_subplot(grid[row, 3]))
        bar.set_label(label, color=INK)
        bar.ax.tick_params(colors=INK)
    figure.legend(
        handles=_legend(refined=answer.before is not None),
        loc="lower center",
        ncols=4,
        frameon=False,
        labelcolor=INK,
        fontsize=11,
    )
    figure.savefig(path, dpi=100, facecolor=GROUND)


def draw_pairs(posterior: Posterior, path: Path) -> None:
    """Write how the numbers of a posterior go together as PNG: each pair, and each by itself.

    Args:
        posterior: at least one number of its samples must be known, the thresholds always are.
        path: of the PNG.
    """
    columns, weights = posterior.numbers()
    shown = {label: columns[name] for name, label in NUMBERS.items() if name in columns and np.ptp(columns[name]) > 0}
    shown = shown or {NUMBERS[name]: columns[name] for name in ("threshold_core", "threshold_whole")}
    count, names = len(shown), list(shown)
    inches = _PAIR_INCHES * min(1.0, _PAIRS_AT_FULL_SIZE / count)
    figure = Figure(figsize=(inches * count + 0.6, inches * count + 0.6), facecolor=GROUND)
    grid = figure.add_gridspec(count, count, wspace=0.08, hspace=0.08, left=0.09, right=0.98, top=0.98, bottom=0.09)
    marked = np.linspace(0, len(weights) - 1, min(_MARKS, len(weights))).round().astype(int)
    sizes = 8 + 160 * weights[marked] / weights.max() * min(1.0, _FEW_MARKS / len(marked))
    for i, below in enumerate(names):
        for j, beside in enumerate(names[: i + 1]):
            axes = figure.add_subplot(grid[i, j], facecolor=GROUND)
            if i == j:
                axes.hist(shown[below], weights=weights, bins=16, color=WHOLE_COLOUR)
                axes.set_yticks([])
            else:
                x, y = shown[beside], shown[below]
                axes.scatter(x[marked], y[marked], s=sizes, color=WHOLE_COLOUR, alpha=0.5, linewidths=0)
                axes.plot(x[0], y[0], "+", color=CORE_COLOUR, markersize=14, mew=2.5)
            axes.tick_params(colors=INK, labelsize=8, labelleft=j == 0 < i, labelbottom=i == count - 1)
            axes.locator_params(nbins=3)
            axes.ticklabel_format(useOffset=False)
            for spine in axes.spines.values():
                spine.set_color(INK)
            if i == count - 1:
                axes.set_xlabel(beside, color=INK, fontsize=9)
                axes.tick_params(axis="x", rotation=30)
            if j == 0 < i:
                axes.set_ylabel(below, color=INK, fontsize=9)
    figure.savefig(path, dpi=90, facecolor=GROUND)


NUMBERS = {
    "seed_x_mm": "seed x, mm",
    "seed_y_mm": "seed y, mm",
    "seed_z_mm": "seed z, mm",
    "mu1_mm": "√(DT), mm",
    "mu2": "√(ρT)",
    "duration": "T, days",
    "mass_effect_kpa": "γ, kPa",
    "threshold_core": "core at",
    "threshold_whole": "whole at",
    "threshold_width": "width",
    "pet_scale": "PET scale",
    "pet_noise": "PET noise",
}
"""Numbers of a posterior that are drawn, in this order, and their labels."""

_PAIR_INCHES, _PAIRS_AT_FULL_SIZE, _MARKS, _FEW_MARKS = 1.75, 7, 400, 64


Fit = tuple[str, dict[str, float], str, float]
"""Image of a density, thresholds of its outlines, and how these are drawn: style and width."""


def _show_fits(axes: Axes, plane: Plane, fits: list[Fit]) -> None:
    show_anatomy(axes, plane)
    for name, colour in (("whole", WHOLE_COLOUR), ("core", CORE_COLOUR)):
        mask = plane.images[name]
        if min(mask.shape) < 2:  # contours need two rows and columns
            continue
        if mask.any():
            axes.contourf(mask, levels=[0.5, 2], colors=[colour], alpha=0.3)
        for density, thresholds, style, width in fits:
            values, level = plane.images[density], thresholds[name]
            if values.max() >= level > values.min():
                axes.contour(values, levels=[level], colors=[colour], linewidths=width, linestyles=style)


def _show_map(axes: Axes, plane: Plane, name: str, colours: str, highest: float) -> AxesImage:
    show_anatomy(axes, plane)
    values = np.where(plane.images[name] < 0.01 * highest, np.nan, plane.images[name])
    return axes.imshow(
        values,
        cmap=colours,
        origin="lower",
        aspect=plane.aspect,
        vmin=0,
        vmax=highest,
        alpha=0.85,
        interpolation="nearest",
    )


def _legend(*, refined: bool) -> list[Line2D]:
    found = [
        Line2D([], [], color=colour, linewidth=7, alpha=0.4, label=f"patient, {name}")
        for name, colour in (("whole", WHOLE_COLOUR), ("core", CORE_COLOUR))
    ]
    if refined:
        found.append(Line2D([], [], color=INK, linewidth=1.4, linestyle="dotted", label="best match"))
    label = "refined" if refined else "best match"
    return [*found, Line2D([], [], color=INK, linewidth=2.2, linestyle="dashed", label=label)]
