"""How the labels of a tumour lie to one another: which touch, which is outermost, which shines in a T1c."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...store.frame import Frame
from ...store.nifti import Image
from .label_values import LabelMap

_OUTSIDE, _FIRST = 0, 1  # rows of the table of contacts: healthy tissue around, then one a label, then enclosed holes
_MARGIN_VOXELS = 10  # around the tumour, for the brightness of the brain next to it
_BRAIN_SAMPLES = 40_000  # of that brain, enough for quartiles to three digits


@dataclass(frozen=True, eq=False)
class LabelGeometry:
    """Contacts of the labels of one tumour, in mm² of voxel faces.

    Holes within the tumour are no healthy tissue: HD-GLIO leaves necrosis unlabelled.

    Args:
        labels: the labels, n of them.
        voxels: number of voxels by label.
        contact: (n + 2, n + 2), area between what is around, the labels in their order, and enclosed holes.
        brightness: of each label in a T1c: its median, in robust standard deviations of the brain around the tumour
            from its median; empty without a T1c.
        voxel_mm3: volume of a voxel.
    """

    labels: tuple[int, ...]
    voxels: Mapping[int, int]
    contact: NDArray[np.float64]
    brightness: Mapping[int, float]
    voxel_mm3: float

    def area(self, of: Iterable[int], to: Iterable[int]) -> float:
        """Area (mm²) where one set of labels touches another."""
        return float(self.contact[np.ix_(self._rows(of), self._rows(to))].sum())

    def exposure(self, of: Iterable[int]) -> float:
        """Share of the surface of a set of labels that borders on what is around the tumour."""
        inside = self._rows(of)
        others = [row for row in range(len(self.contact)) if row not in inside]
        surface = float(self.contact[np.ix_(inside, others)].sum())
        return float(self.contact[inside, _OUTSIDE].sum()) / surface if surface else 0.0

    def outwardness(self, of: Iterable[int], than: Iterable[int]) -> float:
        """How much more of one set's surface is exposed than of another's, in [-1, 1]."""
        return self.exposure(of) - self.exposure(than)

    def enclosure(self, of: int, by: int) -> float:
        """Share of a label's surface that another label covers."""
        row = self._rows([of])[0]
        surface = float(self.contact[row].sum())
        return self.area([of], [by]) / surface if surface else 0.0

    def thickness(self, of: int, on: Iterable[int]) -> float:
        """Volume of a label over the area that it shares with others (mm): how thick a layer on them it is."""
        area = self.area([of], on)
        return self.voxels[of] * self.voxel_mm3 / area if area else np.inf

    def _rows(self, labels: Iterable[int]) -> list[int]:
        return [_FIRST + self.labels.index(value) for value in labels]


def measure(labels: LabelMap, t1c: Image | None = None) -> LabelGeometry:
    """Measure how the labels lie.

    Args:
        labels: of a tumour, cropped to it.
        t1c: T1 after contrast of the patient, on any grid, in the same space.
    """
    present = labels.present
    rows = np.searchsorted(present, labels.values) + _FIRST
    padded = np.pad(np.where(labels.values == 0, _OUTSIDE, rows), 1)
    hole = len(present) + _FIRST
    padded[ndimage.binary_fill_holes(padded > 0) & (padded == 0)] = hole
    contact = _contacts(padded, hole + 1, np.asarray(labels.frame.spacing))
    counts = {value: int(n) for value, n in labels.counts.items()}
    shine = {} if t1c is None else brightness(labels, t1c)
    return LabelGeometry(present, counts, contact, shine, 1000.0 * labels.frame.voxel_ml)


def _contacts(rows: NDArray[np.intp], kinds: int, spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of the faces between voxels of different kinds, both ways."""
    found = np.zeros((kinds, kinds))
    for axis in range(3):
        along = np.moveaxis(rows, axis, 0)
        low, high = along[:-1], along[1:]
        different = low != high
        pairs = low[different] * kinds + high[different]
        face = float(np.prod(spacing) / spacing[axis])
        found += face * np.bincount(pairs, minlength=kinds * kinds).reshape(kinds, kinds)
    return np.asarray(found + found.T)


def brightness(labels: LabelMap, t1c: Image) -> dict[int, float]:
    """Measure how bright labels are in a T1c: their medians against the brain around the tumour.

    Args:
        labels: of a tumour, cropped to it.
        t1c: T1 after contrast of the patient, on any grid, in the same space.

    Returns:
        robust standard deviations from the median of the brain, by label; empty where the T1c does not cover them.
    """
    around = np.pad(labels.values, _MARGIN_VOXELS)
    stride = max(1, int((around.size / _BRAIN_SAMPLES) ** (1 / 3)))
    grid = np.stack(np.meshgrid(*(np.arange(0, n, stride) for n in around.shape), indexing="ij"), -1).reshape(-1, 3)
    grid = grid[around[tuple(grid.T)] == 0]
    brain = _sampled(t1c, labels.frame, grid - _MARGIN_VOXELS)
    brain = brain[brain != _background(t1c)]
    if len(brain) < _ENOUGH:
        return {}
    low, middle, high = np.percentile(brain, (25, 50, 75))
    spread = (high - low) / _QUARTILES_APART
    if not spread > 0:
        return {}
    found = {}
    for value in labels.present:
        inside = _sampled(t1c, labels.frame, np.argwhere(labels.values == value))
        if not len(inside):
            return {}
        found[value] = float((np.median(inside) - middle) / spread)
    return found


_ENOUGH = 100  # samples of brain
_QUARTILES_APART = 1.349  # standard deviations of a normal distribution


def _sampled(image: Image, frame: Frame, voxels: NDArray[np.int_]) -> NDArray[np.float64]:
    """Finite values of the nearest voxels of an image at voxels of a frame, those beyond its edges left out."""
    there = np.rint(image.frame.voxel(frame.world(voxels))).astype(np.int_)
    there = there[((there >= 0) & (there < image.frame.shape)).all(1)]
    values = np.asarray(image.data[tuple(there.T)], np.float64)
    return np.asarray(values[np.isfinite(values)])


def _background(image: Image) -> float:
    """Most frequent value at the corners, which no brain reaches."""
    corners = np.asarray(image.data[np.ix_(*([0, -1] for _ in range(3)))], np.float64)
    values, counts = np.unique(corners, return_counts=True)
    return float(values[counts.argmax()])
