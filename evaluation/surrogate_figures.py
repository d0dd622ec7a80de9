"""Ezhov et al.'s (2021) figures of a surrogate: a growing tumour (Fig. 4), Dice and errors of many (Figs. 6 and 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..errors import InputError
from ..learn.surrogate import SurrogateSolver
from ..simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters
from ..store.reader import TumorStore
from .surrogate_errors import LEVELS, MOSTLY, TISSUES, Row, Volume, crop_slices, known


def plot_histograms(rows: list[Row], path: Path) -> None:
    """Draw how Dice and errors are distributed, a row a way (Ezhov et al. 2021, Figs. 6 and 7); PNG."""
    ways = list(dict.fromkeys(row["way"] for row in rows))
    figure = Figure(figsize=(8.6, 2.4 * len(ways) + 0.6), layout="constrained")
    axes = figure.subplots(len(ways), 2, squeeze=False)
    for (left, right), way in zip(axes, ways, strict=True):
        chosen = [row for row in rows if row["way"] == way]
        for colour, level in zip(_COLOURS, LEVELS, strict=True):
            values = known(chosen, f"dice_{level:g}")
            left.hist(values, np.linspace(0, 1, 41), histtype="step", color=colour, label=f"above {level:g}")
        for colour, name in zip(_COLOURS, TISSUES, strict=True):
            values = np.maximum(known(chosen, f"mae_{name}"), _LEAST_SHOWN)
            right.hist(values, np.geomspace(_LEAST_SHOWN, 1, 41), histtype="step", color=colour, label=_SAID[name])
        right.set_xscale("log")
        left.set_title(way, loc="left", fontsize=10)
        left.set_ylabel("tumours")
        for ax in (left, right):
            ax.spines[["top", "right"]].set_visible(False)
            ax.legend(frameon=False, fontsize=8, loc="best")
    axes[-1, 0].set_xlabel("Dice")
    axes[-1, 1].set_xlabel("mean absolute error")
    figure.savefig(path, dpi=110)


def plot_growth(store: TumorStore, settings: FisherKolmogorovSettings, surrogate: SurrogateSolver, path: Path) -> None:
    """Draw a tumour as it grows: simulated above, said by the surrogate below (Ezhov et al. 2021, Fig. 4); PNG."""
    solver = FisherKolmogorov(store.atlas, settings)
    learned = [n for n in store.ids[:_LOOKED_AT].tolist() if surrogate.ranges.hold(store.parameters(n))]
    if not learned:
        raise InputError(f"no tumour of {store.path} grew as {surrogate.file.path} has learned", hint="build others")
    sized = max(learned, key=lambda tumour: np.count_nonzero(store.density(tumour) >= MOSTLY))
    last = store.parameters(sized)
    days = np.linspace(0.2, 1.0, 6) * last.duration
    days = days[[surrogate.ranges.hold(replace(last, duration=day)) for day in days.tolist()]]
    voxel = np.floor(store.frame.voxel(last.seed_mm) + 0.5).astype(int)
    x, y, _ = crop_slices(store.frame, last)
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    axes = figure.subplots(2, len(days), squeeze=False)
    for column, day in zip(axes.T, days.tolist(), strict=True):
        parameters = replace(last, duration=day)
        ways: tuple[Callable[[GrowthParameters], Volume], ...] = (solver, surrogate)
        for ax, say in zip(column, ways, strict=True):
            plane = say(parameters)[x, y, voxel[2]]
            csf = store.atlas.csf[x, y, voxel[2]] >= MOSTLY
            ax.imshow(plane.T, origin="lower", cmap="inferno", vmin=0, vmax=1, interpolation="nearest")
            ax.contour(csf.T, [0.5], colors="#7fb7d6", linewidths=0.5)
            ax.set_xticks([])
            ax.set_yticks([])
        column[0].set_title(f"{day:.0f} days", fontsize=9)
    axes[0, 0].set_ylabel("solver")
    axes[1, 0].set_ylabel("surrogate")
    figure.savefig(path, dpi=110)


_COLOURS = ("#4477aa", "#cc6677", "#117733")
_SAID = {"white": "white matter", "grey": "grey matter", "csf": "CSF"}
_LEAST_SHOWN, _LOOKED_AT = 1e-4, 60
