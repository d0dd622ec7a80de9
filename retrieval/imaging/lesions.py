"""Separate pieces of a tumour, as one simulated tumour grows from one place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .label_values import Mask
from .segmentation import Segmentation

_NEIGHBOURS = np.ones((3, 3, 3), bool)  # corners join: 26 of them


@dataclass(frozen=True, eq=False)
class Lesion:
    """One connected piece of a mask.

    Args:
        volume_ml: its volume.
        centre: centre of mass, (3,) in mm of world space.
        box: where it lies on the segmentation's grid.
        voxels: boolean, of the box.
    """

    volume_ml: float
    centre: NDArray[np.float64]
    box: tuple[slice, slice, slice]
    voxels: Mask

    def mask(self, shape: tuple[int, int, int]) -> Mask:
        """Put the piece on the segmentation's grid, of that shape."""
        found = np.zeros(shape, bool)
        found[self.box] = self.voxels
        return found


@dataclass(frozen=True)
class Lesions:
    """Pieces of both masks, largest first.

    Args:
        core, whole: pieces of each mask.
    """

    core: tuple[Lesion, ...]
    whole: tuple[Lesion, ...]


def lesions(segmentation: Segmentation) -> Lesions:
    """Find the connected pieces of both masks, voxels that touch at a corner joined.

    Args:
        segmentation: of a patient.
    """
    return Lesions(_pieces(segmentation.core, segmentation), _pieces(segmentation.whole, segmentation))


def _pieces(mask: Mask, segmentation: Segmentation) -> tuple[Lesion, ...]:
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes or boxes[0] is None:
        return ()
    outer = boxes[0]
    corner = np.array([side.start for side in outer])
    numbered, _ = ndimage.label(mask[outer], _NEIGHBOURS)
    found = []
    for number, inner in enumerate(ndimage.find_objects(numbered), start=1):
        voxels = numbered[inner] == number
        low = corner + [side.start for side in inner]
        box = tuple(slice(int(a), int(a) + n) for a, n in zip(low, voxels.shape, strict=True))
        centre = segmentation.frame.world(low + np.argwhere(voxels).mean(0))
        volume = float(np.count_nonzero(voxels)) * segmentation.frame.voxel_ml
        found.append(Lesion(volume, centre, (box[0], box[1], box[2]), voxels))
    return tuple(sorted(found, key=lambda lesion: -lesion.volume_ml))
