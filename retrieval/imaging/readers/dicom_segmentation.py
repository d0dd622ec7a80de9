"""DICOM segmentation objects (DICOM-SEG, PS3.3 A.51), with the labels of their segments, through highdicom."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ....store import image_bytes
from .dicom_headers import dicom_module
from .grids import LPS_TO_RAS, checked_frame
from .volume import Volume

_EVEN = 0.02
"""Difference of a gap between frames from the usual one, as a share of it."""


def read_segmentation(path: Path) -> Volume:
    """Read a DICOM-SEG on the grid of its frames, which may be smaller than that of the image.

    Returns:
        label map whose values are the segments' numbers, where no segments overlap; else one channel a segment.
        Fractional segments are channels in [0, 1].

    Raises:
        InputError: damaged, too large, or its frames make no regular grid in the patient.
    """
    highdicom = highdicom_module(path)
    with image_bytes.reading(path):
        image_bytes.check_size(path, (path.stat().st_size,), np.dtype(np.uint8))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return _read(path, highdicom.seg.segread(path))
    except InputError:
        raise
    except Exception as error:  # highdicom promises no exceptions of its own for what is damaged
        raise InputError(f"{path} is a damaged DICOM-SEG ({image_bytes.first_line(error)})") from error


def highdicom_module(path: Path) -> Any:
    """Import highdicom, which takes half a second.

    Raises:
        InputError: the extra is not installed.
    """
    dicom_module(path)
    try:
        import highdicom
    except ImportError:
        raise InputError(f"{path} is DICOM, which needs the extra dicom", hint="pip install 'gliodex[dicom]'") from None
    return highdicom


def _read(path: Path, found: Any) -> Volume:
    geometry = found.get_volume_geometry(rtol=_EVEN)
    if geometry is None:
        raise InputError(
            f"{path} is a DICOM-SEG whose frames make no regular grid in the patient", hint="write it anew"
        )
    numbers = [int(number) for number in found.segment_numbers]
    shape = tuple(int(n) for n in geometry.spatial_shape)
    frame = checked_frame(path, shape, LPS_TO_RAS @ np.asarray(geometry.affine, dtype=np.float64))
    fractional = found.segmentation_type.value == "FRACTIONAL"
    image_bytes.check_size(path, (*shape, len(numbers)), np.dtype(np.float32 if fractional else np.uint8), copies=2)
    names = {
        number: image_bytes.printable(str(found.get_segment_description(number).segment_label)) for number in numbers
    }
    labels = None if fractional else _label_map(found)
    if labels is not None:
        return Volume(labels, frame, path, "DICOM-SEG", names)
    channels = np.asarray(found.get_volume(combine_segments=False, rtol=_EVEN).array)
    if len(numbers) == 1:
        return Volume(channels[..., 0], frame, path, "DICOM-SEG", {1: names[numbers[0]]})
    return Volume(channels, frame, path, "DICOM-SEG", {i: names[number] for i, number in enumerate(numbers)})


def _label_map(found: Any) -> NDArray[np.generic] | None:
    """Combine the segments into one map, or None where they overlap."""
    try:
        return np.asarray(found.get_volume(combine_segments=True, rtol=_EVEN).array)
    except RuntimeError:
        return None
