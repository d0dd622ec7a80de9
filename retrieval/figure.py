"""The picture of an answer: three planes through the tumour, outlines above, density below."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ..store.frame import Frame
from .imaging.segmentation import Segmentation
from .result import Answer

CORE_COLOUR, WHOLE_COLOUR = "#E69F00", "#56B4E9"  # Okabe and Ito: told apart by colour-blind readers
"""Colours of core and whole in every picture."""

INK, GROUND = "#f2f2f2", "#101014"
"""Colours of what is written, and of what lies behind it."""

_PLANES = (
    ("axial", 2, ("R", "L", "P", "A")),
    ("coronal", 1, ("R", "L", "I", "S")),
    ("sagittal", 0, ("P", "A", "I", "S")),
)
_MARGIN_MM = 8.0


@dataclass(frozen=True)
class Plane:
    """One slice of several arrays, ready to show: rows run up, the patient's right is on the left."""

    name: str
    images: dict[str, NDArray[np.float32]]
    letters: tuple[str, str, str, str]
    aspect: float
    position_mm: float


def draw(answer: Answer, background: NDArray[np.float32], path: Path, title: str) -> None:
    """Write the picture as PNG.

    Args:
        answer: what to draw.
        background: anatomy on the patient's grid.
        path: of the PNG.
        title: one line above it.
    """
    figure = figure_of(answer.segmentation, answer.density, background, answer.thresholds, title)
    figure.savefig(path, dpi=110, facecolor=GROUND)


def figure_of(
    segmentation: Segmentation,
    density: NDArray[np.float32],
    background: NDArray[np.float32],
    thresholds: dict[str, float],
    title: str,
    whose: str = "patient",
) -> Figure:
    """Draw three planes through a tumor: outlines above, density below.

    Args:
        segmentation: Masks that are filled.
        density: Cell density on their grid.
        background: Anatomy there; 0 where there is none.
        thresholds: Densities at the outlines of "core" and "whole".
        title: One line above.
        whose: Whose masks are filled, for the legend.
    """
    planes = planes_of(segmentation, {"background": background, "density": density})
    figure = Figure(figsize=(13.2, 9.4), facecolor=GROUND)
    grid = figure.add_gridspec(
        2,
        4,
        width_ratios=[1, 1, 1, 0.05],
        wspace=0.06,
        hspace=0.1,
        left=0.02,
        right=0.94,
        top=0.9,
        bottom=0.07,
    )
    for column, plane in enumerate(planes):
        upper, lower = figure.add_subplot(grid[0, column]), figure.add_subplot(grid[1, column])
        _show_outlines(upper, plane, thresholds)
        shown = _show_density(lower, plane)
        upper.set_title(f"{plane.name}, {plane.position_mm:.0f} mm", color=INK, fontsize=12)
    bar = figure.colorbar(shown, cax=figure.add_subplot(grid[1, 3]))
    bar.set_label("tumour cell density (share of carrying capacity)", color=INK)
    bar.ax.tick_params(colors=INK)
    for name, colour in (("whole", WHOLE_COLOUR), ("core", CORE_COLOUR)):
        bar.ax.axhline(thresholds[name], color=colour, linewidth=2)
    figure.legend(
        handles=_legend(thresholds, whose), loc="lower center", ncols=4, frameon=False, labelcolor=INK, fontsize=11
    )
    figure.suptitle(title, color=INK, fontsize=14, y=0.965)
    return figure


def planes_of(segmentation: Segmentation, arrays: dict[str, NDArray[np.float32]]) -> list[Plane]:
    """Cut three planes through the middle of a tumour.

    Args:
        segmentation: its masks; they are among the images as "core" and "whole".
        arrays: on its grid; "background" is the anatomy.
    """
    masks = {"core": segmentation.core, "whole": segmentation.whole}
    canonical = {
        name: _to_ras(np.asarray(values, dtype=np.float32), segmentation.frame)[0]
        for name, values in {**arrays, **masks}.items()
    }
    spacing, affine = _to_ras(arrays["background"], segmentation.frame)[1:]
    centre = _centre(canonical["core"] if segmentation.core.any() else canonical["whole"])
    view = _field_of_view(canonical["background"], canonical["whole"], spacing)
    planes = []
    for name, axis, letters in _PLANES:
        across, up = (a for a in range(3) if a != axis)
        images = {
            key: _slice(values, axis, centre[axis], view, mirrored=axis != 0) for key, values in canonical.items()
        }
        position = float((affine @ np.r_[centre, 1.0])[axis])
        planes.append(Plane(name, images, letters, spacing[up] / spacing[across], position))
    return planes


def _to_ras(
    data: NDArray[np.float32], frame: Frame
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Flip and permute to the nearest RAS order, without interpolation."""
    image = nib.as_closest_canonical(nib.Nifti1Image(data, frame.affine))
    affine = np.asarray(image.affine)
    return np.asarray(image.dataobj), np.linalg.norm(affine[:3, :3], axis=0), affine


def _centre(mask: NDArray[np.float32]) -> list[int]:
    """Slice of largest area along each axis."""
    return [int(mask.sum(axis=tuple(a for a in range(3) if a != axis)).argmax()) for axis in range(3)]


def _field_of_view(
    background: NDArray[np.float32], whole: NDArray[np.float32], spacing: NDArray[np.float64]
) -> tuple[slice, slice, slice]:
    inside = np.argwhere((background > 0) | (whole > 0))
    margin = np.ceil(_MARGIN_MM / spacing).astype(int)
    low = np.maximum(inside.min(0) - margin, 0)
    high = np.minimum(inside.max(0) + 1 + margin, background.shape)
    x, y, z = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return x, y, z


def _slice(
    values: NDArray[np.float32], axis: int, index: int, view: tuple[slice, slice, slice], *, mirrored: bool
) -> NDArray[np.float32]:
    seen = [view[a] if a != axis else index for a in range(3)]
    plane = values[tuple(seen)].T
    return plane[:, ::-1] if mirrored else plane


def show_anatomy(axes: Axes, plane: Plane) -> None:
    """Show the background of a plane, with letters for where the patient's sides are."""
    image = plane.images["background"]
    top = float(np.quantile(image[image > 0], 0.995)) if (image > 0).any() else 1.0
    axes.imshow(image, cmap="gray", origin="lower", aspect=plane.aspect, vmin=0, vmax=top, interpolation="nearest")
    axes.set_axis_off()
    left, right, bottom, up = plane.letters
    for letter, x, y in ((left, 0.02, 0.5), (right, 0.98, 0.5), (bottom, 0.5, 0.02), (up, 0.5, 0.98)):
        axes.text(x, y, letter, color=INK, fontsize=12, ha="center", va="center", transform=axes.transAxes)


def _show_outlines(axes: Axes, plane: Plane, thresholds: dict[str, float]) -> None:
    show_anatomy(axes, plane)
    rim = plane.images["whole"] * (1 - plane.images["core"])
    for name, filled, colour in (("whole", rim, WHOLE_COLOUR), ("core", plane.images["core"], CORE_COLOUR)):
        mask, level = plane.images[name], thresholds[name]
        drawable = min(mask.shape) > 1  # contours need two rows and columns
        if mask.any():
            axes.imshow(
                np.where(filled < 0.5, np.nan, filled),
                cmap=ListedColormap([colour]),
                origin="lower",
                aspect=plane.aspect,
                alpha=0.38,
                interpolation="nearest",
            )
        if mask.any() and drawable:
            axes.contour(mask, levels=[0.5], colors=[colour], linewidths=0.8)
        if drawable and plane.images["density"].max() >= level > plane.images["density"].min():
            axes.contour(plane.images["density"], levels=[level], colors=[colour], linewidths=2.2, linestyles="dashed")


def _show_density(axes: Axes, plane: Plane) -> AxesImage:
    show_anatomy(axes, plane)
    density = np.where(plane.images["density"] < 0.01, np.nan, plane.images["density"])
    return axes.imshow(
        density,
        cmap="inferno",
        origin="lower",
        aspect=plane.aspect,
        vmin=0,
        vmax=1,
        alpha=0.85,
        interpolation="nearest",
    )


def _legend(thresholds: dict[str, float], whose: str) -> list[Line2D]:
    colours = (
        ("whole (FLAIR)", thresholds["whole"], WHOLE_COLOUR),
        ("core (T1Gd)", thresholds["core"], CORE_COLOUR),
    )
    filled = [Line2D([], [], color=c, linewidth=7, alpha=0.5, label=f"{whose}, {name}") for name, _, c in colours]
    dashed = [
        Line2D([], [], color=c, linewidth=2.2, linestyle="--", label=f"model, density {level:.3g}")
        for _, level, c in colours
    ]
    return filled + dashed
