"""What a label map of two outlines says, in a few numbers: what a neural posterior is told of an observation.

Stated, because a posterior given these numbers is all that such a network can find. Of both outlines: the logarithm of
the volume, the centre of mass and the spread along each axis. Besides, if wanted, how much of each outline lies in each
of a few shells: voxels that are in the outline about equally often over the simulations of the same round. Where images
are noisy, these shares tell the steepness of the density, and of a narrow round nearly all that a likelihood could; of
outlines that no simulation has they say little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.uint8]
"""Label maps (n, i, j, k): 0 outside, 1 whole tumour, 2 core."""

Numbers = NDArray[np.float64]

SHELLS = 8
"""Of each outline."""

MOMENTS = 14
"""Numbers of both outlines' volume, centre and spread."""

_OUTLINES = 1, 2  # least label of the whole, of the core


@dataclass(frozen=True)
class LabelEmbedding:
    """Numbers of label maps, standardised over the maps that it was fitted to.

    Args:
        shells: of each voxel, for whole and core, (2, voxels); `SHELLS` where it is in none; (2, 0) without any.
        sizes: voxels of each shell, (2, SHELLS).
        centre, spread: mean and standard deviation of the numbers, (p,).
    """

    shells: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    centre: Numbers
    spread: Numbers

    def __call__(self, maps: Maps) -> NDArray[np.float32]:
        """Reduce label maps (n, i, j, k) to (n, p) numbers."""
        numbers = _numbers_of(maps, self.shells, self.sizes)
        # of what never changed nothing is learned
        return np.where(self.spread > _LEAST_SPREAD, (numbers - self.centre) / self.spread, 0.0).astype(np.float32)


def fit_embedding(maps: Maps, *, shells: bool = True) -> LabelEmbedding:
    """Fit an embedding to label maps (n, i, j, k), with shells or without."""
    which = _shells_of(maps) if shells else np.empty((2, 0), np.uint8)
    sizes = np.stack([np.bincount(row, minlength=SHELLS + 1)[:SHELLS] for row in which])
    numbers = _numbers_of(maps, which, sizes)
    return LabelEmbedding(which, sizes, numbers.mean(axis=0), np.maximum(numbers.std(axis=0), _LEAST_SPREAD))


def _shells_of(maps: Maps) -> NDArray[np.uint8]:
    """Sort the voxels that are in an outline now and then by how often they are, into shells of equal size.

    Of those that nearly always or hardly ever are, a share is a matter of single maps, and left out.
    """
    few = max(_FEWEST, round(_RARE * len(maps)))
    found = np.full((2, maps[0].size), SHELLS, np.uint8)
    for row, label in zip(found, _OUTLINES, strict=True):
        often = np.zeros(maps.shape[1:], np.int32)
        for label_map in maps:
            often += label_map >= label
        flat = often.reshape(-1)
        sometimes = np.flatnonzero((flat >= few) & (flat <= len(maps) - few))
        ordered = sometimes[np.argsort(flat[sometimes], kind="stable")]
        for shell, voxels in enumerate(np.array_split(ordered, SHELLS)):
            row[voxels] = shell
    return found


def _numbers_of(maps: Maps, shells: NDArray[np.uint8], sizes: NDArray[np.int64]) -> Numbers:
    """Moments of every map, and the share of each shell that is in the outline, (n, p)."""
    moments = _moments_of(maps)
    if not shells.size:
        return moments
    shares = np.empty((len(maps), 2, SHELLS))
    for row, label_map in zip(shares, maps, strict=True):
        flat = label_map.reshape(-1)
        for n, label in enumerate(_OUTLINES):
            row[n] = np.bincount(shells[n][flat >= label], minlength=SHELLS + 1)[:SHELLS]
    return np.column_stack([moments, (shares / np.maximum(sizes, 1)).reshape(len(maps), -1)])


def _moments_of(maps: Maps) -> Numbers:
    """Volume, centre and spread of both outlines, (n, 14): logarithm of voxels (one more, so that none is infinite),
    and voxels; an empty outline has the middle of the map for its centre, and no spread.
    """
    axes = [np.arange(n, dtype=np.float64) for n in maps.shape[1:]]
    found = np.empty((len(maps), MOMENTS))
    for row, label_map in zip(found, maps, strict=True):
        for n, label in enumerate(_OUTLINES):
            mask = label_map >= label
            count = np.count_nonzero(mask)
            row[n] = np.log1p(count)
            for axis, places in enumerate(axes):
                along = mask.sum(axis=tuple(a for a in range(3) if a != axis))
                centre = (along @ places) / count if count else places.mean()
                variance = (along @ (places - centre) ** 2) / count if count else 0.0
                row[2 + 3 * n + axis], row[8 + 3 * n + axis] = centre, np.sqrt(variance)
    return found


_LEAST_SPREAD, _FEWEST, _RARE = 1e-6, 2, 0.005
