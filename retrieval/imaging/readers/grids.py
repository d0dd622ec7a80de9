"""Where the values of a file lie: its frame, and which of four axes are those of space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ....errors import InputError
from ....store.frame import Frame

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the world of DICOM and ITK (x to the left, y to the back) to RAS+."""

MAX_CHANNELS = 32
"""Channels of one file that are still masks or modalities; longer fourth axes are time series."""

_HEAD_MM = (30.0, 550.0)
"""Sides of a volume of a head: from a crop around a tumour to the field of view of a CT scanner."""

_FAR_MM = 1e6
"""No scanner puts a voxel a kilometre away."""


def checked_frame(path: Path, size: Sequence[int], affine: NDArray[np.float64]) -> Frame:
    """Build the frame of a file.

    Args:
        path: for the message.
        size: voxels along the three axes.
        affine: (4, 4), voxel indices to RAS+ mm.

    Raises:
        InputError: the affine is not finite or cannot be inverted.
    """
    possible = np.isfinite(affine).all() and np.abs(affine).max() < _FAR_MM
    if not possible or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError(
            f"{path} places its voxels by axes or sizes that cannot be (zero, huge or no numbers)", hint="repair them"
        )
    i, j, k = (int(n) for n in size)
    return Frame((i, j, k), affine)


def affine_of(axes: ArrayLike, origin: ArrayLike) -> NDArray[np.float64]:
    """Put columns of steps along the voxel axes, (3, 3), and the centre of the first voxel, (3,), into (4, 4)."""
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = origin
    return affine


def ras_affine(signs: ArrayLike, axes: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn axes, (3, 3), and an origin, (3,), into RAS+ by the signs of a world's axes; what is no number stays so."""
    with np.errstate(all="ignore"):
        return affine_of(np.asarray(signs)[:, None] * axes, np.asarray(signs) * origin)


def channel_axis(path: Path, shape: Sequence[int], spacing: ArrayLike | None = None) -> int | None:
    """Find the axis of channels of a file whose header does not name it.

    NIfTI puts channels last; tools that keep them first in memory, such as MONAI, write them so too. Where the first
    axis is short enough for that, the other three must be as long as a head or a part of it.

    Args:
        path: for the message.
        shape: of the values, three or more axes; axes of length 1 behind the third are not counted.
        spacing: mm of the first three axes as the header has them, which belong to the last three where channels
            are first; None for a format whose channels can only be last.

    Returns:
        0, 3, or None for a plain volume.

    Raises:
        InputError: fewer than three axes, more than four, a time series, or both ways fit, or neither.
    """
    longer = [n for n in shape[3:] if n != 1]
    if len(shape) < 3 or len(longer) > 1:
        raise InputError(
            f"{path} has shape {tuple(shape)}", hint="give one 3-D volume, or one with an axis of channels"
        )
    if not longer:
        return None
    four = (*shape[:3], longer[0])
    short = [axis for axis in ((3,) if spacing is None else (3, 0)) if four[axis] <= MAX_CHANNELS]
    fits = short if short == [3] else [axis for axis in short if _is_head(np.delete(four, axis), spacing)]
    if len(fits) == 1:
        return fits[0]
    if short in ([], [0]):
        raise InputError(f"{path} holds {four[3]} volumes, such as a time series", hint="give one of them")
    raise InputError(
        f"{path} has shape {tuple(shape)}, of which {'either end' if fits else 'neither end'} can be the channels",
        hint="put the channels last and write a right affine, or give one 3-D volume",
    )


def _is_head(size: NDArray[np.int64], spacing: ArrayLike | None) -> bool:
    sides = size * np.abs(np.asarray(spacing, dtype=np.float64))
    return bool((sides >= _HEAD_MM[0]).all() and (sides <= _HEAD_MM[1]).all())


def as_volume(values: NDArray[np.generic], axis: int | None) -> NDArray[np.generic]:
    """Bring values with or without an axis of channels to (i, j, k) or (i, j, k, c); one channel is a volume."""
    if axis is None:
        return values.reshape(values.shape[:3])
    four = values.reshape([*values.shape[:3], *(n for n in values.shape[3:] if n != 1)])
    last = np.moveaxis(four, axis, 3)
    return last[..., 0] if last.shape[3] == 1 else last
