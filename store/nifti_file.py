"""NIfTI-1 and -2 files and pairs: the header understood and checked before a voxel is read.

nibabel knows the headers; the bytes are read here, so that no header makes more of them be read than it may.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from nibabel.nifti1 import Nifti1PairHeader
from nibabel.nifti2 import Nifti2PairHeader
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from ..errors import InputError
from . import image_bytes
from .image_format import find_format, first_bytes, pair_header, refuse_placeholder

_SILENT = logging.getLogger("gliodex.nibabel")
"""Where nibabel says what it mends in a header, such as a negative voxel size; nobody is shown it."""
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False

_FAR_MM = 1e6
"""No scanner puts a voxel a kilometre away, and larger numbers overflow in products."""


@dataclass(frozen=True)
class NiftiFile:
    """A NIfTI file of which the header was read.

    Args:
        path: as the user gave it.
        values_path: file that holds the values; another than `path` where a pair is named by its header.
        header: nibabel's, with what it can mend mended.
        voxel_size_said: whether all three voxel sizes in pixdim are nonzero numbers.
    """

    path: Path
    values_path: Path
    header: Any
    voxel_size_said: bool

    @property
    def is_pair(self) -> bool:
        """Whether header and values are two files."""
        return bool(self.header["magic"].item()[:2] == b"ni")

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Lengths of all axes, as the header has them.

        Raises:
            InputError: the header names no possible shape.
        """
        try:
            return tuple(int(n) for n in self.header.get_data_shape())
        except (HeaderDataError, ValueError) as error:
            raise InputError(f"{self.path} has a damaged header ({image_bytes.first_line(error)})") from error

    @property
    def spacing(self) -> NDArray[np.float64]:
        """Sizes of a voxel along the axes of space in mm: of the sform, else pixdim."""
        with np.errstate(all="ignore"):
            sform, code = self.header.get_sform(coded=True)
            sizes = self.header["pixdim"][1:4] if code == 0 else np.linalg.norm(sform[:3, :3], axis=0)
        return np.asarray(sizes, dtype=np.float64)

    def affine(self, size: tuple[int, int, int]) -> NDArray[np.float64]:
        """Map of voxel indices to RAS+ mm, (4, 4): the sform, else the qform.

        Args:
            size: of the three spatial axes.

        Raises:
            InputError: neither is set, the one that is set cannot be inverted or does not know the size of a voxel,
                or both are set and disagree by half a voxel or more.
        """
        path, header = self.path, self.header
        with np.errstate(all="ignore"):
            sform, sform_code = header.get_sform(coded=True)
            try:
                qform, qform_code = header.get_qform(coded=True)
            except (ValueError, HeaderDataError) as error:
                raise InputError(
                    f"{path} has a qform that is no rotation ({error})", hint="repair its header"
                ) from error
        if sform_code == 0 and qform_code == 0:
            raise InputError(
                f"{path} says nothing about its orientation (sform and qform codes are 0)", hint="set an affine"
            )
        if sform_code == 0:
            if not self.voxel_size_said:
                raise InputError(
                    f"{path} does not say the size of its voxels (pixdim is 0, no sform)", hint="set an affine"
                )
            return np.asarray(qform, dtype=np.float64)
        if not np.isfinite(sform).all() or np.abs(sform).max() > _FAR_MM or abs(np.linalg.det(sform)) < 1e-9:
            raise InputError(f"{path} has an sform that cannot be inverted", hint="repair its header")
        if qform_code != 0 and self.voxel_size_said:
            _check_agreement(path, sform, qform, size)
        return np.asarray(sform, dtype=np.float64)

    def values(self) -> NDArray[np.generic]:
        """Read and scale the values.

        Returns:
            array of `shape`; the numbers of the file where it has no scaling, else float64.

        Raises:
            InputError: damaged, cut short, too large, or no real numbers.
        """
        path, header = self.path, self.header
        dtype, slope, inter = self._dtype_and_scaling()
        image_bytes.check_size(path, self.shape, np.dtype(np.float64) if slope is not None else dtype)
        try:
            offset = int(header.get_data_offset())
        except (ValueError, OverflowError) as error:
            raise InputError(f"{path} has a damaged header ({image_bytes.first_line(error)})") from error
        if not self.is_pair:
            offset = max(offset, header.sizeof_hdr)
        with image_bytes.open_file(self.values_path) as file:
            image_bytes.skip(file, offset, self.values_path)
            raw = image_bytes.read_values(file, self.shape, dtype, self.values_path)
            image_bytes.check_rest(file, self.values_path)
        if slope is None:
            return raw
        with np.errstate(all="ignore"):
            scaled: NDArray[np.float64] = np.multiply(raw, slope, dtype=np.float64)
            scaled += inter
        return scaled

    def _dtype_and_scaling(self) -> tuple[np.dtype[np.generic], float | None, float]:
        path = self.path
        try:
            dtype = np.dtype(self.header.get_data_dtype())
        except (HeaderDataError, KeyError) as error:
            raise InputError(f"{path} has a damaged header ({image_bytes.first_line(error)})") from error
        if dtype.kind not in "iuf":
            raise InputError(f"{path} holds {dtype} values", hint="give a scalar image")
        try:
            slope, inter = self.header.get_slope_inter()
        except HeaderDataError as error:
            raise InputError(
                f"{path} has scl_slope {self.header['scl_slope']} but scl_inter {self.header['scl_inter']}, so its "
                "values cannot be told",
                hint="set scl_inter (0 for values without an offset)",
            ) from error
        return dtype, (None if (slope, inter) == (1, 0) else slope), inter or 0.0


def open_nifti(path: Path) -> NiftiFile:
    """Read the header of a NIfTI file, or of a pair named by either of its files.

    Raises:
        InputError: not NIfTI, damaged, or a pair of which one file is missing.
    """
    found = find_format(path)
    if found not in {"NIfTI", "NIfTI pair"}:
        raise InputError(f"{path} is {found}, not NIfTI", hint="convert it to .nii.gz first")
    header_path = pair_header(path)
    values_path = path if found == "NIfTI" else _values_of_pair(path, header_path)
    with image_bytes.open_file(header_path) as file:
        header, said = _header(header_path, file)
    return NiftiFile(path, values_path, header, said)


def _header(path: Path, file: IO[bytes]) -> tuple[Any, bool]:
    head = first_bytes(path)
    kind = Nifti1PairHeader if head[344:348] in {b"n+1\x00", b"ni1\x00"} else Nifti2PairHeader
    block = image_bytes.read_exactly(file, kind.sizeof_hdr, path)
    try:
        with np.errstate(all="ignore"):
            header = kind(block, check=False)
            said = bool((np.isfinite(header["pixdim"][1:4]) & (header["pixdim"][1:4] != 0)).all())
            header.check_fix(_SILENT, 40)
    except (HeaderDataError, ValueError, KeyError, OverflowError) as error:
        raise InputError(f"{path} has a damaged NIfTI header ({image_bytes.first_line(error)})") from error
    return header, said


def _values_of_pair(path: Path, header: Path) -> Path:
    if header != path:
        refuse_placeholder(path)
        return path
    stem = re.sub(r"\.hdr(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    names = [stem + ending for ending in (".img", ".img.gz", ".IMG", ".IMG.GZ")]
    for values in (path.with_name(name) for name in names):
        if values.is_file():
            refuse_placeholder(values)
            return values
    raise InputError(
        f"{path} is the header of a NIfTI pair, and {names[0]} is not beside it", hint="put both in one folder"
    )


def _check_agreement(
    path: Path, sform: NDArray[np.float64], qform: NDArray[np.float64], size: tuple[int, int, int]
) -> None:
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.asarray(size) - 1)
    points = np.c_[corners, np.ones(8)]
    with np.errstate(all="ignore"):
        apart = float(np.linalg.norm((points @ (sform - qform).T)[:, :3], axis=1).max())
        half_a_voxel = 0.5 * float(np.linalg.norm(sform[:3, :3], axis=0).min())
    if not apart <= half_a_voxel:
        raise InputError(
            f"{path}: sform and qform disagree by up to {apart:.1f} mm, so left and right are not certain",
            hint="keep the right one (for example with nibabel's set_sform and set_qform)",
        )
