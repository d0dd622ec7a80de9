"""Pictures of what a stage after retrieval found: the fit before and after, how sure it is, and pairs of numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from .answer import Answer, Before
from .figure import CORE_COLOUR, GROUND, INK, WHOLE_COLOUR, Plane, planes_of, show_anatomy
from .refinement import Posterior

Image = NDArray[np.float32]


def draw_uncertainty(
    answer: Answer, before: Before, background: Image, maps: dict[str, Image], level: float, path: Path
) -> None:
    """Write three planes as PNG: the outlines before and after, the standard deviation, the chance to exceed a level.

    Args:
        answer: whose tumour it is, refined.
        before: what it was refined from.
        background: anatomy on the patient's grid.
        maps: "deviation" and "exceedance" there.
        level: of the exceedance.
        path: of the PNG.
    """
    arrays = {"background": background, "density": answer.density, "before": before.density, **maps}
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
        _show_fits(axes, plane, {"before": before.thresholds, "density": answer.thresholds})
    for row, (name, label, colours, top) in enumerate(rows, 1):
        highest = top or max(float(plane.images[name].max()) for plane in planes) or 1.0
        for column, plane in enumerate(planes):
            shown = _show_map(figure.add_subplot(grid[row, column]), plane, name, colours, highest)
        bar = figure.colorbar(shown, cax=figure.add_subplot(grid[row, 3]))
        bar.set_label(label, color=INK)
        bar.ax.tick_params(colors=INK)
    figure.legend(handles=_legend(), loc="lower center", ncols=4, frameon=False, labelcolor=INK, fontsize=11)
    figure.savefig(path, dpi=100, facecolor=GROUND)


def draw_pairs(posterior: Posterior, path: Path) -> None:
    """Write how the numbers of a posterior's samples go together as PNG: each pair, and each by itself.

    Args:
        posterior: at least one number of its samples must be known, the thresholds always are.
        path: of the PNG.
    """
    columns = _columns(posterior)
    count = len(columns)
    figure = Figure(figsize=(1.75 * count + 0.6, 1.75 * count + 0.6), facecolor=GROUND)
    grid = figure.add_gridspec(count, count, wspace=0.08, hspace=0.08, left=0.09, right=0.98, top=0.98, bottom=0.09)
    names = list(columns)
    for i, below in enumerate(names):
        for j, beside in enumerate(names[: i + 1]):
            axes = figure.add_subplot(grid[i, j], facecolor=GROUND)
            if i == j:
                axes.hist(columns[below], weights=posterior.weights, bins=12, color=WHOLE_COLOUR)
                axes.set_yticks([])
            else:
                sizes = 8 + 160 * posterior.weights / posterior.weights.max()
                axes.scatter(columns[beside], columns[below], s=sizes, color=WHOLE_COLOUR, alpha=0.5, linewidths=0)
                axes.plot(columns[beside][0], columns[below][0], "+", color=CORE_COLOUR, markersize=14, mew=2.5)
            axes.tick_params(colors=INK, labelsize=8, labelleft=j == 0 < i, labelbottom=i == count - 1)
            for spine in axes.spines.values():
                spine.set_color(INK)
            if i == count - 1:
                axes.set_xlabel(beside, color=INK, fontsize=10)
            if j == 0 < i:
                axes.set_ylabel(below, color=INK, fontsize=10)
    figure.savefig(path, dpi=90, facecolor=GROUND)


def _columns(posterior: Posterior) -> dict[str, NDArray[np.float64]]:
    known = [sample.parameters for sample in posterior.samples if sample.parameters is not None]
    columns = {}
    if len(known) == len(posterior.samples):
        columns = {f"seed {axis}, mm": np.array([p.seed_mm[n] for p in known]) for n, axis in enumerate("xyz")}
        columns |= {"√(DT), mm": np.array([p.mu1 for p in known]), "√(ρT)": np.array([p.mu2 for p in known])}
    thresholds = np.array([sample.thresholds for sample in posterior.samples])
    return columns | {"core at": thresholds[:, 0], "whole at": thresholds[:, 1]}


def _show_fits(axes: Axes, plane: Plane, thresholds: dict[str, dict[str, float]]) -> None:
    show_anatomy(axes, plane)
    for name, colour in (("whole", WHOLE_COLOUR), ("core", CORE_COLOUR)):
        mask = plane.images[name]
        if min(mask.shape) < 2:  # contours need two rows and columns
            continue
        if mask.any():
            axes.contourf(mask, levels=[0.5, 2], colors=[colour], alpha=0.3)
        for density, style, width in (("before", "dotted", 1.4), ("density", "dashed", 2.2)):
            values, level = plane.images[density], thresholds[density][name]
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


def _legend() -> list[Line2D]:
    found = [
        Line2D([], [], color=colour, linewidth=7, alpha=0.4, label=f"patient, {name}")
        for name, colour in (("whole", WHOLE_COLOUR), ("core", CORE_COLOUR))
    ]
    found.append(Line2D([], [], color=INK, linewidth=1.4, linestyle="dotted", label="best match"))
    found.append(Line2D([], [], color=INK, linewidth=2.2, linestyle="dashed", label="refined"))
    return found
