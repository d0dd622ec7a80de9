"""How far a density that is said is from one that is simulated, as Ezhov et al. (2021) compare them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..learn.surrogate.crops import corner_of
from ..simulate import GrowthParameters
from ..store.atlas import Atlas
from ..store.frame import Frame

Row = dict[str, Any]
Volume = NDArray[np.float32]

LEVELS = (0.2, 0.4, 0.8)
"""Densities at which outlines are compared (Ezhov et al. 2021, Fig. 7)."""

TISSUES = ("white", "grey", "csf")
CROP = 64
"""Voxels along each edge of the cube around the seed that densities are compared in (Ezhov et al. 2021, §II.2)."""

MOSTLY = 0.5
"""Share of a voxel from which it counts as a tissue's."""


def crop_slices(frame: Frame, parameters: GrowthParameters) -> tuple[slice, ...]:
    """Voxels of a frame that lie in the cube around a seed."""
    corner = corner_of(frame.voxel(parameters.seed_mm), CROP)
    return tuple(slice(max(a, 0), min(a + CROP, size)) for a, size in zip(corner, frame.shape, strict=True))


def density_errors(said: Volume, truth: Volume, atlas: Atlas, inside: tuple[slice, ...]) -> Row:
    """Compare densities as Ezhov et al. (2021) do.

    Returns:
        Dice of what is denser than each of `LEVELS`, None where nothing is in either; mean absolute error in each
        tissue, of voxels where either has tumour, None where there is none.
    """
    off, there = np.abs(said - truth), (truth >= _TINY) | (said >= _TINY)
    row: Row = {}
    for level in LEVELS:
        a, b = said > np.float32(level), truth > np.float32(level)
        total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
        row[f"dice_{level:g}"] = 2 * int(np.count_nonzero(a & b)) / total if total else None
    for name in TISSUES:
        where = there & (getattr(atlas, name)[inside] >= MOSTLY)
        row[f"mae_{name}"] = float(off[where].mean(dtype=np.float64)) if where.any() else None
    return row


def known(rows: list[Row], name: str) -> NDArray[np.float64]:
    """Values of a column, of those rows that have one."""
    return np.array([row[name] for row in rows if row.get(name) is not None], np.float64)


_TINY = 0.001
