"""Read what a user brings, whatever its format: the one door for files with images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ....errors import InputError
from ....store.image_bytes import is_folder
from ....store.image_format import find_format
from ....store.nifti import Image
from .dicom import read_dicom
from .metaimage import read_metaimage
from .nifti_volume import read_mgh, read_nifti
from .nrrd import read_nrrd
from .volume import Volume
from .zipped import read_zip

_READERS = {
    "NIfTI": read_nifti,
    "NIfTI pair": read_nifti,
    "NRRD": read_nrrd,
    "MetaImage": read_metaimage,
    "MGH": read_mgh,
    "DICOM": read_dicom,
    "zip": read_zip,
}


def read_volume(path: str | Path) -> Volume:
    """Read an image file, a folder with a DICOM series, or a zip archive of one.

    Args:
        path: NIfTI, NRRD (Slicer's .seg.nrrd too), MetaImage, MGH, DICOM (a series or a segmentation) or zip; the
            format is found by the first bytes.

    Returns:
        values as the file has them: NaN, channels, fractions, and names of labels or channels.

    Raises:
        InputError: the file cannot be read, is damaged or too large, holds no volume, or could be read in two ways.
    """
    path = Path(path)
    return read_dicom(path) if is_folder(path) else _READERS[find_format(path)](path)


def read_image(path: str | Path) -> Image:
    """Read one volume of intensities, such as a T1 or a tissue map.

    Args:
        path: as for `read_volume`.

    Returns:
        image whose infinite values have become NaN, as those are that scanners' software leaves outside the head.

    Raises:
        InputError: as for `read_volume`; or the file has channels, or no value that is a number.
    """
    volume = read_volume(path)
    if volume.data.ndim == 4:
        named = f" ({', '.join(volume.names.values())})" if volume.names else ""
        raise InputError(f"{path} holds {volume.channels} channels{named}", hint="give one 3-D volume of intensities")
    data = volume.data
    if data.dtype.kind == "f":
        finite = np.isfinite(data)
        if not finite.any():
            raise InputError(f"{path} holds no number at all (every value is NaN or infinite)", hint="write it again")
        data[~finite] = np.nan
    return Image(data, volume.frame, volume.path)
