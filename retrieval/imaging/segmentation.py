"""A patient's tumour as two masks: core (seen on T1Gd) and whole (seen on FLAIR), checked before use."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage

from ...errors import InputError, about
from ...store.frame import Frame
from ...store.nifti import Image
from .choices import Labels
from .label_channels import ChannelMasks
from .label_meaning import Meaning, dim_warnings, in_words, labels_in, meaning_of
from .label_values import LabelMap, Mask, label_map, listed
from .readers import Volume, read_volume

__all__ = ["Mask", "Segmentation", "from_files", "from_labels", "from_masks"]

_STRAY_CORE_SHARE = 0.01  # of a separately drawn core that may stick out of the whole tumour, as rims do
_HOLE_SHARE = 0.02  # of the whole tumour


@dataclass(frozen=True)
class Segmentation:
    """Core and whole masks on the patient's grid; the core lies inside the whole.

    Args:
        core, whole: boolean, on `frame`.
        frame: the segmentation's own grid.
        understood: how the files were read, for the report, as JSON has it.
        warnings: what a careful reader should know.
        summary: one line of what the labels were read as, with the volumes of both masks.
    """

    core: Mask
    whole: Mask
    frame: Frame
    understood: dict[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    summary: str = ""

    @property
    def source(self) -> str:
        """Path of the file that the whole tumour came from, for messages."""
        return str(self.understood.get("segmentation", self.understood.get("whole_mask", "the segmentation")))

    @property
    def volumes_ml(self) -> dict[str, float]:
        """Volumes of both masks."""
        return {
            name: float(np.count_nonzero(mask)) * self.frame.voxel_ml
            for name, mask in (("core", self.core), ("whole", self.whole))
        }


def from_files(
    seg: Path | None,
    masks: tuple[Path | None, Path | None],
    core: Labels = None,
    whole: Labels = None,
    labels: str | None = None,
    t1c: Image | None = None,
) -> Segmentation:
    """Read a label map, or else masks of core and whole: see `from_labels` and `from_masks`.

    Raises:
        InputError: neither is given whole, or what is given cannot be used.
    """
    if seg is not None:
        return from_labels(seg, core, whole, labels, t1c)
    if masks[0] is None or masks[1] is None:
        raise InputError("give either ‹seg›, or ‹core_mask› and ‹whole_mask›")
    if labels is not None:
        raise InputError("‹labels› names the convention of ‹seg›: with separate masks leave it out")
    return from_masks(masks[0], masks[1])


def from_labels(
    path: str | Path,
    core: Labels = None,
    whole: Labels = None,
    labels: str | None = None,
    t1c: Image | None = None,
) -> Segmentation:
    """Read a label map, or channels.

    What its labels mean is what the user says, else what the file names them, else the one convention that fits how
    they lie (docs/labels.md).

    Args:
        path: file with one label a voxel, with channels, or with segments.
        core: labels of the T1Gd core, as values or names; empty for a tumour without one.
        whole: labels of the whole tumour; by default all labels present, if the core is said.
        labels: name of a convention, one of `conventions.CONVENTIONS`, instead.
        t1c: T1 after contrast in the same space, on any grid, to test by brightness what is not said.

    Raises:
        InputError: the file cannot be read, holds no tumour, no such label, fractions, or labels whose meaning must
            be said.
    """
    path = Path(path)
    volume = read_volume(path)
    present, names = labels_in(volume)
    with about("labels"):
        meaning = meaning_of(present, names, path, core, whole, labels, t1c)
    warnings = list(meaning.warnings)
    if isinstance(present, LabelMap):
        warnings += _holes(present, meaning)
    if t1c is not None:
        warnings += dim_warnings(present, meaning, t1c)
    return _checked(
        present.mask(meaning.core),
        present.mask(meaning.whole),
        volume.frame,
        _record(volume, present, names, meaning),
        warnings,
        in_words(present, meaning),
    )


def _record(
    volume: Volume, present: LabelMap | ChannelMasks, names: dict[int, str], meaning: Meaning
) -> dict[str, object]:
    record: dict[str, object] = {
        "segmentation": str(volume.path),
        "format": volume.format,
        "reading": meaning.reading,
        "convention": meaning.convention,
        "source": meaning.source,
        "labels": {str(value): count for value, count in present.counts.items()},
        "meanings": {str(value): tissue for value, tissue in meaning.tissues.items()},
        "core_labels": list(meaning.core),
        "whole_labels": list(meaning.whole),
        "rounded": present.rounded,
    }
    if names:
        record["names"] = {str(value): names[value] for value in present.present if value in names}
    return {name: value for name, value in record.items() if value not in (None, {})}


def _holes(labels: LabelMap, meaning: Meaning) -> list[str]:
    """Healthy tissue that the tumour encloses, which is rather tumour that nobody labelled."""
    whole = np.isin(labels.values, meaning.whole)
    holes = np.count_nonzero(ndimage.binary_fill_holes(whole) & (labels.values == 0))
    if holes <= _HOLE_SHARE * np.count_nonzero(whole):
        return []
    return [
        f"the tumour encloses {holes * labels.frame.voxel_ml:.1f} ml without a label, as where necrosis is not "
        "segmented: they belong to no mask"
    ]


def from_masks(core_path: str | Path, whole_path: str | Path) -> Segmentation:
    """Read two separate masks; voxels other than 0 belong to them.

    Raises:
        InputError: a file cannot be read, is empty, holds more than one label, the grids differ, or the core lies
            outside the whole.
    """
    with about("core_mask"):
        core, core_frame = _mask(Path(core_path))
    with about("whole_mask"):
        whole, frame = _mask(Path(whole_path))
    if not core_frame.same_as(frame):
        raise InputError(f"{core_path} and {whole_path} are on different grids", hint="resample one to the other")
    understood: dict[str, object] = {"core_mask": str(core_path), "whole_mask": str(whole_path)}
    same = core.any() and np.array_equal(core, whole)
    doubts = ["core and whole tumour are the same mask: is one of the two files the right one?"] if same else []
    return _checked(core, whole, frame, understood, doubts, "")


def _mask(path: Path) -> tuple[Mask, Frame]:
    volume = read_volume(path)
    if volume.data.ndim != 3:
        raise InputError(f"{path} has {volume.channels} channels", hint="give one mask, or the file with ‹seg›")
    if not (volume.data != 0).any():
        return np.zeros(volume.frame.shape, bool), volume.frame
    labels = label_map(volume.data, volume.frame, path)
    if len(labels.present) > 1 or labels.present[0] < 0:
        raise InputError(
            f"{path} holds labels {listed((0, *labels.present))}: a mask has 0 and one other value",
            hint="give a label map with ‹seg› instead",
        )
    return labels.mask(labels.present), volume.frame


def _checked(
    core: Mask, whole: Mask, frame: Frame, understood: dict[str, object], warnings: list[str], summary: str
) -> Segmentation:
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
    found = Segmentation(core, whole | core, frame, understood, tuple(warnings), summary)
    if summary:
        return found
    volumes = ", ".join(f"{name} {ml:.1f} ml" for name, ml in found.volumes_ml.items())
    return Segmentation(core, found.whole, frame, understood, found.warnings, f"masks read: {volumes}")
