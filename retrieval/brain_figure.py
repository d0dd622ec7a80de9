"""The picture of a brain that was found in a whole head: what the registration saw, and what it did not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..store.nifti import Image
from .figure import GROUND, INK, WHOLE_COLOUR, planes_of, show_anatomy
from .imaging.intensities import above_background
from .imaging.segmentation import Mask, Segmentation


def draw_brain(whole_head: Image, brain: Mask, path: Path) -> None:
    """Write three planes of a head with the outline of the brain that was found in it as PNG."""
    seen = np.asarray(above_background(whole_head).data, np.float32)
    planes = planes_of(Segmentation(brain, brain, whole_head.frame), {"background": np.minimum(seen, 1)})
    figure = Figure(figsize=(13.2, 5.2), facecolor=GROUND)
    for column, plane in enumerate(planes):
        axes = figure.add_subplot(1, 3, column + 1)
        show_anatomy(axes, plane)
        if min(plane.images["whole"].shape) > 1:
            axes.contour(plane.images["whole"], levels=[0.5], colors=[WHOLE_COLOUR], linewidths=1.5)
        axes.set_title(f"{plane.name}, {plane.position_mm:.0f} mm", color=INK, fontsize=12)
    outline = [Line2D([], [], color=WHOLE_COLOUR, linewidth=1.5, label="brain that was found; all else was removed")]
    figure.legend(handles=outline, loc="lower center", frameon=False, labelcolor=INK, fontsize=11)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.92, bottom=0.08, wspace=0.03)
    figure.savefig(path, dpi=110, facecolor=GROUND)
