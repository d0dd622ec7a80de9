"""What was understood of a patient's files, before anything is asked of them: labels, volumes, grid, a picture."""

from __future__ import annotations

import base64
import io
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ..retrieval.imaging.patient import Patient
from ..retrieval.imaging.segmentation import Segmentation

_SIDE = 160


def preview_of(patient: Patient) -> dict[str, Any]:
    """Say how a segmentation was read.

    Returns:
        What the labels mean and how that is known, volumes in ml, the orientation of the grid's axes, voxel sizes in
        mm, the grid's shape, warnings, and a PNG of three planes through the tumour, base64.
    """
    given = patient.segmentation
    frame, understood = given.frame, given.understood
    return {
        "summary": [given.summary],
        "format": understood.get("format", ""),
        "reading": understood.get("reading", ""),
        "convention": understood.get("convention"),
        "source": understood.get("source"),
        "labels": understood.get("labels", {}),
        "names": understood.get("names", {}),
        "meanings": understood.get("meanings", {}),
        "core_labels": understood.get("core_labels", []),
        "whole_labels": understood.get("whole_labels", []),
        "volumes_ml": {name: round(ml, 2) for name, ml in given.volumes_ml.items()},
        "orientation": frame.axis_codes,
        "spacing_mm": [round(float(h), 3) for h in frame.spacing],
        "shape": list(frame.shape),
        "warnings": list(patient.warnings),
        "thumbnail_png": base64.b64encode(_thumbnail(given)).decode(),
    }


def _thumbnail(given: Segmentation) -> bytes:
    """Three planes through the middle of the tumour, seen as radiologists do; core over whole."""
    from matplotlib.colors import ListedColormap  # a service is to be ready sooner than matplotlib is
    from matplotlib.figure import Figure

    codes = given.whole.astype(np.uint8) + given.core
    turned = np.asarray(nib.orientations.apply_orientation(codes, nib.io_orientation(given.frame.affine)))
    order = np.abs(nib.io_orientation(given.frame.affine)[:, 0].argsort())
    spacing = np.array(given.frame.spacing)[order]
    middle = [int(np.median(v)) for v in np.nonzero(turned)]
    planes: list[tuple[NDArray[np.uint8], float]] = [
        (turned[::-1, :, middle[2]].T, spacing[1] / spacing[0]),
        (turned[::-1, middle[1], :].T, spacing[2] / spacing[0]),
        (turned[middle[0], ::-1, :].T, spacing[2] / spacing[1]),
    ]
    figure = Figure(figsize=(3 * _SIDE / 100, _SIDE / 100), dpi=100)
    axes = figure.subplots(1, 3)
    colours = ListedColormap(["#10151c", "#56b4e9", "#e69f00"])
    for ax, (plane, aspect) in zip(axes, planes, strict=True):
        ax.imshow(plane, origin="lower", cmap=colours, vmin=0, vmax=2, interpolation="nearest", aspect=aspect)
        ax.axis("off")
    figure.subplots_adjust(0, 0, 1, 1, 0.02, 0)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="#10151c")
    return buffer.getvalue()
