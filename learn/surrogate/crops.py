"""What a network that stands in for the solver looks at: the anatomy around a seed, turned any way that a cube can be.

Growth knows no directions: a tumour in the mirror image of a brain is the mirror image of the tumour.
"""

from __future__ import annotations

from itertools import permutations, product
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...simulate import FisherKolmogorovSettings
from ...store.atlas import Atlas
from .surrogate_configs import Sees

Volume = NDArray[np.float32]
Kind = TypeVar("Kind", bound=np.generic)
Voxel = tuple[int, int, int]

SYMMETRIES = tuple((order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3))
"""Of a cube: an order of its axes, and which of them are reversed then; the first changes nothing."""


def anatomy_maps(atlas: Atlas, settings: FisherKolmogorovSettings, sees: Sees) -> Volume:
    """Choose the maps of an atlas that a network sees, (channels, *frame)."""
    if sees == "csf":
        return atlas.csf[None]
    if sees == "tissue":
        return np.stack([atlas.white, atlas.grey, atlas.csf])
    return relative_diffusivity(atlas, settings)[None]


def passable(atlas: Atlas, settings: FisherKolmogorovSettings, sees: Sees) -> Volume:
    """Relative diffusivity as far as a network may know it: with CSF alone, all else conducts as white matter."""
    return 1 - atlas.csf if sees == "csf" else relative_diffusivity(atlas, settings)


def relative_diffusivity(atlas: Atlas, settings: FisherKolmogorovSettings) -> Volume:
    """Diffusivity of every voxel over that of white matter; 0 outside the tissue."""
    white, grey = atlas.white, atlas.grey
    if settings.tissue_fractions == "renormalised":
        total = np.where(atlas.tissue, white + grey, 1)
        white, grey = white / total, grey / total
    return np.where(atlas.tissue, white + grey / settings.grey_ratio, 0).astype(np.float32)


def corner_of(centre: NDArray[np.float64], crop: int) -> Voxel:
    """First voxel of the crop around the voxel nearest to a point in voxels."""
    x, y, z = (int(v) - crop // 2 for v in np.floor(centre + 0.5))
    return x, y, z


def cropped(values: NDArray[Kind], corner: Voxel, crop: int) -> NDArray[Kind]:
    """Cut a crop out of the last three axes; what lies beyond the frame is 0."""
    found = np.zeros((*values.shape[:-3], crop, crop, crop), values.dtype)
    taken: list[Any] = [...]
    put: list[Any] = [...]
    for first, size in zip(corner, values.shape[-3:], strict=True):
        low, high = min(max(first, 0), size), min(max(first + crop, 0), size)
        taken.append(slice(low, high))
        put.append(slice(low - first, high - first))
    found[tuple(put)] = values[tuple(taken)]
    return found


def distances(centre: NDArray[np.float64], corner: Voxel, crop: int) -> Volume:
    """Distance of every voxel of a crop from a point, in voxels."""
    squares = [(np.arange(a, a + crop) - c) ** 2 for a, c in zip(corner, centre, strict=True)]
    return np.asarray(np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2]), np.float32)


def turned(values: NDArray[Kind], symmetry: int) -> NDArray[Kind]:
    """Apply one of `SYMMETRIES` to the last three axes of cubes."""
    order, signs = SYMMETRIES[symmetry]
    lead = values.ndim - 3
    turns: tuple[Any, ...] = (..., *(slice(None, None, sign) for sign in signs))
    found: NDArray[Kind] = values.transpose(*range(lead), *(lead + axis for axis in order))[turns]
    return found
