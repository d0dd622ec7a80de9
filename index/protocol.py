"""What every way of searching a store looks like from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Hits:
    """The best matches of a query, best first; equal scores are in the order of their ids.

    Args:
        ids: of the tumours, (k,) int64.
        scores: what they are ranked by, (k,) float64; for Dice the sum over both masks, 0 to 2.
        dice_core, dice_whole: Dice of each mask, (k,) float64.
        evaluated: tumours whose masks were compared voxel by voxel.
        thresholds: of core and whole at which each was compared, (2, k); None where they are the store's.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    dice_core: NDArray[np.float64]
    dice_whole: NDArray[np.float64]
    evaluated: int
    thresholds: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.ids)


def check_query(shape: tuple[int, int, int], core: Mask, whole: Mask, k: int = 1) -> None:
    """Refuse what cannot be searched for on a frame of such a shape.

    Raises:
        InputError: a mask is not boolean or not on the frame, or k < 1.
    """
    for label, mask in (("core", core), ("whole", whole)):
        if mask.shape != shape or mask.dtype != np.bool_:
            raise InputError(
                f"{label} must be a boolean array on the store's frame {shape}, not {mask.dtype} {mask.shape}"
            )
    if k < 1:
        raise InputError(f"k must be at least 1, not {k}")


def best_of(
    chosen: NDArray[np.int64], scores: NDArray[np.float64], k: int, runs: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Places of the `k` best scores, best first, equal ones by id.

    Args:
        chosen: positions of tumours in their snapshot.
        scores: theirs.
        k: how many places.
        runs: for each position of the snapshot its simulation, to return only the best of each.
    """
    order = np.lexsort((chosen, -scores))
    if runs is not None:
        order = order[np.sort(np.unique(runs[chosen[order]], return_index=True)[1])]
    return np.asarray(order[:k])


class Retriever(Protocol):
    """A way of searching one snapshot of a store."""

    name: str
    """One of `index_names.IndexName`."""

    def search(self, core: Mask, whole: Mask, k: int = 15, *, distinct: bool = False) -> Hits:
        """Find the `k` best matches of two masks on the store's frame; all tumours where there are fewer.

        With `distinct`, no more than the best tumour of each simulation.
        """
        ...
