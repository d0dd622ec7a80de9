"""What the labels of a file mean: as the user says, as the file names them, or as their geometry shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...store.nifti import Image
from .choices import Labels
from .conventions import CONVENTIONS, CORE_TISSUES, WHOLE_TISSUES, Tissue, convention
from .label_channels import ChannelMasks, channel_masks, nested, one_label_each, without_background
from .label_geometry import brightness, measure
from .label_names import meanings_of, speak, tissue_of, values_of
from .label_readings import BRIGHT, Verdict, choose, judge, masks_in_words
from .label_values import LabelMap, label_map, listed, shells
from .readers import Volume


@dataclass(frozen=True)
class Meaning:
    """Which labels make the masks, and how that is known.

    Args:
        core, whole: labels of each mask.
        reading: what the labels were read as, in words.
        convention: name of the convention, if it is one.
        source: where the convention is laid down.
        tissues: what each label marks, as far as that is known.
        warnings: what a careful reader should know.
    """

    core: tuple[int, ...]
    whole: tuple[int, ...]
    reading: str
    convention: str | None = None
    source: str | None = None
    tissues: Mapping[int, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def labels_in(volume: Volume) -> tuple[LabelMap | ChannelMasks, dict[int, str]]:
    """Take the labels of a file, and their names; channels that do not overlap become one map.

    Raises:
        InputError: the values are no labels.
    """
    named = dict(volume.names)
    if volume.data.ndim == 3:
        return label_map(volume.data, volume.frame, volume.path), named
    channels = channel_masks(volume.data, volume.frame, volume.path)
    names = {index + 1: name for index, name in named.items()}
    if speak(names):
        return channels, names
    channels = without_background(channels)
    names = nested(channels)
    return (channels, names) if names else (one_label_each(channels, volume.path), {})


def meaning_of(
    labels: LabelMap | ChannelMasks,
    names: Mapping[int, str],
    path: Path,
    core: Labels = None,
    whole: Labels = None,
    named: str | None = None,
    t1c: Image | None = None,
) -> Meaning:
    """Find out which labels are core and which whole tumour.

    Args:
        labels: of the file.
        names: of labels or channels, as far as the file has them.
        path: of the file.
        core: labels of the core, as the user says.
        whole: labels of the whole tumour, as the user says.
        named: convention that the user names.
        t1c: T1 after contrast, to test a guess by brightness.

    Raises:
        InputError: what is said does not fit the file, or nothing tells.
    """
    if named is not None:
        if core is not None or whole is not None:
            raise InputError(
                "‹labels› says which labels are core and whole",
                hint="leave out ‹core_labels› and ‹whole_labels›, or it",
            )
        return _by_convention(labels, path, named)
    said_core = None if core is None else values_of(core, names, "core_labels", path)
    said_whole = None if whole is None else values_of(whole, names, "whole_labels", path)
    if said_core is not None:
        if said_whole is not None:
            return _as_said(labels, path, said_core, said_whole)
        return _core_as_said(labels, names, path, said_core)
    if said_whole is not None:
        _check_said(labels, path, "whole", said_whole)
    if names and (speak(names) or isinstance(labels, ChannelMasks)):
        return _by_names(labels, names, path, said_whole)
    if isinstance(labels, ChannelMasks):
        raise InputError(
            f"{path} has channels without names",
            hint="say which are which with ‹core_labels› and ‹whole_labels›",
        )
    return _by_geometry(labels, path, said_whole, t1c)


def _by_convention(labels: LabelMap | ChannelMasks, path: Path, named: str) -> Meaning:
    known = convention(named)
    if isinstance(labels, ChannelMasks):
        raise InputError(f"{path} has channels, not labels as {known.name} has", hint="leave out ‹labels›")
    beyond = [v for v in labels.present if v not in known.meanings]
    lasting = [v for v in beyond if v not in labels.strays]
    if lasting:
        raise InputError(
            f"{path} holds label {listed(lasting)}, which {known.name} has not (it has {listed(known.meanings)})",
            hint="name another convention with ‹labels›, or use ‹core_labels› and ‹whole_labels›",
        )
    warnings = [f"label {v} ({labels.counts[v]} voxels) is none of {known.name} and was left out" for v in beyond]
    warnings += _shell_warnings(labels)
    main = [v for v in labels.present if v in known.meanings]
    if len(main) > 1 and judge(known, main, measure(labels.only(main))) is Verdict.FAILS:
        warnings.append(f"the labels do not lie as {known.name} would have them: is it the right convention?")
    return Meaning(
        known.core(labels.present),
        known.whole(labels.present),
        f"{known.title} ({known.name}), as said",
        known.name,
        known.source,
        {value: str(known.meanings[value]) for value in main},
        tuple(warnings),
    )


def _check_said(labels: LabelMap | ChannelMasks, path: Path, name: str, wanted: Sequence[int]) -> list[str]:
    if 0 in wanted:
        raise InputError("label 0 is background", hint="leave it out of ‹core_labels› and ‹whole_labels›")
    absent = sorted(set(wanted) - set(labels.present))
    if wanted and len(absent) == len(set(wanted)):
        raise InputError(
            f"{path} has none of the {name} labels {listed(wanted)}: it holds {listed(labels.present)}",
            parameter=f"{name}_labels",
        )
    return [f"{name} label {listed(absent)} does not occur in the segmentation"] if absent else []


def _core_as_said(
    labels: LabelMap | ChannelMasks, names: Mapping[int, str], path: Path, core: tuple[int, ...]
) -> Meaning:
    """Take all labels as whole tumour but those that are none by name; doubt one that may be a cavity by number."""
    spoken = {value: tissue_of(names[value]) for value in labels.present if value in names}
    tumorless = [v for v, tissue in spoken.items() if tissue in (Tissue.CAVITY, Tissue.OTHER) and v not in core]
    found = _as_said(labels, path, core, tuple(v for v in labels.present if v not in tumorless))
    cavities = {
        value: known.name
        for known in CONVENTIONS.values()
        for value, tissue in known.meanings.items()
        if tissue is Tissue.CAVITY and value in found.whole and value not in core and value not in spoken
    }
    doubts = [
        f"label {value} was taken into the whole tumour; it is the resection cavity in {name}: if it is that, leave it "
        f"out with ‹whole_labels›"
        for value, name in cavities.items()
    ]
    return replace(found, warnings=(*found.warnings, *doubts))


def _as_said(labels: LabelMap | ChannelMasks, path: Path, core: tuple[int, ...], whole: tuple[int, ...]) -> Meaning:
    warnings = [
        *_check_said(labels, path, "core", core),
        *_check_said(labels, path, "whole", whole),
        *_shell_warnings(labels),
    ]
    outside = sorted(set(core) - set(whole))
    if outside and isinstance(labels, LabelMap):
        raise InputError(
            f"{path}: ‹core_labels› has {listed(outside)}, which ‹whole_labels› has not ({listed(whole)}): the core is "
            "part of the whole, name its labels in both"
        )
    ignored = sorted(set(labels.present) - set(whole) - set(core))
    if ignored:
        warnings.append(f"label {listed(ignored)} is in neither mask")
    return Meaning(core, whole, "said by ‹core_labels› and ‹whole_labels›", warnings=tuple(warnings))


def _by_names(
    labels: LabelMap | ChannelMasks, names: Mapping[int, str], path: Path, whole: tuple[int, ...] | None
) -> Meaning:
    tissues = meanings_of(names, labels.present, path)
    if whole is not None:
        tissues = {value: tissue for value, tissue in tissues.items() if value in whole}
    of_tumor = tuple(v for v, tissue in tissues.items() if tissue in WHOLE_TISSUES or tissue is Tissue.TUMOR)
    if not of_tumor:
        listing = ", ".join(f"`{names[v]}`" for v in labels.present)
        raise InputError(
            f"{path} names no tumour ({listing})",
            hint="say which is which with ‹core_labels› and ‹whole_labels›",
        )
    if all(tissues[v] in (Tissue.TUMOR, Tissue.WHOLE, Tissue.OEDEMA) for v in of_tumor):
        called = ", ".join(f"`{names[v]}`" for v in of_tumor)
        raise InputError(
            f"{path} has {called} and no tumour core",
            hint="if that is the whole tumour, say ‹core_labels=none›, or give its core and whole "
            "as two masks with ‹core_mask› and ‹whole_mask›",
        )
    vague = [names[v] for v in of_tumor if tissues[v] is Tissue.TUMOR]
    if vague:
        raise InputError(
            f"{path} has `{vague[0]}` beside {', '.join(f'`{names[v]}`' for v in of_tumor if names[v] not in vague)}, "
            "and it may be the core or the whole tumour, say which with ‹core_labels=NAME,...› and "
            "‹whole_labels=NAME,...›"
        )
    warnings = [f"`{names[v]}` was left out: it belongs to neither mask" for v in tissues if v not in of_tumor]
    if isinstance(labels, ChannelMasks) and len(of_tumor) == 2 and set(names.values()) <= {"whole tumor", "tumor core"}:
        warnings.append("of two channels the larger was read as the whole tumour, the smaller as its core")
    core = tuple(v for v in of_tumor if tissues[v] in CORE_TISSUES)
    words = ", ".join(f"{v} {names[v]}" for v in of_tumor)
    return Meaning(
        core,
        of_tumor,
        f"named by the file ({words})",
        tissues={v: str(t) for v, t in tissues.items()},
        warnings=tuple(warnings),
    )


def _by_geometry(labels: LabelMap, path: Path, whole: tuple[int, ...] | None, t1c: Image | None) -> Meaning:
    judged = labels if whole is None else labels.only(whole)
    thin = shells(judged)
    if thin:
        raise InputError(
            f"{path}: {_shells_in_words(thin)}, or say what they mean with ‹labels› or ‹core_labels› and ‹whole_labels›"
        )
    choice = choose(judged, path, t1c)
    reading = choice.reading
    warnings = [
        f"labels were read as {reading.described(judged)}, but {rival.described(judged)} cannot be ruled out: if it is "
        f"that, say ‹labels={rival.convention.name}›"
        for rival in choice.rivals
    ]
    beyond = [v for v in judged.present if v not in reading.convention.meanings]
    warnings += [
        f"label {v} ({judged.counts[v]} voxels) is no label of {reading.convention.name}: left out" for v in beyond
    ]
    tissues = {v: str(reading.convention.meanings[v]) for v in judged.present if v not in beyond}
    cavities = [v for v, tissue in tissues.items() if tissue == Tissue.CAVITY]
    warnings += [f"label {v} was read as a resection cavity, which belongs to no mask" for v in cavities]
    if whole is not None:
        warnings += [
            f"label {listed(left)} is in neither mask" for left in [sorted(set(labels.present) - set(whole))] if left
        ]
    return Meaning(
        reading.core,
        reading.whole if whole is None else whole,
        f"{reading.convention.title} ({reading.convention.name}), by how they lie",
        reading.convention.name,
        reading.convention.source,
        tissues,
        tuple(warnings),
    )


def _shells_in_words(thin: Sequence[int]) -> str:
    return (
        f"label {listed(thin)} lies as a shell of one voxel between lower and higher ones, as linear interpolation "
        "makes it: resample labels by nearest neighbour"
    )


def _shell_warnings(labels: LabelMap | ChannelMasks) -> list[str]:
    thin = shells(labels) if isinstance(labels, LabelMap) else ()
    return [_shells_in_words(thin)] if thin else []


def dim_warnings(labels: LabelMap | ChannelMasks, meaning: Meaning, t1c: Image) -> list[str]:
    """Doubt that segmentation and T1c are of one patient where the label of enhancing tumour does not shine in it.

    Of five patients it lay 3.0 robust standard deviations above the brain or more in their own T1c, and 0.7 or less in
    those of the four others (once).

    Args:
        labels: of the file.
        meaning: of the labels.
        t1c: T1 after contrast in the same space, on any grid.
    """
    enhancing = [value for value, tissue in meaning.tissues.items() if tissue == Tissue.ENHANCING]
    tumor, shining = labels.mask(meaning.whole), labels.mask(enhancing)
    if not shining.any():
        return []
    frame = labels.frame if isinstance(labels, ChannelMasks) else labels.whole_frame
    shine = brightness(label_map(np.where(shining, 2, tumor), frame, t1c.path), t1c).get(2)
    if shine is None or shine >= BRIGHT:
        return []
    return [
        f"the enhancing tumor of the segmentation is not bright in {t1c.path.name} ({shine:.1f} robust standard "
        "deviations above the brain around it, where 3 and more are usual): is the image a T1 with contrast, and of "
        "this patient?"
    ]


def in_words(labels: LabelMap | ChannelMasks, meaning: Meaning) -> str:
    """One line: what the labels were read as, with the volumes of both masks."""
    if isinstance(labels, LabelMap):
        return f"labels read as {meaning.reading}: {masks_in_words(labels, meaning.core, meaning.whole)}"
    volumes = [
        f"{name} {float(labels.mask(values).sum()) * labels.frame.voxel_ml:.1f} ml"
        for name, values in (("core", meaning.core), ("whole", meaning.whole))
    ]
    return f"channels {meaning.reading}: {', '.join(volumes)}"
