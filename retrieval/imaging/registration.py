"""Registering a patient's T1 to the atlas with ANTs, the tumour left out of the metric; the transform kept on the disk.

Papers 001 and 003 register with SyN and cross-correlation (radius 4, step 0.25, 50 and 20 iterations). That is `syn`;
the default `fast` takes mutual information instead and a fraction of the time (figures in README).
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...errors import InputError
from ...store.atlas import Atlas
from ...store.nifti import Image
from .ants_map import RECORD_FILE, THREADS, AntsMap, Method, RegistrationRecord, ants_module, to_ants

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
_FAILED_CORRELATION = 0.25  # real T1 reach 0.50 to 0.71, T1c 0.45 to 0.63, images that are no brain at most 0.14
_HIGHLIGHT_PERCENTILE = 95
_TUMOUR_MARGIN_MM = 3.0
_COVERED_SHARE = 0.99


def register(
    t1: Image,
    segmentation: Segmentation | None,
    atlas: Atlas,
    folder: Path,
    *,
    method: Method = "fast",
    seed: int = 1,
    threads: int | None = None,
) -> AntsMap:
    """Register a skull-stripped T1 or T1c to the atlas.

    Args:
        t1: the patient's image; its grid may differ from the segmentation's as long as they overlap in world space.
        segmentation: its whole tumour, with a margin, is left out of the metric; None for a healthy brain.
        atlas: fixed image and frame.
        folder: where the transform is kept.
        method: fast, syn (the papers' settings) or affine.
        seed: of ANTs' sampling.
        threads: all available cores by default.

    Raises:
        InputError: the image is empty, does not cover the tumour, or could not be brought to resemble the atlas.
    """
    ants = ants_module(seed, threads)
    _check_image(t1)
    t1 = _at_spacing(_without_highlights(t1), min(atlas.frame.spacing))
    tumour = np.zeros(t1.frame.shape, bool) if segmentation is None else _tumour_on(t1, segmentation)
    fixed = to_ants(atlas.t1, atlas.frame)
    moving = to_ants(np.asarray(t1.data, dtype=np.float32), t1.frame)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            result = ants.registration(
                fixed,
                moving,
                outprefix=f"{scratch}/",
                moving_mask=to_ants((~tumour).astype(np.float32), t1.frame),
                mask_all_stages=True,
                **_STAGES[method],
            )
        except RuntimeError as error:
            raise InputError(
                f"{t1.path} could not be registered to {atlas.name} ({str(error).splitlines()[0][:100]}): "
                "is it a skull-stripped T1 of the whole brain? Otherwise use --space"
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
    )
    found = AntsMap(folder, record)
    away = found.to_atlas(tumour.astype(np.float32), t1.frame, atlas.frame) > 0
    correlation = _correlation(warped, atlas, ~away)
    if not correlation >= _FAILED_CORRELATION:
        raise InputError(
            f"{t1.path} does not resemble the atlas after registration (correlation {correlation:.2f}): "
            "is it a skull-stripped T1 of the whole brain, with the right orientation? Otherwise use --space"
        )
    found.record = RegistrationRecord(**{**asdict(record), "correlation": round(correlation, 4)})
    (folder / RECORD_FILE).write_text(json.dumps(asdict(found.record), indent=1))
    return found


def _kept_name(file: Path) -> str:
    if file.name.endswith(".mat"):
        return "affine.mat"
    return "inverse_warp.nii.gz" if "Inverse" in file.name else "warp.nii.gz"


def _check_image(t1: Image) -> None:
    if t1.frame.shears:
        raise InputError(f"{t1.path} has a sheared affine, which ITK cannot represent: resample it first")
    if float(np.ptp(np.asarray(t1.data, dtype=np.float64))) == 0:
        raise InputError(f"{t1.path} has the same value everywhere: give a skull-stripped T1 or T1c")


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
            f"{t1.path} covers {covered:.0%} of the tumour in world space: give the T1 that the segmentation "
            "was drawn on"
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
