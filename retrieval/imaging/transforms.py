"""Between a patient and the atlas: maps that carry masks one way and densities back."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...store.frame import Frame


class SpatialMap(Protocol):
    """A correspondence between a patient's world and the atlas's world, both in RAS+ mm."""

    def to_atlas(self, data: NDArray[np.float32], source: Frame, target: Frame) -> NDArray[np.float32]:
        """Sample a patient image at the voxels of an atlas frame, linearly, 0 outside."""
        ...

    def to_patient(self, data: NDArray[np.float32], source: Frame, target: Frame) -> NDArray[np.float32]:
        """Sample an atlas image at the voxels of a patient frame, linearly, 0 outside."""
        ...

    def describe(self) -> dict[str, object]:
        """Say what it is and how it was made, for the record."""
        ...


class AffineMap:
    """An affine correspondence.

    Args:
        patient_from_atlas: (4, 4), mm of the atlas world to mm of the patient's.
        record: how it was made.
    """

    def __init__(self, patient_from_atlas: NDArray[np.float64], record: dict[str, object]) -> None:
        self.patient_from_atlas = np.asarray(patient_from_atlas, dtype=np.float64)
        self._record = record

    def to_atlas(self, data: NDArray[np.float32], source: Frame, target: Frame) -> NDArray[np.float32]:
        """See `SpatialMap`."""
        return target.resample(data, source, world_map=self.patient_from_atlas)

    def to_patient(self, data: NDArray[np.float32], source: Frame, target: Frame) -> NDArray[np.float32]:
        """See `SpatialMap`."""
        return target.resample(data, source, world_map=np.linalg.inv(self.patient_from_atlas))

    def describe(self) -> dict[str, object]:
        """See `SpatialMap`."""
        return self._record | {"patient_from_atlas_mm": self.patient_from_atlas.tolist()}


def mask_to_atlas(spatial: SpatialMap, mask: NDArray[np.bool_], source: Frame, atlas: Frame) -> NDArray[np.bool_]:
    """Carry a mask to the atlas frame, keeping its volume: a voxel belongs to it where it covers half of it or more.

    Nearest neighbour would pick one of the patient voxels that an atlas voxel holds; this averages over them. A mask
    that is already on the atlas's grid stays as it is.
    """
    values = mask.astype(np.float32)
    rough = spatial.to_atlas(values, source, atlas) > 0
    out = np.zeros(atlas.shape, bool)
    if not rough.any():
        return out
    inside = np.argwhere(rough)
    low = np.maximum(inside.min(0) - 2, 0)
    high = np.minimum(inside.max(0) + 3, atlas.shape)
    box = atlas.crop(low, high)
    cuts = max(1, math.ceil(min(atlas.spacing) / min(source.spacing) - 1e-3))
    cuts = min(cuts, _MOST_CUTS)
    fine = spatial.to_atlas(values, source, box.refined(cuts))
    i, j, k = box.shape
    share = fine.reshape(i, cuts, j, cuts, k, cuts).mean(axis=(1, 3, 5))
    out[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = share >= 0.5 - _ROUNDING
    return out


_MOST_CUTS = 4
_ROUNDING = 1e-6
