"""Segments as 3D Slicer writes them into the header of an NRRD file (.seg.nrrd).

Key/value pairs `SegmentN_Name`, `_LabelValue` and `_Layer`: segments that do not overlap share a layer as labels of one
map, others get layers of their own along a fourth axis
(slicer.readthedocs.io, developer guide, Segmentations, "Segmentation file (.seg.nrrd)").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ....store.image_bytes import check_size, printable

_KEY = re.compile(r"Segment(\d{1,6})_(Name|ID|LabelValue|Layer)")


@dataclass(frozen=True)
class _Segment:
    name: str
    layer: int
    label: int


def named_segments(
    path: Path, data: NDArray[np.generic], pairs: Mapping[str, str]
) -> tuple[NDArray[np.generic], dict[int, str]]:
    """Bring the layers of a file to a label map or, where segments may overlap, to one channel a segment.

    Args:
        path: for the message.
        data: (i, j, k) of one layer or (i, j, k, layer).
        pairs: keys and values of the header.

    Returns:
        data, and names by label value (3-D) or by channel (4-D, uint8); data as it is and no names where the header
        describes no segments.

    Raises:
        InputError: the header describes segments that the data have not, or leaves labels without a description.
    """
    layers = 1 if data.ndim == 3 else data.shape[3]
    segments = _segments(path, pairs, layers)
    if not segments:
        return data, {}
    for segment in segments:
        if not 0 <= segment.layer < layers:
            raise InputError(
                f"{path} puts segment {segment.name!r} in layer {segment.layer} of {layers}: save it again"
            )
    if len({(segment.layer, segment.label) for segment in segments}) < len(segments):
        raise InputError(f"{path} gives one label to two segments: save it again")
    if layers == 1:
        return data, {segment.label: segment.name for segment in segments}
    _check_described(path, data, segments)
    check_size(path, (*data.shape[:3], len(segments)), np.dtype(np.uint8))
    channels = np.empty((*data.shape[:3], len(segments)), np.uint8, order="F")
    for index, segment in enumerate(segments):
        channels[..., index] = data[..., segment.layer] == segment.label
    return channels, {index: segment.name for index, segment in enumerate(segments)}


def _segments(path: Path, pairs: Mapping[str, str], layers: int) -> list[_Segment]:
    """Collect the segments; files of Slicer before 4.11 have neither labels nor layers, but one channel a segment."""
    found: dict[int, dict[str, str]] = {}
    for key, value in pairs.items():
        if match := _KEY.fullmatch(key):
            found.setdefault(int(match[1]), {})[match[2]] = value.strip()
    segments = []
    for number, said in sorted(found.items()):
        try:
            layer = int(said.get("Layer", number if layers > 1 else 0))
            label = int(said.get("LabelValue", 1))
        except ValueError:
            raise InputError(
                f"{path} gives segment {number} a layer or label that is no integer: save it again"
            ) from None
        segments.append(_Segment(printable(said.get("Name", said.get("ID", f"segment {number}"))), layer, label))
    return segments


def _check_described(path: Path, data: NDArray[np.generic], segments: list[_Segment]) -> None:
    for layer in range(data.shape[3]):
        described = {0} | {segment.label for segment in segments if segment.layer == layer}
        unknown = sorted({float(v) for v in np.unique(data[..., layer])} - described)
        if unknown:
            raise InputError(
                f"{path} holds the value {unknown[0]:g} in layer {layer}, which no segment has: save it again"
            )
