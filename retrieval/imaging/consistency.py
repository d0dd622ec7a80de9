"""Whether images belong together: a segmentation and the scan that it was drawn on, a named space and a grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...errors import InputError
from ...store.frame import Frame
from ...store.nifti import Image
from .segmentation import Segmentation

_APART_MM = 1.0  # between grids of one shape, from where they are two places and not rounding
_BESIDE, _PARTLY_BESIDE = 0.5, 0.05  # share of a tumour outside of the brain; of real patients at most 0.01 lies there
_CLOSING_MM = 6.0  # cavities and dark rims of a brain that are narrower belong to it


def check_scan(segmentation: Segmentation, brain: Image) -> tuple[str, ...]:
    """Compare a segmentation with the scan that is registered in its name.

    Args:
        segmentation: of the tumour.
        brain: scan with its background at 0, without the skull.

    Returns:
        Doubts for the reader of the report.

    Raises:
        InputError: the tumour lies beside the brain.
    """
    by_world = _share_beside(segmentation, brain, brain.frame)
    same_shape = segmentation.frame.shape == brain.frame.shape
    apart = _apart_mm(segmentation.frame, brain.frame) if same_shape else 0.0
    by_voxel = _share_beside(segmentation, brain, segmentation.frame) if apart > _APART_MM else by_world
    name = brain.path.name
    if by_world > _BESIDE:
        lying = by_voxel < _PARTLY_BESIDE
        raise InputError(
            f"{by_world:.0%} of the tumour lies beside the brain of {brain.path} in world space: give the scan that "
            f"the segmentation was drawn on, or name that with ‹seg_on›"
            + (
                f"; or, as {1 - by_voxel:.0%} lie inside voxel by voxel, repair the header that is wrong"
                if lying
                else ""
            )
        )
    doubts = []
    if apart > _APART_MM:
        doubts.append(
            f"the segmentation and {name} have the same {_voxels(brain.frame)}, but their headers put them up to "
            f"{apart:.0f} mm apart: if one was drawn on the other, a header is wrong and so is this answer"
        )
    if by_world > _PARTLY_BESIDE:
        doubts.append(
            f"{by_world:.0%} of the tumour lies beside the brain of {name}: is it the scan that the segmentation was "
            "drawn on?"
        )
    return tuple(doubts)


def _share_beside(segmentation: Segmentation, brain: Image, frame: Frame) -> float:
    """Share of the whole tumour outside of the brain, if the brain's voxels lay on a frame."""
    points = segmentation.frame.world(np.argwhere(segmentation.whole))
    inside = _filled(np.asarray(brain.data) > 0, brain.frame)
    voxels = np.rint(frame.voxel(points)).astype(int)
    within = ((voxels >= 0) & (voxels < np.array(inside.shape))).all(axis=1)
    return 1 - float(inside[tuple(voxels[within].T)].sum()) / max(len(points), 1)


def _filled(brain: NDArray[np.bool_], frame: Frame) -> NDArray[np.bool_]:
    """Close what is dark in a brain: ventricles, cavities, the rim of the cortex."""
    factors = tuple(max(1, min(int(3.0 / h), n)) for h, n in zip(frame.spacing, frame.shape, strict=True))
    i, j, k = factors[0], factors[1], factors[2]
    coarse = brain[::i, ::j, ::k]
    reach = [max(1, round(_CLOSING_MM / (h * f))) for h, f in zip(frame.spacing, factors, strict=True)]
    padded = np.pad(coarse, [(n, n) for n in reach])
    closed = ndimage.binary_closing(padded, np.ones([2 * n + 1 for n in reach], bool))
    filled = ndimage.binary_fill_holes(closed)[tuple(slice(n, -n) for n in reach)]
    fine = np.repeat(np.repeat(np.repeat(filled, i, 0), j, 1), k, 2)
    return np.asarray(brain | fine[: brain.shape[0], : brain.shape[1], : brain.shape[2]])


def _apart_mm(one: Frame, two: Frame) -> float:
    """Largest distance between voxels of the same indices."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.asarray(one.shape) - 1)
    return float(np.linalg.norm(one.world(corners) - two.world(corners), axis=1).max())


BRATS_FRAME = Frame((240, 240, 155), np.array([[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]], float))
"""Grid of the BraTS challenges of adult glioma up to 2023, in SRI24 space."""

MNI_FRAME = Frame((182, 218, 182), np.array([[-1, 0, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72], [0, 0, 0, 1]], float))
"""Grid of the BraTS challenges of adult glioma since 2024, FSL's 1 mm grid of MNI152."""


def check_space(space: str, frame: Frame, path: str, atlas: Frame) -> tuple[str, ...]:
    """Compare a named space with the grid of a segmentation that is said to lie in it.

    Args:
        space: "sri24", "mni152" or "atlas".
        frame: of the segmentation.
        path: of its file, for what is said.
        atlas: frame of the store.

    Returns:
        Doubts for the reader of the report.

    Raises:
        InputError: the grid is that of another space.
    """
    brats, mni = (same_place(frame, known) for known in (BRATS_FRAME, MNI_FRAME))
    if space == "sri24" and mni:
        raise InputError(
            f"{path} has the grid of MNI152 (182 x 218 x 182, as BraTS has since 2024), not that of SRI24",
            hint="give ‹space=mni152›",
        )
    if space != "sri24" and brats:
        raise InputError(
            f"{path} has the grid of BraTS up to 2023 (240 x 240 x 155), which lies in SRI24",
            hint="give ‹space=sri24›, or register with ‹t1›",
        )
    if space == "sri24" and not _within(frame, BRATS_FRAME):
        return (
            f"‹space=sri24› is doubtful: the segmentation's grid ({_voxels(frame)}, {frame.axis_codes}) is not that of "
            f"BraTS (240 x 240 x 155 of 1 mm). If it was not brought to SRI24, register with ‹t1› instead",
        )
    if space == "mni152" and not _within(frame, _AROUND_MNI):
        return (
            f"‹space=mni152› is doubtful: the segmentation's grid ({_voxels(frame)}) reaches far beyond the head of "
            f"MNI152. If it was not brought there, register with ‹t1› instead",
        )
    if space == "atlas" and not _within(frame, atlas):
        return (
            f"‹space=atlas› is doubtful: the segmentation's grid ({_voxels(frame)}) reaches beyond that of the store. "
            f"If it was not brought to the atlas, register with ‹t1› instead",
        )
    return ()


def same_place(one: Frame, two: Frame, tolerance_mm: float = 0.5) -> bool:
    """Whether two grids fill the same box with as many voxels, in whatever order their axes run."""
    if sorted(one.shape) != sorted(two.shape):
        return False
    low, high = _box(one)
    other_low, other_high = _box(two)
    return bool(np.abs(np.concatenate([low - other_low, high - other_high])).max() <= tolerance_mm)


def _voxels(frame: Frame) -> str:
    return f"{' x '.join(map(str, frame.shape))} voxels"


def _within(frame: Frame, around: Frame, tolerance_mm: float = 1.5) -> bool:
    low, high = _box(frame)
    outer_low, outer_high = _box(around)
    return bool((low >= outer_low - tolerance_mm).all() and (high <= outer_high + tolerance_mm).all())


def _box(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest mm that a grid's voxels reach along the axes of the world, their edges included."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * np.asarray(frame.shape) - 0.5
    points = frame.world(corners)
    return points.min(axis=0), points.max(axis=0)


_AROUND_MNI = Frame((220, 260, 240), np.array([[1, 0, 0, -110], [0, 1, 0, -146], [0, 0, 1, -110], [0, 0, 0, 1]], float))
