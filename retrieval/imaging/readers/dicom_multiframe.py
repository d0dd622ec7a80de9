"""Enhanced DICOM images, which hold all frames in one file, through highdicom.

highdicom puts each frame where its own position says. dcm2niix goes by the frames' index values, and a file whose
indices do not follow the positions comes out of it in the wrong order.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from ....errors import InputError
from ....store import image_bytes
from .dicom_geometry import SAME_PLACE_MM, SeriesGrid, corners
from .dicom_segmentation import highdicom_module
from .grids import LPS_TO_RAS, checked_frame
from .volume import Volume


def read_multiframe(path: Path, grid: SeriesGrid) -> Volume:
    """Read an enhanced image with its modality transform (slope and intercept) applied.

    Args:
        path: of the file.
        grid: of its frames, against which the result is held.

    Raises:
        InputError: damaged, too large, or not where its header puts it.
    """
    highdicom = highdicom_module(path)
    image_bytes.check_size(path, grid.frame.shape, np.dtype(np.float32), copies=2)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = highdicom.imread(path).get_volume(
                dtype=np.float32,
                apply_real_world_transform=False,
                apply_presentation_lut=False,
                atol=SAME_PLACE_MM,
            )
    except Exception as error:  # highdicom promises no exceptions of its own for what is damaged
        raise InputError(f"{path} is a damaged enhanced DICOM image ({image_bytes.first_line(error)})") from error
    frame = checked_frame(path, found.spatial_shape, LPS_TO_RAS @ np.asarray(found.affine, dtype=np.float64))
    if np.abs(np.sort(corners(frame), axis=0) - np.sort(corners(grid.frame), axis=0)).max() > SAME_PLACE_MM:
        raise InputError(f"{path} has frames that are not where its header puts them", hint="convert it to NIfTI first")
    return Volume(np.asarray(found.array), frame, path, "DICOM series")
