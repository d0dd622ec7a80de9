"""A patient's own tissue: maps of white and grey matter, from a segmentation of the healthy brain under the tumour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...errors import InputError
from ...simulate.atlas import PSEUDO_T1
from ...store.atlas import Atlas
from ...store.frame import Frame
from ...store.nifti import Image
from .readers import read_image

OWN = "the patient's own tissue"


@dataclass(frozen=True)
class Tissue:
    """Fractions of white and grey matter on one grid.

    Args:
        white, grey: in [0, 1], float32.
        frame: their grid.
        path: of the white matter's file.
    """

    white: NDArray[np.float32]
    grey: NDArray[np.float32]
    frame: Frame
    path: Path

    def picture(self) -> Image:
        """Make an image with the contrast of a T1, to register to an atlas.

        What is neither white nor grey within the brain is dark in a T1: it is left black, like all around the brain.
        """
        return Image(PSEUDO_T1["white"] * self.white + PSEUDO_T1["grey"] * self.grey, self.frame, self.path)

    def on(self, frame: Frame) -> Atlas:
        """Bring it to another grid, averaging over what lies in each voxel; what is no tissue counts as CSF.

        CSF ends where the brain does, at the hull of its tissue: what lies beyond is held by the skull.
        """
        finer = max(1, round(min(frame.spacing) / min(self.frame.spacing)))
        white, grey = (
            np.clip(frame.resample(values, self.frame, oversample=finer), 0.0, 1.0)
            for values in (self.white, self.grey)
        )
        csf = np.clip(1.0 - white - grey, 0.0, 1.0) * _within_skull(white + grey, frame)
        t1 = PSEUDO_T1["white"] * white + PSEUDO_T1["grey"] * grey
        return Atlas(OWN, frame, white, grey, csf, t1)


def _within_skull(tissue: NDArray[np.float32], frame: Frame) -> NDArray[np.bool_]:
    """Voxels of tissue, and those in its gaps up to twice `_SULCUS_MM` wide and in its holes."""
    reach = [max(1, round(_SULCUS_MM / h)) for h in frame.spacing]
    there = np.pad(tissue >= _HALF, [(n, n) for n in reach])
    shape = np.ones([2 * n + 1 for n in reach], bool)
    closed = ndimage.binary_fill_holes(ndimage.binary_closing(there, shape))
    inner = closed[tuple(slice(n, -n) for n in reach)]
    return np.asarray(inner | (tissue > 0))


def load_tissue(white_path: str | Path, grey_path: str | Path) -> Tissue:
    """Read maps of white and grey matter.

    Raises:
        InputError: a file cannot be read, the grids differ, or the values are no fractions.
    """
    white, grey = read_image(white_path), read_image(grey_path)
    if not white.frame.same_as(grey.frame):
        raise InputError(f"{white_path} and {grey_path} are on different grids", hint="resample one to the other")
    fractions = [np.nan_to_num(np.asarray(image.data, np.float32)) for image in (white, grey)]
    for image, values in zip((white, grey), fractions, strict=True):
        if values.min() < 0 or values.max() > 1:
            raise InputError(
                f"{image.path} runs from {values.min():g} to {values.max():g}",
                hint="give fractions of tissue in [0, 1]",
            )
    both = fractions[0] + fractions[1]
    if both.max() > 1 + _SLACK:
        raise InputError(f"{white_path} and {grey_path} add up to {both.max():g} in a voxel, which is at most 1")
    if not (both > 0.5).any():
        raise InputError(f"{white_path} and {grey_path} hold no brain: nowhere is half of a voxel tissue")
    return Tissue(fractions[0], fractions[1], white.frame, white.path)


_SLACK, _HALF, _SULCUS_MM = 0.01, 0.5, 6.0
