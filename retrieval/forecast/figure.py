"""The picture of a forecast: volumes by day with their bands, and where the outlines are to be expected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ..figure import CORE_COLOUR, GROUND, INK, WHOLE_COLOUR, Plane, planes_of, show_anatomy
from ..imaging.segmentation import Segmentation
from ..refinement.posterior import INTERVAL
from .model import Forecast

_COLOURS = {"whole": WHOLE_COLOUR, "core": CORE_COLOUR}
_CHANCES = (((1 - INTERVAL) / 2, "dotted", 1.2), (0.5, "solid", 2.2), ((1 + INTERVAL) / 2, "dotted", 1.2))


def draw_forecast(found: Forecast, segmentation: Segmentation, background: NDArray[np.float32], path: Path) -> None:
    """Write the picture as PNG: the volumes above, three planes of the last day below.

    Args:
        found: what to draw.
        segmentation: of the follow-up.
        background: anatomy on its grid.
        path: of the PNG.
    """
    last = max(found.posteriors)
    frame, grid = found.problem.solver.atlas.frame, segmentation.frame
    arrays = {"background": background} | {
        f"chance_{name}": grid.resample(found.chances(name, last), frame) for name in _COLOURS
    }
    figure = Figure(figsize=(13.2, 10.2), facecolor=GROUND)
    parts = figure.add_gridspec(
        2, 3, height_ratios=[1, 1.1], wspace=0.06, hspace=0.28, left=0.07, right=0.97, top=0.95, bottom=0.08
    )
    _show_volumes(figure.add_subplot(parts[0, :], facecolor=GROUND), found)
    for column, plane in enumerate(planes_of(segmentation, arrays)):
        axes = figure.add_subplot(parts[1, column])
        axes.set_title(f"{plane.name}, {plane.position_mm:.0f} mm, day {last:g}", color=INK, fontsize=12)
        _show_outlines(axes, plane)
    handles = [
        *(
            Line2D([], [], color=c, linewidth=7, alpha=0.4, label=f"{n}, day {found.problem.scan.days:g}, seen")
            for n, c in _COLOURS.items()
        ),
        Line2D([], [], color=INK, linewidth=2.2, label=f"more likely than not, day {last:g}"),
        Line2D([], [], color=INK, linewidth=1.2, linestyle="dotted", label="with 5 % and 95 % probability"),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False, labelcolor=INK, fontsize=11)
    figure.savefig(path, dpi=100, facecolor=GROUND)


def _show_volumes(axes: Axes, found: Forecast) -> None:
    scale, unit = (1.0, "ml") if found.bands("whole")["high"].max() >= 1.0 else (1000.0, "µl")
    for name, colour in _COLOURS.items():
        bands = found.bands(name)
        axes.fill_between(found.days, scale * bands["low"], scale * bands["high"], color=colour, alpha=0.3, linewidth=0)
        axes.plot(
            found.days,
            scale * bands["median"],
            color=colour,
            linewidth=2,
            label=f"{name}: median, {INTERVAL:.0%} interval",
        )
    for one in found.compared:
        for name, colour in _COLOURS.items():
            seen_ml, filled = one.outlines[name].seen_ml, colour if one.learned_from else "none"
            axes.plot(one.day, scale * seen_ml, "o", color=colour, markerfacecolor=filled, markersize=9)
    axes.plot([], [], "o", color=INK, label="learned from")
    if len(found.compared) > 1:
        axes.plot([], [], "o", color=INK, markerfacecolor="none", label="seen later")
    axes.set_xlabel("days after the first image", color=INK)
    axes.set_ylabel(f"volume, {unit}", color=INK)
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.tick_params(colors=INK)
    for spine in axes.spines.values():
        spine.set_color(INK)
    axes.legend(loc="upper left", frameon=False, labelcolor=INK, fontsize=11)


def _show_outlines(axes: Axes, plane: Plane) -> None:
    show_anatomy(axes, plane)
    for name, colour in _COLOURS.items():
        if min(plane.images[name].shape) < 2:  # contours need two rows and columns
            continue
        if plane.images[name].any():
            axes.contourf(plane.images[name], levels=[0.5, 2], colors=[colour], alpha=0.35)
        chance = plane.images[f"chance_{name}"]
        for level, style, width in _CHANCES:
            if chance.max() >= level > chance.min():
                axes.contour(chance, levels=[level], colors=[colour], linewidths=width, linestyles=style)
