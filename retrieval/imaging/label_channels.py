"""Segmentations with an axis of channels: nested TC, WT and ET, or one channel a label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...store.frame import Frame
from .label_values import LabelMap, Mask, label_map, listed

_SLACK = 0.01  # share of a channel that rounding may move across an edge
_BACKGROUND_SHARE = 0.5
NESTED = ("whole tumor", "tumor core", "enhancing tumor")
"""What channels mean that lie within one another, the largest first."""


@dataclass(frozen=True, eq=False)
class ChannelMasks:
    """Masks that may overlap, channels counted from 1.

    Args:
        masks: the channels that are not empty, by number.
        frame: their grid.
        rounded: whether the file held values beside whole numbers.
    """

    masks: Mapping[int, Mask]
    frame: Frame
    rounded: bool = False

    @cached_property
    def counts(self) -> Mapping[int, int]:
        """Voxels of each channel."""
        return {number: int(np.count_nonzero(mask)) for number, mask in self.masks.items()}

    @property
    def present(self) -> tuple[int, ...]:
        """Channels that are not empty."""
        return tuple(self.masks)

    def mask(self, labels: Iterable[int]) -> Mask:
        """Voxels of any of some channels."""
        found = np.zeros(self.frame.shape, bool)
        for number in labels:
            if number in self.masks:
                found |= self.masks[number]
        return found


def channel_masks(data: NDArray[np.generic], frame: Frame, path: Path) -> ChannelMasks:
    """Read channels of 0 and one other value.

    Args:
        data: (i, j, k, c).
        frame: grid of the first three axes.
        path: for messages.

    Raises:
        InputError: a channel holds several labels or fractions, or all are empty.
    """
    masks, rounded = {}, False
    for number in range(1, data.shape[3] + 1):
        channel = data[..., number - 1]
        if not (channel != 0).any():
            continue
        labels = label_map(channel, frame, path)
        if len(labels.present) > 1:
            raise InputError(
                f"{path} has {data.shape[3]} channels, and channel {number} holds labels {listed(labels.present)}",
                hint="give one 3-D map of labels, or channels of 0 and 1",
            )
        masks[number] = labels.mask(labels.present)
        rounded = rounded or labels.rounded
    if not masks:
        raise InputError(f"{path} is empty: all its channels hold 0 alone")
    return ChannelMasks(masks, frame, rounded)


def without_background(channels: ChannelMasks) -> ChannelMasks:
    """Leave out the first channel where it marks what no other does, and count the others from 1.

    It is the background where it fills half of the image, or, of a file cut closely around a tumour, where every
    voxel belongs to exactly one channel.
    """
    first = channels.masks.get(1)
    others = channels.mask(channels.present[1:])
    if first is None or not others.any() or (first & others).any():
        return channels
    if first.mean() < _BACKGROUND_SHARE and not (first | others).all():
        return channels
    kept = {number - 1: mask for number, mask in channels.masks.items() if number > 1}
    return ChannelMasks(kept, channels.frame, channels.rounded)


def nested(channels: ChannelMasks) -> dict[int, str]:
    """Name channels of which each lies within the next larger; nothing where they do not."""
    by_size = sorted(channels.present, key=lambda number: -channels.counts[number])
    if not 2 <= len(by_size) <= len(NESTED):
        return {}
    for large, small in pairwise(by_size):
        outside = np.count_nonzero(channels.masks[small] & ~channels.masks[large])
        if outside > _SLACK * channels.counts[small]:
            return {}
    return dict(zip(by_size, NESTED, strict=False))


def one_label_each(channels: ChannelMasks, path: Path) -> LabelMap:
    """Make a label map of channels that do not overlap, the number of a channel its label.

    Raises:
        InputError: they overlap, so that it is neither that nor nesting.
    """
    values = np.zeros(channels.frame.shape, np.uint8)
    for number, mask in channels.masks.items():
        overlap = np.count_nonzero(mask & (values > 0))
        if overlap > _SLACK * channels.counts[number]:
            raise InputError(
                f"{path}: channel {number} overlaps others, but does not lie within them as TC lies in WT",
                hint="name the channels of both masks with ‹core_labels› and ‹whole_labels› (they are counted from 1)",
            )
        values[mask] = number
    return label_map(values, channels.frame, path)
