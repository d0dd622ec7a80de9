"""Brain extraction by registration: the ICBM152 with its head is brought to the patient's, its brain mask carried over.

nilearn ships the brain of the ICBM 2009a nonlinear symmetric template at 1 mm, without the head. The head around it is
kept beside this module, at 3 mm: skull and scalp of an average of 152 people hold no finer detail.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ....errors import InputError
from ....store.frame import Frame
from ....store.nifti import Image, load_image
from ....store.scratch import scratch_folder
from ..ants_transform import ants_module, quietly, to_ants, write_affine
from ..intensities import above_background
from .layers import block_means, foreground, middle

_HEAD_FILE = "icbm152_head_3mm.nii.gz"
_GRID_MM = 2.0
_COARSE_MM = 3.0
_STAGES: dict[str, Any] = {
    "type_of_transform": "SyN",
    "aff_metric": "mattes",
    "aff_iterations": (200, 100, 50),
    "aff_shrink_factors": (4, 2, 1),
    "aff_smoothing_sigmas": (2, 1, 0),
    "syn_metric": "mattes",
    "syn_sampling": 32,
    "reg_iterations": (40, 20, 10),
}
_FAR_MM = 20.0
_RIM_MM = 1.5  # HD-BET's masks reach so far beyond the template's: Dice is highest, and flat, from 1 to 2.5
_BRIGHTEST = 98  # percentile of the head that fat and vessels are cut off at


@cache
def icbm152_head() -> tuple[Image, NDArray[np.bool_]]:
    """Build the ICBM152 T1 with its head, and its brain mask, both at 2 mm.

    Returns:
        The image, intensities from 0 to about 1 in white matter, and the boolean mask on its grid.
    """
    from nilearn import datasets

    around = load_image(Path(str(files(__package__) / _HEAD_FILE)))
    template = datasets.load_mni152_template(resolution=1)
    fine = Frame(template.shape, template.affine)
    brain = np.asarray(template.get_fdata(), dtype=np.float32)
    frame = fine.coarsened((2, 2, 2))
    inside, share = (block_means(values, [2, 2, 2]) for values in (brain, brain > 0))
    whole = frame.resample(around.data, around.frame)
    within = share == 1
    whole *= float(np.median(inside[within])) / float(np.median(whole[within]))
    return Image(inside + (1 - share) * whole, frame, around.path), share > 0.5


def registered_brain(
    image: Image, tumour: NDArray[np.bool_] | None, *, threads: int | None = None, seed: int = 1
) -> NDArray[np.bool_]:
    """Find the brain in a whole head that lies about as its header says.

    Args:
        image: T1, T1c or FLAIR of a whole head.
        tumour: on the image's grid; left out of the metric.
        threads: of ANTs; all available cores by default.
        seed: of ANTs.

    Returns:
        Boolean mask on the image's grid.

    Raises:
        InputError: ANTs could not register the two.
    """
    return np.asarray(_distance_from_brain(image, tumour, threads, seed) < _RIM_MM)


def _distance_from_brain(
    image: Image, tumour: NDArray[np.bool_] | None, threads: int | None, seed: int
) -> NDArray[np.float32]:
    """Carry the distance to the template's brain over to the image's grid: mm of the template, negative inside."""
    ants = ants_module(seed, threads)
    template, template_brain = icbm152_head()
    coarse, fine = (_upright_frame(image.frame, spacing) for spacing in (_COARSE_MM, _GRID_MM))
    patient = _cut_highlights(coarse.resample(above_background(image).data, image.frame, oversample=2))
    counted = np.ones(coarse.shape, np.float32)
    if tumour is not None:
        counted[coarse.resample(tumour, image.frame) > 0] = 0
    distance = to_ants(_distance_beyond(template_brain, template.frame), template.frame)
    grid = to_ants(np.zeros(fine.shape, np.float32), fine)
    with scratch_folder() as scratch:
        start = scratch / "start.mat"
        write_affine(_shift_of_middles(image, template), start)
        try:
            with quietly():
                result = ants.registration(
                    fixed=to_ants(patient, coarse),
                    moving=to_ants(np.asarray(template.data, dtype=np.float32), template.frame),
                    mask=to_ants(counted, coarse),
                    initial_transform=[str(start)],
                    outprefix=f"{scratch}/",
                    **_STAGES,
                )
                carried = ants.apply_transforms(grid, distance, result["fwdtransforms"], defaultvalue=_FAR_MM)
        except RuntimeError as error:
            raise InputError(
                f"{image.path} could not be registered to a whole head ({str(error).splitlines()[0][:100]})",
                hint="take ‹strip=deepbet›, or strip it with HD-BET or SynthStrip and give the result",
            ) from error
    nearness = image.frame.resample(_FAR_MM - carried.numpy(), fine)  # 0, far, where the grids do not overlap
    return np.asarray(_FAR_MM - nearness, dtype=np.float32)


def _distance_beyond(brain: NDArray[np.bool_], frame: Frame) -> NDArray[np.float32]:
    """Distance to the surface of a brain in mm, negative inside."""
    outside = ndimage.distance_transform_edt(~brain, sampling=frame.spacing)
    inside = ndimage.distance_transform_edt(brain, sampling=frame.spacing)
    return np.clip(np.where(brain, 1 - inside, outside - 1), -_FAR_MM, _FAR_MM).astype(np.float32)


def _upright_frame(frame: Frame, spacing: float) -> Frame:
    """Grid along the world axes with cubic voxels, around all of an image."""
    corners = frame.world(np.array(list(np.ndindex(2, 2, 2))) * np.asarray(frame.shape) - 0.5)
    low, high = corners.min(axis=0), corners.max(axis=0)
    i, j, k = (max(1, int(np.ceil(n))) for n in (high - low) / spacing)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = low + spacing / 2
    return Frame((i, j, k), affine)


def _cut_highlights(values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = values.min(), np.percentile(values[values > values.mean()], _BRIGHTEST)
    return np.asarray(np.clip(values - low, 0, high - low), dtype=np.float32)


def _shift_of_middles(image: Image, template: Image) -> NDArray[np.float64]:
    """Shift (4, 4) from the image's world to the template's: cranium on cranium, whatever hangs below."""
    here, there = (one.frame.world(middle(one)[0]) for one in (foreground(image), foreground(template)))
    shift = np.eye(4)
    shift[:3, 3] = there - here
    return shift
