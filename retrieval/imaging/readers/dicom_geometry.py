"""The grid of a DICOM series, from the positions of its slices alone (PS3.3 C.7.6.2), and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ....store.frame import Frame
from ....store.image_bytes import check_size
from .dicom_headers import DicomFile, Slices
from .grids import LPS_TO_RAS, affine_of, checked_frame

_SAME_DIRECTION = 1e-3
"""Difference of direction cosines within a series; scanners write 6 to 16 digits."""

_UNEVEN = 0.02
"""Difference of a gap between slices from the usual one, as a share of it, that rounded positions can make."""

_UNEVEN_MM = 0.02
_SHIFTED_MM = 0.05

SAME_PLACE_MM = 0.1
"""Distance of voxels by a converter from where the headers put them; float32 rounds to 1e-4."""

_TILTED_DEGREES = 0.5


@dataclass(frozen=True, eq=False)
class SeriesGrid:
    """Where the slices of a series lie.

    Args:
        frame: voxels (column, row, slice) to RAS+ mm, slices in the order of the normal.
        files: in that order; one alone where it holds all frames.
    """

    frame: Frame
    files: list[Path]


def corners(frame: Frame) -> NDArray[np.float64]:
    """Centres of the eight outermost voxels of a frame in RAS+ mm, (8, 3), whatever way its axes run."""
    return frame.world(np.array(list(np.ndindex(2, 2, 2))) * (np.asarray(frame.shape) - 1))


def series_grid(path: Path, files: list[DicomFile]) -> SeriesGrid:
    """Find the grid of a series.

    Args:
        path: for the messages.
        files: of one series, each with one image, or one file with many frames.

    Raises:
        InputError: files without a place, of different sizes or directions, several at one place, slices that are
            missing or unevenly spaced, or a tilted stack.
    """
    name = f"{path}: the series {files[0].description!r}"
    if len(files) > 1 and any(file.frames > 1 for file in files):
        raise InputError(f"{name} consists of {len(files)} files with many frames each", hint="give one of them")
    if any("MOSAIC" in file.image_type for file in files):
        raise InputError(f"{name} is a mosaic of functional or diffusion images", hint="give an anatomical series")
    if any(file.slices is None for file in files):
        raise InputError(
            f"{name} does not say where its slices lie in the patient", hint="give the scanner's own files"
        )
    sizes = sorted({(file.columns, file.rows) for file in files})
    if len(sizes) > 1:
        raise InputError(
            f"{name} has slices of different sizes, such as {sizes[0]} and {sizes[1]}", hint="give one volume"
        )
    slices = _together(files)
    if len(slices.positions) < 2:
        raise InputError(f"{name} holds a single slice", hint="give the folder with all slices of it, or a zip archive")
    check_size(path, (*sizes[0], len(slices.positions)), np.dtype(f"u{max(1, files[0].bits // 8)}"))
    row, column = _directions(name, slices)
    normal = np.asarray(np.cross(row, column), dtype=np.float64)
    order = np.argsort(slices.positions @ normal, kind="stable")
    positions = slices.positions[order]
    step = _step(name, positions, normal)
    between_rows, between_columns = slices.spacings[0]
    axes = np.stack([row * between_columns, column * between_rows, step], axis=1)
    affine = LPS_TO_RAS @ affine_of(axes, positions[0])
    frame = checked_frame(path, (*sizes[0], len(positions)), affine)
    return SeriesGrid(frame, [files[i].path for i in order] if len(files) > 1 else [files[0].path])


def _together(files: list[DicomFile]) -> Slices:
    all_slices = [file.slices for file in files if file.slices is not None]
    return Slices(
        np.concatenate([s.positions for s in all_slices]),
        np.concatenate([s.orientations for s in all_slices]),
        np.concatenate([s.spacings for s in all_slices]),
    )


def _directions(name: str, slices: Slices) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, spacing = slices.orientations[0], slices.spacings[0]
    numbers = np.concatenate([slices.positions.ravel(), slices.orientations.ravel(), slices.spacings.ravel()])
    if not np.isfinite(numbers).all() or np.abs(numbers).max() > 1e6 or slices.spacings.min() <= 0:
        raise InputError(f"{name} places its slices by what are no positions or sizes: its headers are damaged")
    if np.abs(slices.orientations - first).max() > _SAME_DIRECTION:
        raise InputError(f"{name} has slices in several directions, as a localiser has", hint="give one volume")
    if np.abs(slices.spacings / spacing - 1).max() > _SAME_DIRECTION:
        raise InputError(f"{name} has slices with pixels of several sizes", hint="give one volume")
    row, column = first[:3], first[3:]
    products = np.array([row @ row - 1, column @ column - 1, row @ column])
    if np.abs(products).max() > 10 * _SAME_DIRECTION:
        raise InputError(f"{name} has directions that are no right angle: its headers are damaged")
    return row, column


def _step(name: str, positions: NDArray[np.float64], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean step from slice to slice, (3,) in LPS mm, once it is sure that all steps are equal."""
    depth = positions @ normal
    gaps = np.diff(depth)
    usual = float(np.median(gaps))
    same = int((gaps < _UNEVEN_MM / 2).sum())
    if same:
        distinct = len(depth) - same
        raise InputError(
            f"{name} holds {len(depth)} images at {distinct} positions (several echoes, phases or time points)",
            hint="give one of them",
        )
    tolerance = max(_UNEVEN * usual, _UNEVEN_MM)
    odd = np.flatnonzero(np.abs(gaps - usual) > tolerance)
    if len(odd):
        at, gap = int(odd[0]), float(gaps[odd[0]])
        times = round(gap / usual)
        missing = times - 1 if times > 1 and abs(gap - times * usual) <= times * tolerance else 0
        what = f"lacks {missing} slices there" if missing else "has unevenly spaced slices"
        raise InputError(
            f"{name} {what}: after slice {at + 1} of {len(depth)} the next is {gap:.2f} mm away, elsewhere "
            f"{usual:.2f} mm",
            hint="copy all files of the series, or resample it evenly",
        )
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    stray = np.abs(positions - positions[0] - np.arange(len(positions))[:, None] * step).max()
    if stray > max(tolerance, _SHIFTED_MM):
        raise InputError(
            f"{name} has slices that are shifted against each other by {stray:.2f} mm", hint="resample it first"
        )
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    if tilt > _TILTED_DEGREES:
        raise InputError(
            f"{name} was taken with the gantry tilted by {tilt:.1f} degrees", hint="resample it upright first"
        )
    return np.asarray(step)
