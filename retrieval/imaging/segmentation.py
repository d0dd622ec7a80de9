"""A patient's tumour as two masks: core (seen on T1Gd) and whole (seen on FLAIR), checked before use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...store.frame import Frame
from ...store.nifti import Image, load_image

Mask = NDArray[np.bool_]
Labels = tuple[int, ...] | None
"""Of a mask in a label map; None where it is to be guessed."""

_SHOWN_LABELS = 8
_STRAY_CORE_SHARE = 0.01  # of a separately drawn core that may stick out of the whole tumour, as rims do


@dataclass(frozen=True)
class Segmentation:
    """Core and whole masks on the patient's grid; the core lies inside the whole.

    Args:
        core, whole: boolean, on `frame`.
        frame: the segmentation's own grid.
        understood: how the files were read, for the report.
        warnings: what a careful reader should know.
    """

    core: Mask
    whole: Mask
    frame: Frame
    understood: dict[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Volumes of both masks."""
        return {
            name: float(np.count_nonzero(mask)) * self.frame.voxel_ml
            for name, mask in (("core", self.core), ("whole", self.whole))
        }


def from_files(
    seg: Path | None, masks: tuple[Path | None, Path | None], core: Labels = None, whole: Labels = None
) -> Segmentation:
    """Read a label map, or else masks of core and whole: see `from_labels` and `from_masks`.

    Raises:
        InputError: neither is given whole, or what is given cannot be used.
    """
    if seg is not None:
        return from_labels(seg, core, whole)
    if masks[0] is None or masks[1] is None:
        raise InputError("give either --seg, or --core-mask and --whole-mask")
    return from_masks(masks[0], masks[1])


def from_labels(
    path: str | Path, core: tuple[int, ...] | None = None, whole: tuple[int, ...] | None = None
) -> Segmentation:
    """Read a label map.

    Args:
        path: NIfTI with one integer label a voxel.
        core: labels of the T1Gd core; empty for a tumour without one. By default the BraTS meaning: everything
            that is not oedema (2) and has a label that BraTS uses, as far as it is unambiguous.
        whole: labels of the whole tumour; by default all labels present.

    Raises:
        InputError: the file cannot be read hard and fast, holds no tumour, no such label, fractions, or labels
            whose meaning must be said.
    """
    image = load_image(path)
    labels = _integers(image)
    present = tuple(int(v) for v in np.unique(labels) if v != 0)
    if not present:
        raise InputError(f"{path} is empty: it holds no label but 0")
    warnings = []
    if core is None:
        core = _brats_core(path, present)
    if whole is None:
        whole = present
    for name, wanted in (("core", core), ("whole", whole)):
        absent = sorted(set(wanted) - set(present))
        if wanted and len(absent) == len(set(wanted)):
            raise InputError(f"{path} has none of the {name} labels {_list(wanted)}: it holds {_list(present)}")
        if absent:
            warnings.append(f"{name} label {_list(absent)} does not occur in the segmentation")
    if 0 in (*core, *whole):
        raise InputError("label 0 is background: leave it out of --core and --whole")
    outside = sorted(set(core) - set(whole))
    if outside:
        raise InputError(
            f"{path}: --core has {_list(outside)}, which --whole has not ({_list(whole)}): the core is part of the "
            "whole, name its labels in both"
        )
    ignored = sorted(set(present) - set(whole))
    if ignored:
        warnings.append(f"label {_list(ignored)} is in neither mask")
    core_mask, whole_mask = np.isin(labels, core), np.isin(labels, whole)
    understood: dict[str, object] = {
        "segmentation": str(path),
        "labels": {str(v): int((labels == v).sum()) for v in present},
        "core_labels": list(core),
        "whole_labels": list(whole),
    }
    return _checked(core_mask, whole_mask, image.frame, understood, warnings)


def from_masks(core_path: str | Path, whole_path: str | Path) -> Segmentation:
    """Read two separate masks; voxels above 0 belong to them.

    Raises:
        InputError: a file cannot be read, is empty, holds more than one label, the grids differ, or the core lies
            outside the whole.
    """
    core, whole = load_image(core_path), load_image(whole_path)
    for image in (core, whole):
        values = np.unique(_integers(image))
        if len(values) > 2 or (values < 0).any():
            raise InputError(
                f"{image.path} holds labels {_list(values)}: a mask has 0 and one other value; "
                "give a label map with --seg instead"
            )
    if not core.frame.same_as(whole.frame):
        raise InputError(f"{core_path} and {whole_path} are on different grids: resample one to the other")
    understood: dict[str, object] = {"core_mask": str(core_path), "whole_mask": str(whole_path)}
    return _checked(_integers(core) > 0, _integers(whole) > 0, whole.frame, understood, [])


def labels_of(option: str, text: str | None) -> tuple[int, ...] | None:
    """Read labels with commas between them, `none` for no core.

    Raises:
        InputError: they are no whole numbers.
    """
    if text is None:
        return None
    if text.strip().lower() == "none" and option == "--core":
        return ()
    try:
        labels = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} takes whole numbers with commas, for example 1,4, not `{text}`") from None
    return labels


def _checked(core: Mask, whole: Mask, frame: Frame, understood: dict[str, object], warnings: list[str]) -> Segmentation:
    source = understood.get("whole_mask", understood.get("segmentation"))
    if not whole.any():
        raise InputError(f"{source}: the whole-tumour mask is empty, there is nothing to search for")
    if not core.any():
        warnings.append("the core mask is empty: matches are ranked by the whole tumour alone")
    stray = int((core & ~whole).sum())
    if stray > _STRAY_CORE_SHARE * core.sum():
        raise InputError(
            f"{understood.get('core_mask', source)}: {stray} of {int(core.sum())} core voxels lie outside the whole "
            f"tumour of {source}, which must hold the core"
        )
    if stray:
        warnings.append(f"{stray} core voxels outside the whole tumour were added to it")
    if whole.mean() > 0.5:
        warnings.append(f"the whole tumour fills {whole.mean():.0%} of the image: is the label right?")
    return Segmentation(core, whole | core, frame, understood, tuple(warnings))


def _integers(image: Image) -> NDArray[np.int64]:
    rounded = np.asarray(np.round(np.asarray(image.data, dtype=np.float64)))
    if not np.array_equal(rounded, image.data):
        stray = np.asarray(image.data[np.not_equal(rounded, image.data)])
        raise InputError(
            f"{image.path} holds {stray.size} values that are no integers (such as {stray.flat[0]:g}): "
            "give labels, resampled by nearest neighbour"
        )
    return np.asarray(rounded, dtype=np.int64)


def _brats_core(path: str | Path, present: tuple[int, ...]) -> tuple[int, ...]:
    """Core labels of BraTS: 1 and 4 up to 2021, 1 and 3 since 2023; older and other maps must be explained."""
    if set(present) <= {1, 2, 4}:
        core: tuple[int, ...] = (1, 4)
    elif set(present) <= {1, 2, 3}:
        core = (1, 3)
    else:
        raise InputError(
            f"{path} holds labels {_list(present)}, which BraTS editions use differently: say what they mean "
            "with --core and --whole (for example --core 1,3,4 --whole 1,2,3,4)"
        )
    found = tuple(v for v in core if v in present)
    if not found:
        raise InputError(
            f"{path} holds only label {_list(present)}, so no tumour core: say which labels are core with --core, "
            "or --core none"
        )
    return found


def _list(values: Iterable[int]) -> str:
    shown = [str(int(v)) for v in values]
    return ", ".join(shown if len(shown) <= _SHOWN_LABELS else [*shown[:_SHOWN_LABELS], f"... ({len(shown)} in all)"])
