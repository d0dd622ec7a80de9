"""Where atlases come from: the ICBM152 that nilearn ships, a folder of tissue maps, or a file of tissue labels.

The result lives on the store's frame, 128³ voxels of 2 mm with the brain in the middle.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..store.atlas import Atlas
from ..store.frame import Frame
from ..store.nifti import Image, load_image
from .settings import DEFAULT_ATLAS

"""ICBM 2009a nonlinear symmetric, as shipped inside nilearn: a plain install needs no download."""

FRAME_SIZE, FRAME_SPACING_MM = 128, 2.0
LABELS = {"csf": 1, "grey": 2, "white": 3}
"""Values of a hard-label file."""

PSEUDO_T1 = {"csf": 0.25, "grey": 0.65, "white": 1.0}
"""Brightness of tissues in a T1, roughly, for a picture of tissue maps."""
_FRACTION_SLACK = 0.01  # interpolated maps overshoot a little
_LABEL_FILES = ("tissues", "tissue", "labels")


def load_atlas(source: str | Path = DEFAULT_ATLAS) -> Atlas:
    """Load an atlas by name, folder or label file.

    Args:
        source: "icbm152"; a folder with t1, wm, gm and csf images (.nii or .nii.gz, fractions in [0, 1]), or with
            a tissues image of labels (1 CSF, 2 grey, 3 white) and optionally t1; or one such label file. Without a
            T1, one is made from the tissues, good enough to register to.

    Raises:
        InputError: nothing usable there.
    """
    if str(source) == DEFAULT_ATLAS:
        return _icbm152()
    path = Path(source)
    if path.is_file():
        return _from_labels(path.name.split(".")[0], load_image(path), None)
    if not path.is_dir():
        raise InputError(
            f"{source}: no such atlas", hint=f"give `{DEFAULT_ATLAS}`, a folder of NIfTI maps or a label file"
        )
    t1 = _find(path, ("t1",))
    labels = _find(path, _LABEL_FILES)
    if labels is not None:
        return _from_labels(path.resolve().name, load_image(labels), None if t1 is None else load_image(t1))
    maps = {name: _find(path, (name,)) for name in ("wm", "gm", "csf")}
    missing = [name for name, file in (maps | {"t1": t1}).items() if file is None]
    if missing:
        raise InputError(
            f"{path}: no {', '.join(missing)} image there; an atlas folder holds t1, wm, gm, csf (.nii or .nii.gz), "
            "or tissues (1 CSF, 2 grey, 3 white)"
        )
    images = {name: load_image(file) for name, file in (maps | {"t1": t1}).items() if file is not None}
    reference = images["wm"].frame
    for image in images.values():
        if not image.frame.same_as(reference, tolerance_mm=0.1):
            raise InputError(f"{image.path} is not on the grid of {images['wm'].path}", hint="resample it first")
    white, grey, csf, head = (np.asarray(images[name].data, dtype=np.float32) for name in ("wm", "gm", "csf", "t1"))
    return _on_frame(path.resolve().name, reference, white, grey, csf, head)


def _icbm152() -> Atlas:
    from nilearn import datasets

    images = {
        "white": datasets.load_mni152_wm_template(resolution=1),
        "grey": datasets.load_mni152_gm_template(resolution=1),
        "brain": datasets.load_mni152_brain_mask(resolution=1),
        "t1": datasets.load_mni152_template(resolution=1),
    }
    frame = Frame(images["t1"].shape, images["t1"].affine)
    white, grey, brain, head = (np.asarray(i.get_fdata(), dtype=np.float32) for i in images.values())
    # mask first: the maps are nonzero far outside the brain
    inside = brain > 0
    white, grey, head = white * inside, grey * inside, head * inside
    csf = np.clip(inside - white - grey, 0, 1).astype(np.float32)
    return _on_frame(DEFAULT_ATLAS, frame, white, grey, csf, head)


def _from_labels(name: str, labels: Image, t1: Image | None) -> Atlas:
    values = {int(v) for v in np.unique(labels.data)}
    if not np.array_equal(labels.data, np.round(labels.data)) or not {2, 3} <= values <= {0, 1, 2, 3}:
        shown = [float(v) for v in np.unique(labels.data)[:8]]
        raise InputError(f"{labels.path} holds labels {shown}: a tissue file has 0 outside, 1 CSF, 2 grey, 3 white")
    maps = {tissue: (labels.data == value).astype(np.float32) for tissue, value in LABELS.items()}
    if t1 is None:
        head = sum(maps[tissue] * level for tissue, level in PSEUDO_T1.items())
    else:
        head = labels.frame.resample(t1.data, t1.frame)
    return _on_frame(name, labels.frame, maps["white"], maps["grey"], maps["csf"], np.asarray(head))


def _on_frame(
    name: str,
    source: Frame,
    white: NDArray[np.float32],
    grey: NDArray[np.float32],
    csf: NDArray[np.float32],
    t1: NDArray[np.float32],
) -> Atlas:
    for tissue, values in (("white", white), ("grey", grey), ("csf", csf)):
        if values.min() < -_FRACTION_SLACK or values.max() > 1 + _FRACTION_SLACK:
            raise InputError(
                f"atlas {name}: the {tissue} map runs from {values.min():g} to {values.max():g}",
                hint="scale it to fractions in [0, 1]",
            )
    brain = white + grey + csf >= 0.5
    t1 = t1 * brain
    frame = _brain_centred(name, source, brain)
    # a voxel of the frame averages what lies in it: tissue fractions, not samples
    oversample = max(1, round(FRAME_SPACING_MM / min(source.spacing)))
    white, grey, csf = (
        np.clip(frame.resample(values, source, oversample=oversample), 0, 1) for values in (white, grey, csf)
    )
    scale = float(np.quantile(t1[t1 > 0], 0.99)) if (t1 > 0).any() else 1.0
    return Atlas(name, frame, white, grey, csf, frame.resample(t1, source, oversample=oversample) / np.float32(scale))


def _brain_centred(name: str, source: Frame, brain: NDArray[np.bool_]) -> Frame:
    inside = np.argwhere(brain)
    if not len(inside):
        raise InputError(f"atlas {name} has no brain: its tissue maps are empty")
    corners = source.world(np.array([inside.min(0), inside.max(0)]))
    low, high = corners.min(0), corners.max(0)
    if (high - low).max() > FRAME_SIZE * FRAME_SPACING_MM:
        raise InputError(
            f"atlas {name}: its brain is {(high - low).max():.0f} mm long, the frame "
            f"{FRAME_SIZE * FRAME_SPACING_MM:.0f} mm",
            hint="check the affine's units",
        )
    return Frame.centred(np.round((low + high) / 2), FRAME_SIZE, FRAME_SPACING_MM)


def _find(folder: Path, names: tuple[str, ...]) -> Path | None:
    for name in names:
        for ending in (".nii.gz", ".nii"):
            if (folder / f"{name}{ending}").is_file():
                return folder / f"{name}{ending}"
    return None
