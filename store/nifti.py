"""NIfTI in and out, checked hard: an image that could be read in two ways is refused, not guessed."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from ..errors import InputError, OutputError
from .frame import Frame
from .image_bytes import first_line, is_folder
from .nifti_file import open_nifti


@dataclass(frozen=True)
class Image:
    """A 3-D image and the grid that it lives on.

    Args:
        data: (i, j, k), float32 or the integers of the file.
        frame: voxel indices to RAS+ mm.
        path: where it came from.
    """

    data: NDArray[np.generic]
    frame: Frame
    path: Path


def load_image(path: str | Path) -> Image:
    """Read a 3-D NIfTI image: one file or a pair, compressed or not, whatever its name says.

    Raises:
        InputError: no such file, not NIfTI, damaged, not 3-D, not finite, without orientation, or with an sform
            and a qform that disagree.
    """
    path = Path(path)
    if is_folder(path):
        raise InputError(f"{path} is a folder", hint="give a NIfTI file (.nii or .nii.gz)")
    file = open_nifti(path)
    shape = file.shape
    if len(shape) < 3 or any(n != 1 for n in shape[3:]) or min(shape) < 1:
        raise InputError(f"{path} has shape {shape}", hint="give one 3-D volume (split a 4-D file first)")
    size = shape[0], shape[1], shape[2]
    frame = Frame(size, file.affine(size))
    data = file.values().reshape(size)
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        bad = int((~np.isfinite(data)).sum())
        raise InputError(
            f"{path} holds {bad} values that are NaN or infinite", hint="replace them, with 0 for background"
        )
    return Image(data, frame, path)


def save_image(path: Path, data: NDArray[np.generic], frame: Frame, intent: str = "") -> None:
    """Write a NIfTI image with equal sform and qform; a sheared grid has an sform only.

    Raises:
        OutputError: the place cannot be written to.
    """
    image = image_of(data, frame, intent)
    try:
        nib.save(image, path)
    except (OSError, ImageFileError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else first_line(error)
        raise OutputError(f"cannot write {path}: {reason}") from error


def as_bytes(data: NDArray[np.generic], frame: Frame, intent: str = "") -> bytes:
    """Content of the file that `save_image` would write as .nii.gz, packed less tightly."""
    return gzip.compress(image_of(data, frame, intent).to_bytes(), 1)


def image_of(data: NDArray[np.generic], frame: Frame, intent: str = "") -> nib.Nifti1Image:
    """Make an image with equal sform and qform; a sheared grid has an sform only.

    Args:
        data: Values (i, j, k).
        frame: Their grid.
        intent: What they are, for the header's description.
    """
    if data.dtype == np.bool_:
        data = data.astype(np.uint8)
    image = nib.Nifti1Image(np.ascontiguousarray(data), frame.affine, dtype=data.dtype)
    image.set_sform(frame.affine, code="scanner")
    # a qform cannot hold shear: rather none than one that disagrees
    image.set_qform(None if frame.shears else frame.affine, code="unknown" if frame.shears else "scanner")
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = intent[:79].encode()
    return image
