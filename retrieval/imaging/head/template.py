"""Brain extraction by registration: the ICBM152 with its head is brought to the patient's, its brain mask carried over.

nilearn ships the brain of the ICBM 2009a nonlinear symmetric template at 1 mm, without the head. The head around it is
kept beside this module, at 3 mm: skull and scalp of an average of 152 people hold no finer detail.
"""

from __future__ import annotations

import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ....store.frame import Frame
from ....store.nifti import Image, load_image
from ..ants_map import ants_module, to_ants
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
    ants = ants_module(seed, threads)
    template, template_brain = icbm152_head()
    coarse = _upright_frame(image.frame, _COARSE_MM)
    patient = _cut_highlights(coarse.resample(image.data, image.frame, oversample=2))
    counted = np.ones(coarse.shape, np.float32)
    if tumour is not None:
        counted -= coarse.resample(tumour, image.frame) > 0
    moving = to_ants(template.data.astype(np.float32), template.frame)
    with tempfile.TemporaryDirectory() as scratch:
        start = _start(ants, image, template, Path(scratch))
        try:
            result = ants.registration(
                fixed=to_ants(patient, coarse),
                moving=moving,
                mask=to_ants(counted, coarse),
                initial_transform=[str(start)],
                outprefix=f"{scratch}/",
                **_STAGES,
            )
        except RuntimeError as error:
            raise InputError(
                f"{image.path} could not be registered to a whole head ({str(error).splitlines()[0][:100]}): "
                "take --strip deepbet, or strip it with HD-BET or SynthStrip"
            ) from error
        fine = _upright_frame(image.frame, _GRID_MM)
        warped = ants.apply_transforms(
            to_ants(np.zeros(fine.shape, np.float32), fine),
            to_ants(template_brain.astype(np.float32), template.frame),
            transformlist=result["fwdtransforms"],
        ).numpy()
    return np.asarray(image.frame.resample(warped, fine) > 0.5)


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


def _start(ants: Any, image: Image, template: Image, folder: Path) -> Path:
    """Write the translation that lays the middle of the one cranium on that of the other, whatever hangs below."""
    found = [foreground(one) for one in (image, template)]
    here, there = (one.frame.world(middle(one)[0]) for one in found)
    shift = (there - here) * np.array([-1.0, -1.0, 1.0])
    transform = ants.new_ants_transform(
        precision="float", dimension=3, transform_type="AffineTransform", parameters=[*np.eye(3).ravel(), *shift]
    )
    path = folder / "start.mat"
    ants.write_transform(transform, str(path))
    return path
