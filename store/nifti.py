"""NIfTI in and out, checked hard: an image that could be read in two ways is refused, not guessed."""

from __future__ import annotations

import gzip
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from ..errors import InputError, OutputError
from .frame import Frame

_GZIP_PIECE = 1 << 22


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
    """Read a 3-D NIfTI image.

    Raises:
        InputError: no such file, not NIfTI, damaged, not 3-D, not finite, without orientation, or with an sform
            and a qform that disagree.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a NIfTI file (.nii or .nii.gz)")
    try:
        _check_gzip(path)
        image = nib.load(path)
    except (ImageFileError, HeaderDataError, OSError, EOFError, zlib.error, ValueError, OverflowError) as error:
        raise InputError(f"{path} is not a readable NIfTI file ({_first_line(error)})") from error
    if not isinstance(image, nib.Nifti1Image):
        raise InputError(f"{path} is {type(image).__name__}, not NIfTI: convert it to .nii.gz first")
    shape = tuple(int(n) for n in image.shape)
    if len(shape) < 3 or any(n != 1 for n in shape[3:]) or min(shape) < 1:
        raise InputError(f"{path} has shape {shape}: give one 3-D volume (split a 4-D file first)")
    size = shape[0], shape[1], shape[2]
    frame = Frame(size, _affine(image, path, size))
    try:
        data = np.asanyarray(image.dataobj).reshape(size)
    except (OSError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError, MemoryError) as error:
        raise InputError(f"{path} is damaged or cut short ({_first_line(error)}): copy it again") from error
    if data.dtype.kind not in "iufb":
        raise InputError(f"{path} holds {data.dtype} values: give a scalar image")
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        bad = int((~np.isfinite(data)).sum())
        raise InputError(f"{path} holds {bad} values that are NaN or infinite: replace them, with 0 for background")
    return Image(data, frame, path)


def _check_gzip(path: Path) -> None:
    """Read a gz file to its end: only there is its checksum, which a reader of the voxels alone never reaches."""
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as file:
            while file.read(_GZIP_PIECE):
                pass


def save_image(path: Path, data: NDArray[np.generic], frame: Frame, intent: str = "") -> None:
    """Write a NIfTI image with equal sform and qform; a sheared grid has an sform only.

    Raises:
        OutputError: the place cannot be written to.
    """
    image = _image(data, frame, intent)
    try:
        nib.save(image, path)
    except (OSError, ImageFileError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else _first_line(error)
        raise OutputError(f"cannot write {path}: {reason}") from error


def as_bytes(data: NDArray[np.generic], frame: Frame, intent: str = "") -> bytes:
    """Content of the file that `save_image` would write as .nii.gz, packed less tightly."""
    return gzip.compress(_image(data, frame, intent).to_bytes(), 1)


def _image(data: NDArray[np.generic], frame: Frame, intent: str) -> nib.Nifti1Image:
    if data.dtype == np.bool_:
        data = data.astype(np.uint8)
    image = nib.Nifti1Image(np.ascontiguousarray(data), frame.affine, dtype=data.dtype)
    image.set_sform(frame.affine, code="scanner")
    # a qform cannot hold shear: rather none than one that disagrees
    image.set_qform(None if frame.shears else frame.affine, code="unknown" if frame.shears else "scanner")
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = intent[:79].encode()
    return image


def _affine(image: nib.Nifti1Image, path: Path, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    sform, sform_code = image.header.get_sform(coded=True)
    try:
        qform, qform_code = image.header.get_qform(coded=True)
    except ValueError as error:
        raise InputError(f"{path} has a qform that is no rotation ({error}): repair its header") from error
    if sform_code == 0 and qform_code == 0:
        raise InputError(f"{path} says nothing about its orientation (sform and qform codes are 0): set an affine")
    if sform_code == 0:
        return np.asarray(qform, dtype=np.float64)
    if not np.isfinite(sform).all() or abs(np.linalg.det(sform)) < 1e-9:
        raise InputError(f"{path} has an sform that cannot be inverted: repair its header")
    if qform_code != 0:
        corners = np.array(list(np.ndindex(2, 2, 2))) * (np.asarray(shape) - 1)
        points = np.c_[corners, np.ones(8)]
        apart = float(np.linalg.norm((points @ (sform - qform).T)[:, :3], axis=1).max())
        if not apart <= 0.5 * float(np.linalg.norm(sform[:3, :3], axis=0).min()):
            raise InputError(
                f"{path}: sform and qform disagree by up to {apart:.1f} mm, so left and right are not certain: "
                "keep the right one (for example with nibabel's set_sform and set_qform)"
            )
    return np.asarray(sform, dtype=np.float64)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
