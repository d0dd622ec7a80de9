"""NIfTI and MGH files, with or without channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nibabel.freesurfer.mghformat import MGHError, MGHHeader

from ....errors import InputError
from ....store import image_bytes
from ....store.nifti_file import open_nifti
from .grids import as_volume, channel_axis, checked_frame
from .volume import Volume

_MGH_HEADER_BYTES = 284
_MGH_DIRECTIONS_SAID = slice(28, 30)


def read_nifti(path: Path) -> Volume:
    """Read a NIfTI file or pair; channels may come last or first.

    Raises:
        InputError: damaged, without a grid, or its channels cannot be told.
    """
    file = open_nifti(path)
    shape = file.shape
    if len(shape) < 3 or min(shape) < 1:
        raise InputError(f"{path} has shape {shape}", hint="give one 3-D volume")
    axis = channel_axis(path, shape, file.spacing)
    size = shape[1:4] if axis == 0 else shape[:3]
    frame = checked_frame(path, size, file.affine((size[0], size[1], size[2])))
    return Volume(as_volume(file.values(), axis), frame, path, "NIfTI")


def read_mgh(path: Path) -> Volume:
    """Read a FreeSurfer volume, .mgz or .mgh (surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat).

    Raises:
        InputError: damaged, or without directions.
    """
    with image_bytes.open_file(path) as file:
        block = image_bytes.read_exactly(file, _MGH_HEADER_BYTES, path)
        if not int.from_bytes(block[_MGH_DIRECTIONS_SAID], "big"):
            raise InputError(
                f"{path} says nothing about its orientation (goodRASFlag is 0)", hint="set it with mri_convert"
            )
        try:
            with np.errstate(all="ignore"):
                header = MGHHeader(block, check=False)
                dtype = np.dtype(header.get_data_dtype()).newbyteorder(">")
                affine = np.asarray(header.get_affine(), dtype=np.float64)
        except (MGHError, KeyError, ValueError) as error:
            raise InputError(f"{path} has a damaged MGH header ({image_bytes.first_line(error)})") from error
        shape = tuple(int(n) for n in header["dims"])
        image_bytes.check_size(path, shape, dtype)
        axis = channel_axis(path, shape)
        frame = checked_frame(path, shape[:3], affine)
        values = image_bytes.read_values(file, shape, dtype, path)
        image_bytes.check_rest(file, path)
    return Volume(as_volume(values, axis), frame, path, "MGH")
