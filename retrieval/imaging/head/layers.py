"""What lies under the surface of a head or a brain, from outside to inside, in any direction.

All is done at 3 mm, from the image alone: neither the orientation nor the contrast needs to be known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ....errors import InputError
from ....store.frame import Frame
from ....store.nifti import Image
from ..intensities import background_value

GRID_MM = 3.0
STEP_MM = 1.5
DEPTH_MM = 45.0
ABOVE_MM = 2.0  # a layer's profile begins so far outside the surface
DIRECTIONS = 600

_SAMPLED_STRIDE = 3  # one voxel in 27 is enough to see which value the background has
_DARKEST = 2.0  # percentile of intensities that counts as no signal
_TISSUE_LEVEL = 0.15  # of the level of bright tissue; skull and air have less
_CLOSING_VOXELS = 3  # skull between scalp and brain, sinuses
_REACH_MM = 170.0
_SMALLEST_BALL_MM = 45.0  # radius inside an adult brain; in a smaller one all depths are scaled down


@dataclass(frozen=True)
class Foreground:
    """A head or a brain at 3 mm.

    Args:
        signal: 0 without signal, about 1 in bright tissue.
        inside: tissue and all that it surrounds, skull included.
        frame: of both arrays, along the image's own axes.
    """

    signal: NDArray[np.float32]
    inside: NDArray[np.bool_]
    frame: Frame

    @property
    def volume_ml(self) -> float:
        """Volume of `inside`."""
        return float(np.count_nonzero(self.inside)) * self.frame.voxel_ml


@dataclass(frozen=True)
class Profiles:
    """Signal under the surface, a row for each direction.

    Args:
        directions: (n, 3) unit vectors from the middle outwards, along the voxel axes.
        signal: (n, depths) from `ABOVE_MM` outside the surface to `DEPTH_MM` further in, every `STEP_MM`; in a small
            child's brain these are scaled down.
        seen: (n,) whether the surface lies within the image in that direction.
    """

    directions: NDArray[np.float64]
    signal: NDArray[np.float64]
    seen: NDArray[np.bool_]


def foreground(image: Image) -> Foreground:
    """Tell a head or brain from what is around it, whatever value that has.

    Raises:
        InputError: nothing stands out from the background.
    """
    values, known, frame = _at_grid(image)
    inside = known > 0.5
    if not inside.any() or float(np.ptp(values[inside])) == 0:
        raise InputError(f"{image.path} has the same value everywhere", hint="give an MRI of a head or brain")
    low = float(np.percentile(values[inside], _DARKEST))
    level = _isodata_threshold(values[inside])
    high = float(np.median(values[inside & (values > level)]))
    signal = np.where(inside, np.clip((values - low) / (high - low), 0, None), 0).astype(np.float32)
    tissue = ndimage.binary_opening(inside & (signal > _TISSUE_LEVEL))
    labels, count = ndimage.label(tissue)
    if not count:
        raise InputError(
            f"{image.path} shows no tissue that stands out from the background", hint="is it an MRI of a head?"
        )
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return Foreground(signal, _closed(largest), frame)


def middle(found: Foreground) -> tuple[NDArray[np.float64], float]:
    """Find the largest ball inside: it lies in the cranium, whatever hangs below.

    Returns:
        Its centre in voxels, and its radius in mm.
    """
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(found.inside, 1)))[1:-1, 1:-1, 1:-1]
    deepest = int(np.argmax(depth))
    return np.array(np.unravel_index(deepest, depth.shape), dtype=np.float64), float(depth.flat[deepest]) * GRID_MM


def profiles(found: Foreground) -> Profiles:
    """Follow rays from the middle outwards, and keep what they pass just under the outermost surface."""
    directions = _even_directions(DIRECTIONS)
    centre, radius = middle(found)
    step = STEP_MM * min(1.0, radius / _SMALLEST_BALL_MM)
    steps = np.arange(0, _REACH_MM, step) / GRID_MM
    points = centre[:, None, None] + directions.T[:, :, None] * steps
    signal = ndimage.map_coordinates(found.signal, points, order=1, mode="constant", cval=0.0)
    inside = ndimage.map_coordinates(found.inside.astype(np.float32), points, order=1, mode="constant", cval=np.nan)
    within = np.nan_to_num(inside) > 0.5
    last = len(steps) - 1 - np.argmax(within[:, ::-1], axis=1)
    beyond = np.minimum(last + 1, len(steps) - 1)
    seen = np.isfinite(inside[np.arange(len(directions)), beyond]) & (last < len(steps) - 1)
    outset = last + round(ABOVE_MM / STEP_MM)
    columns = np.clip(outset[:, None] - np.arange(int(DEPTH_MM / STEP_MM)), 0, len(steps) - 1)
    return Profiles(directions, np.take_along_axis(signal, columns, axis=1), seen)


def block_means(data: NDArray[np.generic], factors: list[int]) -> NDArray[np.float32]:
    """Average over blocks of `factors` voxels; a rest at the far ends is dropped, as `Frame.coarsened` does."""
    if data.flags.f_contiguous and not data.flags.c_contiguous:  # as files are read: three times as fast like this
        return block_means(data.T, factors[::-1]).T
    means = np.asarray(data[tuple(slice(0, n // f * f) for n, f in zip(data.shape, factors, strict=True))])
    for axis, factor in enumerate(factors):
        split = (*means.shape[:axis], means.shape[axis] // factor, factor, *means.shape[axis + 1 :])
        means = means.reshape(split).mean(axis=axis + 1, dtype=np.float32)
    return np.asarray(means, dtype=np.float32)


def _at_grid(image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32], Frame]:
    """Average what is no background over blocks, then sample at 3 mm; also the share of a voxel that is none."""
    data = np.asarray(image.data)
    known = np.isfinite(data)
    sample = np.asarray(data[(slice(None, None, _SAMPLED_STRIDE),) * 3], dtype=np.float32)
    background = background_value(sample[np.isfinite(sample)])
    if background is not None:
        known &= data.astype(np.float32, copy=False) != np.float32(background)
    factors = [min(n, max(1, int(GRID_MM / h + 1e-6))) for n, h in zip(data.shape, image.frame.spacing, strict=True)]
    blocks = image.frame.coarsened((factors[0], factors[1], factors[2]))
    share = block_means(known, factors)
    total = block_means(np.where(known, data, 0), factors)
    frame = _cubic(blocks)
    known_there = frame.resample(share, blocks)
    values = frame.resample(total, blocks) / np.maximum(known_there, 1e-6)
    return values, known_there, frame


def _cubic(frame: Frame) -> Frame:
    """Grid with the same axes and the same box, and cubic voxels of 3 mm."""
    spacing = np.asarray(frame.spacing)
    i, j, k = (max(1, round(n * h / GRID_MM)) for n, h in zip(frame.shape, spacing, strict=True))
    affine = frame.affine.copy()
    affine[:3, :3] *= GRID_MM / spacing
    affine[:3, 3] = frame.world(0.5 * GRID_MM / spacing - 0.5)
    return Frame((i, j, k), affine)


def _isodata_threshold(values: NDArray[np.float32]) -> float:
    """Ridler and Calvard's threshold: the middle between the means of what is below and above it."""
    level = float(values.mean())
    for _ in range(50):
        above = values > level
        following = (float(values[above].mean()) + float(values[~above].mean())) / 2
        if abs(following - level) <= 1e-4 * float(np.ptp(values)):
            break
        level = following
    return level


def _closed(tissue: NDArray[np.bool_]) -> NDArray[np.bool_]:
    room = 2 * _CLOSING_VOXELS
    closed = ndimage.binary_closing(np.pad(tissue, room), iterations=_CLOSING_VOXELS)
    filled = ndimage.binary_fill_holes(closed)[(slice(room, -room),) * 3]
    return np.asarray(filled | tissue)


def _even_directions(count: int) -> NDArray[np.float64]:
    """Spread unit vectors over a sphere (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    polar = np.arccos(1 - 2 * index / count)
    around = np.pi * (1 + np.sqrt(5)) * index
    return np.stack([np.cos(around) * np.sin(polar), np.sin(around) * np.sin(polar), np.cos(polar)], axis=1)
