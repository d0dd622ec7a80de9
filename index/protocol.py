"""What every way of searching a store looks like from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Hits:
    """The best matches of a query, best first; equal scores are in the order of their ids.

    Args:
        ids: of the tumours, (k,) int64.
        scores: what they are ranked by, (k,) float64; for Dice the sum over both masks, 0 to 2.
        dice_core, dice_whole: Dice of each mask, (k,) float64.
        evaluated: tumours whose masks were compared voxel by voxel.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    dice_core: NDArray[np.float64]
    dice_whole: NDArray[np.float64]
    evaluated: int

    def __len__(self) -> int:
        return len(self.ids)


class Retriever(Protocol):
    """A way of searching one snapshot of a store."""

    name: str
    """As on the command line's `--method`."""

    def search(self, core: Mask, whole: Mask, k: int = 15, *, distinct: bool = False) -> Hits:
        """Find the `k` best matches of two masks on the store's frame; all tumours where there are fewer.

        With `distinct`, no more than the best tumour of each simulation.
        """
        ...
