"""From a whole head to the brain that an atlas of brains can be registered to: nothing of the tumour is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ....errors import InputError
from ....store.frame import Frame
from ....store.nifti import Image
from .deepbet import deepbet_brain, deepbet_is_installed
from .detection import SkullEvidence, has_skull
from .template import registered_brain

StripMethod = Literal["auto", "deepbet", "registration"]
"""Ways of finding the brain: deepbet where it is installed, else registration (auto); or one of the two."""

_TUMOUR_MARGIN_MM = 2.0
_OUTSIDE_SHARE = 0.05  # of a tumour outside the found brain that is worth a word; a rim of one voxel has less
_USUAL_ML = (600.0, 2100.0)  # brains with CSF from a child of one year to the largest adults
_LOWEST_SHARE = 1e-3  # of the range of intensities, which the darkest voxel of the brain is raised to above 0


@dataclass(frozen=True)
class Stripped:
    """An image of a brain alone.

    Args:
        image: 0 outside the brain, above 0 inside, where intensities are unchanged or shifted by a constant.
        brain: boolean, on the image's grid; all True where nothing was removed.
        method: deepbet, registration, or none where the image was already of the brain alone.
        removed_ml: volume of the head, without the air around it, less that of the brain.
        evidence: why the image was taken for a whole head or not.
        doubts: what a careful reader should look at.
    """

    image: Image
    brain: NDArray[np.bool_]
    method: str
    removed_ml: float
    evidence: SkullEvidence
    doubts: tuple[str, ...] = ()


def strip(
    image: Image,
    tumour: tuple[NDArray[np.bool_], Frame] | None = None,
    method: StripMethod = "auto",
    *,
    threads: int | None = None,
    seed: int = 1,
) -> Stripped:
    """Remove what is not brain from an image of a whole head; an image of a brain alone stays as it is.

    Args:
        image: T1, T1c or FLAIR. Its header must say about how it lies.
        tumour: whole tumour and its frame, in the image's world; it is kept, with a margin of 2 mm.
        method: auto takes deepbet where the extra `head` is installed and finds a brain of usual size, else
            registration, and says so.
        threads: all available cores by default.
        seed: of the registration.

    Raises:
        InputError: deepbet was asked for and is not installed, or no brain was found.
    """
    evidence = has_skull(image)
    if not evidence.skull:
        everything = np.ones(image.frame.shape, bool)
        return Stripped(image, everything, "none", 0.0, evidence, evidence.doubts)
    kept = None if tumour is None else _tumour_on(image.frame, *tumour)
    found, used, doubts = _find_brain(image, kept, method, threads, seed)
    if kept is not None and tumour is not None:
        doubts += _outside_doubt(found, image.frame, *tumour)
        found = found | kept
    removed = max(0.0, evidence.volume_ml - float(np.count_nonzero(found)) * image.frame.voxel_ml)
    return Stripped(_brain_alone(image, found), found, used, removed, evidence, (*evidence.doubts, *doubts))


def _find_brain(
    image: Image, tumour: NDArray[np.bool_] | None, method: StripMethod, threads: int | None, seed: int
) -> tuple[NDArray[np.bool_], str, tuple[str, ...]]:
    """Brain mask, the way that found it, and doubts."""
    doubts: tuple[str, ...] = ()
    if method == "deepbet" or (method == "auto" and deepbet_is_installed()):
        found = deepbet_brain(image, threads)
        strange = _size_doubt(found, image)
        if not strange or (method == "deepbet" and found.any()):
            return found, "deepbet", strange
        if method == "deepbet":
            raise InputError(f"{image.path}: deepbet found no brain; {_REMEDY}")
        doubts = (f"{strange[0]} with deepbet: the brain was found by registration instead",)
    elif method == "auto":
        doubts = (
            "deepbet is not installed (pip install 'gliodex[head]'): the brain was found by registration, "
            "which is less exact",
        )
    found = registered_brain(image, tumour, threads=threads, seed=seed)
    if not found.any():
        raise InputError(f"{image.path}: no brain was found by registration; {_REMEDY}")
    return found, "registration", doubts + _size_doubt(found, image)


def _size_doubt(found: NDArray[np.bool_], image: Image) -> tuple[str, ...]:
    volume = float(np.count_nonzero(found)) * image.frame.voxel_ml
    if _USUAL_ML[0] <= volume <= _USUAL_ML[1]:
        return ()
    low, high = _USUAL_ML
    return (f"a brain of {volume:,.0f} ml was found in {image.path}; {low:.0f} to {high:,.0f} ml are usual",)


def _outside_doubt(found: NDArray[np.bool_], grid: Frame, tumour: NDArray[np.bool_], frame: Frame) -> tuple[str, ...]:
    voxels = np.round(grid.voxel(frame.world(np.argwhere(tumour)))).astype(int)
    within = ((voxels >= 0) & (voxels < grid.shape)).all(axis=1)
    missed = 1 - np.count_nonzero(found[tuple(voxels[within].T)]) / max(1, len(voxels))
    if missed <= _OUTSIDE_SHARE:
        return ()
    return (
        f"{missed:.0%} of the tumour lie outside the brain that was found and were added to it: "
        "look whether the segmentation belongs to this image, and whether the brain is whole",
    )


def _tumour_on(grid: Frame, tumour: NDArray[np.bool_], frame: Frame) -> NDArray[np.bool_]:
    """Every voxel of the image that the tumour touches, and all within 2 mm of them."""
    touched = grid.resample(tumour, frame) > 0
    voxels = np.round(grid.voxel(frame.world(np.argwhere(tumour)))).astype(int)
    within = ((voxels >= 0) & (voxels < grid.shape)).all(axis=1)
    touched[tuple(voxels[within].T)] = True
    if not touched.any():
        return touched
    return np.asarray(ndimage.distance_transform_edt(~touched, sampling=grid.spacing) <= _TUMOUR_MARGIN_MM)


def _brain_alone(image: Image, brain: NDArray[np.bool_]) -> Image:
    data = np.asarray(image.data, dtype=np.float32)
    inside = data[brain & np.isfinite(data)]
    lowest, highest = float(inside.min()), float(inside.max())
    floor = _LOWEST_SHARE * max(highest - lowest, 1.0)
    shift = 0.0 if lowest > 0 else floor - lowest
    values = np.where(np.isfinite(data), data, lowest) + np.float32(shift)
    return Image(np.where(brain, values, 0).astype(np.float32), image.frame, image.path)


_REMEDY = "strip it with HD-BET or SynthStrip and give the result, with ‹strip=off›"
