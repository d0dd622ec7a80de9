"""Labels as a file holds them: whole numbers up to rounding, cropped to where they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...errors import InputError
from ...store.frame import Frame

Mask = NDArray[np.bool_]

_ROUNDING = 0.01  # 1.0039 and 1.992 come from labels kept as scaled bytes, 1.0000153 from scaled 16 bits
MOST_LABELS = 32
_SHOWN = 8
_STRAY_SHARE = 0.001


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Labels of the box that holds them all.

    Args:
        values: (i, j, k) of the box, whole numbers.
        box: where the box lies on the file's grid.
        frame: grid of the box.
        whole_frame: grid of the file.
        rounded: whether the file held values beside whole numbers.
    """

    values: NDArray[np.int32]
    box: tuple[slice, slice, slice]
    frame: Frame
    whole_frame: Frame
    rounded: bool = False

    @cached_property
    def counts(self) -> Mapping[int, int]:
        """Voxels of each label but 0, in order."""
        low = int(self.values.min(initial=0))
        if int(self.values.max(initial=0)) - low > _COUNTED_AT_ONCE:
            values, numbers = np.unique(self.values, return_counts=True)
            return {int(v): int(n) for v, n in zip(values, numbers, strict=True) if v != 0}
        numbers = np.bincount((self.values - low).ravel())
        return {int(v) + low: int(numbers[v]) for v in np.flatnonzero(numbers) if v + low != 0}

    @cached_property
    def present(self) -> tuple[int, ...]:
        """Labels but 0, in order."""
        return tuple(self.counts)

    def mask(self, labels: Iterable[int]) -> Mask:
        """Voxels of some labels, on the file's grid."""
        found = np.zeros(self.whole_frame.shape, bool)
        found[self.box] = np.isin(self.values, tuple(labels))
        return found

    def only(self, labels: Iterable[int]) -> LabelMap:
        """Leave out all other labels."""
        kept = np.where(np.isin(self.values, tuple(labels)), self.values, 0)
        return LabelMap(kept, self.box, self.frame, self.whole_frame, self.rounded)

    @property
    def strays(self) -> tuple[int, ...]:
        """Labels of hardly any voxel, as editing leaves behind."""
        total = sum(self.counts.values())
        return tuple(v for v, n in self.counts.items() if n < _STRAY_SHARE * total)


_COUNTED_AT_ONCE = 1 << 16


def label_map(data: NDArray[np.generic], frame: Frame, path: Path) -> LabelMap:
    """Read labels from the values of a file.

    Args:
        data: (i, j, k), of any type.
        frame: its grid.
        path: for messages.

    Raises:
        InputError: values are not finite, fractions, too many for labels, or all 0.
    """
    if data.dtype.kind not in "iufb":
        raise InputError(f"{path} holds {data.dtype} values", hint="give whole numbers")
    box = _box(data != 0)
    if box is None:
        raise InputError(f"{path} is empty: it holds no label but 0")
    values = data[box]
    rounded = False
    if values.dtype.kind == "f":
        values, rounded = _rounded(values.astype(np.float64), path)
        if not values.any():
            raise InputError(f"{path} is empty: it holds no label but 0")
    if values.dtype.kind != "b" and (int(values.max()) > _LARGEST or int(values.min()) < -_LARGEST):
        raise InputError(f"{path} holds values up to {int(values.max())}: it is an image, give a map of labels")
    low = [at.start for at in box]
    inner = frame.crop(low, [at.stop for at in box])
    return LabelMap(np.ascontiguousarray(values, np.int32), box, inner, frame, rounded)


_LARGEST = 2**31 - 1


def _rounded(values: NDArray[np.float64], path: Path) -> tuple[NDArray[np.float64], bool]:
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InputError(
            f"{path} holds {bad} values that are NaN or infinite", hint="replace them, with 0 for background"
        )
    whole = np.rint(values)
    away = np.abs(values - whole)
    if away.max() == 0:
        return whole, False
    strays = values[away > _ROUNDING]
    distinct = np.unique(whole)
    if not strays.size and len(distinct) <= MOST_LABELS:
        return whole, True
    example = f"{strays.flat[0]:.7g}" if strays.size else f"{values[away > 0].flat[0]:.9g}"
    cause = "resample labels by nearest neighbour, not by linear interpolation"
    if values.min() >= 0 and values.max() <= 1:
        cause = "a map of probabilities is made a mask with a threshold of 0.5, and " + cause
    count = strays.size or int((away > 0).sum())
    raise InputError(f"{path} holds {count} values that are no integers (such as {example}): {cause}")


def _box(there: Mask) -> tuple[slice, slice, slice] | None:
    """Smallest box around what is there."""
    found = []
    for axis in range(3):
        where = np.flatnonzero(there.any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(where):
            return None
        found.append(slice(int(where[0]), int(where[-1]) + 1))
    return found[0], found[1], found[2]


def shells(labels: LabelMap) -> tuple[int, ...]:
    """Labels that lie as shells of one voxel between lower and higher ones, as linear interpolation makes them.

    Rounded after it, the way from 0 to 4 passes through 1, 2 and 3. A voxel of a shell that touches something lower
    touches something higher, too. Of 29 patients with expert labels, in four conventions each, no label does so in 90 %
    of these voxels and on more than 12 % of the tumour's surface; after interpolation of BraTS labels, 1 does on 28 %
    or more. Where voxels are long, oedema may be as thin.
    """
    top = labels.present[-1]
    from_one = labels.present[0] == 1 and top == len(labels.present)
    if not from_one or top < _FEWEST or max(labels.frame.spacing) > _LONG_MM:
        return ()
    values = np.pad(labels.values, 1).astype(np.uint8)
    lowest, highest = ndimage.minimum_filter(values, 3), ndimage.maximum_filter(values, 3)
    surface = np.count_nonzero((values > 0) & (lowest == 0))
    found = {}
    for value in labels.present[:-1]:
        edge = (values == value) & (lowest < value)
        between = np.count_nonzero(edge & (highest > value))
        if between >= _SHELL_SHARE * np.count_nonzero(edge):
            found[value] = between / surface
    certain = max(found.values(), default=0.0) >= _SHELL_SURFACE
    return tuple(value for value, share in found.items() if share >= _MINOR_SURFACE) if certain else ()


_SHELL_SHARE, _SHELL_SURFACE, _MINOR_SURFACE = 0.9, 0.2, 0.05
_FEWEST, _LONG_MM = 3, 1.6


def listed(values: Iterable[int]) -> str:
    """Labels with commas between them, not too many."""
    shown = [str(int(v)) for v in values]
    return ", ".join(shown if len(shown) <= _SHOWN else [*shown[:_SHOWN], f"... ({len(shown)} in all)"])
