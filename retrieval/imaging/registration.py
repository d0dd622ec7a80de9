"""Registering a patient's T1 to the atlas with ANTs, the tumour left out of the metric; the transform kept on the disk.

Ezhov et al. (2022, 2023) register with SyN and cross-correlation (radius 4, step 0.25, 50 and 20 iterations). That is
`syn`; the default `fast` takes mutual information instead and a fraction of the time (figures in README).
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...errors import InputError
from ...store.atlas import Atlas
from ...store.nifti import Image
from ...store.scratch import scratch_folder
from .ants_transform import (
    RECORD_FILE,
    THREADS,
    AntsMap,
    RegistrationRecord,
    ants_module,
    quietly,
    read_affine,
    to_ants,
    write_affine,
)
from .choices import Method
from .intensities import above_background, evenly_lit
from .pose import Poses, search_poses
from .reuse import cells_of

if TYPE_CHECKING:
    from .segmentation import Segmentation


_STAGES: dict[Method, dict[str, Any]] = {
    "affine": {"type_of_transform": "Affine"},
    "fast": {
        "type_of_transform": "SyN",
        "syn_metric": "mattes",
        "syn_sampling": 32,
        "reg_iterations": (40, 20, 0),
    },
    "syn": {
        "type_of_transform": "SyN",
        "syn_metric": "CC",
        "syn_sampling": 4,
        "reg_iterations": (50, 20, 0),
        "grad_step": 0.25,
        "flow_sigma": 3,
        "total_sigma": 0,
    },
}
_FAILED_CORRELATION = 0.3  # real T1 reach 0.50 to 0.71, T1c 0.45 to 0.63, noise in the shape of a brain 0.25
_IS_IT_A_BRAIN = "is it a T1 of the whole brain? If the segmentation is already in a known space, name it with ‹space›"
_WHOLE_BRAIN = (
    0.9  # similarity: five whole brains reach 0.96 to 0.98, without their lower or upper 30 % 0.83 to 0.90 (once)
)
_HIGHLIGHT_PERCENTILE = 95
_TUMOUR_MARGIN_MM = 3.0
_COVERED_SHARE = 0.99
_EVERY = 50  # voxels of the atlas, to bring two poses together
_SAME_BRAIN = 0.7  # Dice of two brains of one patient


def register(
    t1: Image,
    segmentation: Segmentation | None,
    atlas: Atlas,
    folder: Path,
    *,
    method: Method = "fast",
    seed: int = 1,
    threads: int | None = None,
    bias: bool = False,
) -> AntsMap:
    """Register a skull-stripped T1 or T1c to the atlas, from the best of all orientations.

    Args:
        t1: the patient's image; its grid may differ from the segmentation's as long as they overlap in world space.
        segmentation: its whole tumour, with a margin, is left out of the metric; None for a healthy brain.
        atlas: fixed image and frame.
        folder: where the transform is kept.
        method: fast, syn (the papers' settings) or affine.
        seed: of ANTs' sampling.
        threads: all available cores by default.
        bias: remove slow changes of brightness first (N4).

    Raises:
        InputError: the image is empty, does not cover the tumour, is oriented in another way than its header says, or
            could not be brought to resemble the atlas.
    """
    check_axes(t1)
    ants = ants_module(seed, threads)
    lit = evenly_lit(t1) if bias else t1
    moving = _at_spacing(_without_highlights(above_background(lit)), min(atlas.frame.spacing))
    tumour = np.zeros(moving.frame.shape, bool) if segmentation is None else _tumour_on(moving, segmentation)
    data = np.asarray(moving.data, dtype=np.float32)
    poses = _poses_of(moving, atlas, tumour)
    with scratch_folder() as scratch:
        initial = scratch / "initial.mat"
        write_affine(poses.best.patient_from_atlas, initial)
        try:
            with quietly():
                result = ants.registration(
                    to_ants(atlas.t1, atlas.frame),
                    to_ants(data, moving.frame),
                    initial_transform=str(initial),
                    outprefix=f"{scratch}/",
                    moving_mask=to_ants((~tumour).astype(np.float32), moving.frame),
                    mask_all_stages=True,
                    **_STAGES[method],
                )
        except RuntimeError as error:
            raise InputError(
                f"{t1.path} could not be registered to {atlas.name} ({str(error).splitlines()[0][:100]})",
                hint=_IS_IT_A_BRAIN,
            ) from error
        folder.mkdir(parents=True, exist_ok=True)
        for file in map(Path, {*result["fwdtransforms"], *result["invtransforms"]}):
            shutil.copyfile(file, folder / _kept_name(file))
        warped = result["warpedmovout"].numpy()
    record = RegistrationRecord(
        method,
        str(t1.path),
        {"name": atlas.name, "digest": atlas.digest},
        seed,
        int(os.environ[THREADS]),
        0.0,
        {"antspyx": _version("antspyx")},
        pose={
            "tilt_degrees": round(poses.best.tilt_degrees, 1),
            "similarity": round(poses.best.similarity, 4),
            "next_orientation": round(min(poses.upright.similarity, poses.other.similarity), 4),
        },
        doubts=_doubts(moving, poses),
        made_for={"tumor_cells": cells_of(segmentation)} if segmentation is not None else {},
    )
    found = AntsMap(folder, record)
    away = found.to_atlas(tumour.astype(np.float32), moving.frame, atlas.frame) > 0
    correlation = _correlation(warped, atlas, ~away)
    if not correlation >= _FAILED_CORRELATION:
        raise InputError(
            f"{t1.path} does not resemble the atlas after registration (correlation {correlation:.2f})",
            hint=_IS_IT_A_BRAIN,
        )
    found.record = replace(record, correlation=round(correlation, 4))
    (folder / RECORD_FILE).write_text(json.dumps(asdict(found.record), indent=1))
    return found


def check_axes(image: Image) -> None:
    """Refuse an image whose voxel axes are not perpendicular.

    Raises:
        InputError: so.
    """
    if image.frame.shears:
        raise InputError(f"{image.path} has a sheared affine, which ITK cannot represent", hint="resample it first")


def align(
    moving: Image, fixed: Image, atlas: Atlas, *, seed: int = 1, threads: int | None = None
) -> NDArray[np.float64]:
    """Register two scans of one patient rigidly, by mutual information, from where each resembles the atlas most.

    Args:
        moving: brain with its background at 0.
        fixed: likewise, the other scan.
        atlas: to find how each lies.
        seed: of ANTs' sampling.
        threads: all available cores by default.

    Returns:
        Affine (4, 4), mm of the moving scan's world to mm of the fixed one's.

    Raises:
        InputError: one is oriented in another way than its header says, or the brains do not meet.
    """
    ants = ants_module(seed, threads)
    scans = [_at_spacing(_without_highlights(image), min(atlas.frame.spacing)) for image in (moving, fixed)]
    to_moving, to_fixed = (
        _poses_of(scan, atlas, np.zeros(scan.frame.shape, bool)).best.patient_from_atlas for scan in scans
    )
    brain = atlas.frame.world(np.argwhere(atlas.brain)[::_EVERY])
    rough = _rigid(brain @ to_fixed[:3, :3].T + to_fixed[:3, 3], brain @ to_moving[:3, :3].T + to_moving[:3, 3])
    with scratch_folder() as scratch:
        initial = scratch / "initial.mat"
        write_affine(rough, initial)
        try:
            with quietly():
                result = ants.registration(
                    *(to_ants(np.asarray(scan.data, np.float32), scan.frame) for scan in reversed(scans)),
                    type_of_transform="Rigid",
                    initial_transform=str(initial),
                    outprefix=f"{scratch}/",
                )
        except RuntimeError as error:
            raise InputError(
                f"{moving.path} could not be registered to {fixed.path} ({str(error).splitlines()[0][:100]})",
                hint="are they scans of the same patient, of the whole brain?",
            ) from error
        moving_from_fixed = read_affine(Path(result["fwdtransforms"][0]))
    found = np.linalg.inv(moving_from_fixed)
    there = fixed.frame.resample(np.asarray(moving.data) > 0, moving.frame.in_world(found)) > 0.5
    brain_there = np.asarray(fixed.data) > 0
    overlap = 2 * int((there & brain_there).sum()) / max(int(there.sum() + brain_there.sum()), 1)
    if overlap < _SAME_BRAIN:
        raise InputError(
            f"{moving.path} and {fixed.path} could not be brought together (Dice of the brains {overlap:.2f})",
            hint="are they scans of the same patient, of the whole brain?",
        )
    return np.asarray(found, dtype=np.float64)


def _rigid(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the rotation and shift (4, 4) that bring points closest to others (Kabsch 1976)."""
    middles = source.mean(axis=0), target.mean(axis=0)
    left, _, right = np.linalg.svd((target - middles[1]).T @ (source - middles[0]))
    turn = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = turn, middles[1] - turn @ middles[0]
    return np.asarray(found, dtype=np.float64)


def _poses_of(image: Image, atlas: Atlas, ignored: NDArray[np.bool_]) -> Poses:
    """Search all orientations.

    Raises:
        InputError: the image fits in another one than its header's.
    """
    poses = search_poses(np.asarray(image.data, dtype=np.float32), image.frame, atlas, ignored)
    if not poses.header_fits:
        raise InputError(_turned(image, poses))
    return poses


def _turned(t1: Image, poses: Poses) -> str:
    """Say which orientation fits where the header's does not."""
    fitting, mirrored = poses.fitting_axes(t1.frame)
    return (
        f"{t1.path} is oriented in another way than its header says: by the header its voxel axes run "
        f"{t1.frame.axis_codes}, but the brain fits as {fitting} (or, mirrored, as {mirrored}: no image tells left "
        f"from right). Repair the header, or give ‹reorient={fitting}› if that is right"
    )


def _doubts(t1: Image, poses: Poses) -> tuple[str, ...]:
    if poses.certain:
        if poses.best.similarity >= _WHOLE_BRAIN:
            return ()
        return (
            f"{t1.path.name} resembles the brain of the atlas by {poses.best.similarity:.2f}, where whole brains reach "
            f"{_WHOLE_BRAIN:.2f} and more: does it show the whole brain? Look at the outlines",
        )
    return (
        f"the orientation of {t1.path.name} is not certain: it resembles the atlas by {poses.upright.similarity:.2f} "
        f"as its header says, and by {poses.other.similarity:.2f} in another orientation; look at the outlines",
    )


def _kept_name(file: Path) -> str:
    if file.name.endswith(".mat"):
        return "affine.mat"
    return "inverse_warp.nii.gz" if "Inverse" in file.name else "warp.nii.gz"


def _without_highlights(t1: Image) -> Image:
    """Cut off vessels and enhancement: few voxels that would take up most of the metric's range."""
    data = np.asarray(t1.data, dtype=np.float32)
    return Image(np.minimum(data, np.percentile(data[data != 0], _HIGHLIGHT_PERCENTILE)), t1.frame, t1.path)


def _at_spacing(t1: Image, spacing_mm: float) -> Image:
    """Average a finer image down to the atlas's resolution: half the time, and a higher correlation in the end."""
    factors = tuple(max(1, int(spacing_mm / h + 1e-6)) for h in t1.frame.spacing)
    if factors == (1, 1, 1):
        return t1
    frame = t1.frame.coarsened((factors[0], factors[1], factors[2]))
    return Image(frame.resample(t1.data, t1.frame, oversample=max(factors)), frame, t1.path)


def _tumour_on(t1: Image, segmentation: Segmentation) -> NDArray[np.bool_]:
    """Whole tumour on the T1's own grid, with a margin.

    Raises:
        InputError: the T1 does not cover it.
    """
    voxels = t1.frame.voxel(segmentation.frame.world(np.argwhere(segmentation.whole)))
    covered = ((voxels >= -0.5) & (voxels <= np.asarray(t1.frame.shape) - 0.5)).all(axis=1).mean()
    if covered < _COVERED_SHARE:
        raise InputError(
            f"{t1.path} covers {covered:.0%} of the tumour in world space",
            hint="give the T1 that the segmentation was drawn on",
        )
    tumour = t1.frame.resample(segmentation.whole, segmentation.frame, order=0) > 0.5
    margin = round(_TUMOUR_MARGIN_MM / min(t1.frame.spacing))
    return np.asarray(ndimage.binary_dilation(tumour, iterations=margin)) if margin else tumour


def _correlation(warped: NDArray[np.float32], atlas: Atlas, counted: NDArray[np.bool_]) -> float:
    """Correlate ranks: the few bright vessels of a T1c would decide a correlation of intensities."""
    inside = atlas.brain & counted
    a, b = warped[inside], atlas.t1[inside]
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    from scipy import stats  # takes half a second to import

    return float(stats.spearmanr(a, b).statistic)


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
