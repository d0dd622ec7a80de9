"""The grids that masks are compared on: the store's, or the coarser DS64 and DS32 (Ezhov et al. 2022, Table 1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PAPERS_EDGE = 128
"""Voxels along an axis of the frame that the coarse grids are named after."""


@dataclass(frozen=True)
class Grid:
    """Which voxels of a frame are looked at.

    Args:
        name: of the method that compares masks on it.
        edge: voxels that it keeps along an axis of 128, of other axes as large a share; None keeps all.
    """

    name: str
    edge: int | None = None

    def picks(self, shape: tuple[int, int, int]) -> list[NDArray[np.intp]] | None:
        """Find the voxels kept along each axis: those of `scipy.ndimage.zoom(..., order=0)`; None keeps all.

        First and last stay, what is between is the nearest to even spacing. The authors zoom the density and then
        apply thresholds, and zoom the patient's masks; to pick voxels is the same for both.
        """
        if self.edge is None:
            return None
        return [_picked(n, max(1, round(n * self.edge / _PAPERS_EDGE))) for n in shape]

    def shape(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """Size of this grid on a frame of such a shape."""
        picks = self.picks(shape)
        return shape if picks is None else (len(picks[0]), len(picks[1]), len(picks[2]))

    def of(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of a frame on this grid."""
        picks = self.picks((values.shape[0], values.shape[1], values.shape[2]))
        return values if picks is None else values[np.ix_(*picks)]


FULL, DS64, DS32 = Grid("dice"), Grid("ds64", 64), Grid("ds32", 32)


def _picked(size: int, kept: int) -> NDArray[np.intp]:
    step = (size - 1) / (kept - 1) if kept > 1 else 0.0
    return np.asarray(np.floor(np.arange(kept) * step + 0.5), np.intp)
