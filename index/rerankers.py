"""What a few candidates can be put in the order of, when to compare all tumours so would take minutes.

Both are in the code of the paper's authors (IvanEz/for-loop-tumor: `hd`, `bern`), summed over core and whole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from ..store.frame import Frame
from ..store.quantization import level_of
from ..store.reader import TumorStore
from .protocol import Mask

Ranking = Callable[[NDArray[np.int64], Mask, Mask], NDArray[np.float64]]
"""Scores of tumours for the masks core and whole, (n,): the largest is the best."""

RANKED = 200
"""Candidates that are put in order where nobody says how many."""


def hausdorff_ranking(store: TumorStore) -> Ranking:
    """Rank by the 95 % Hausdorff distance of the masks, in mm, with its sign turned."""

    def scores(ids: NDArray[np.int64], core: Mask, whole: Mask) -> NDArray[np.float64]:
        queries = [Surface(mask, store.frame) for mask in (core, whole)]
        found = np.zeros(len(ids))
        for n, tumour in enumerate(ids.tolist()):
            integers = store.integers(tumour)
            for query, name in zip(queries, ("core", "whole"), strict=True):
                found[n] -= query.distance(Surface(integers >= level_of(store.thresholds[name]), store.frame))
        return found

    return scores


def bernoulli_ranking(store: TumorStore) -> Ranking:
    """Rank by the probability that MRI shows a voxel (Ezhov et al. 2021, Eq. 6, σ_α = 1), summed over the masks."""

    def scores(ids: NDArray[np.int64], core: Mask, whole: Mask) -> NDArray[np.float64]:
        found = np.zeros(len(ids))
        for n, tumour in enumerate(ids.tolist()):
            density = store.density(tumour)
            for mask, name in ((core, "core"), (whole, "whole")):
                found[n] += bernoulli_score(density, mask, store.thresholds[name])
        return found

    return scores


RANKINGS: dict[str, Callable[[TumorStore], Ranking]] = {
    "hausdorff": hausdorff_ranking,
    "bernoulli": bernoulli_ranking,
}
"""By name, see `index_names.MetricName`."""


def bernoulli_score(density: NDArray[np.float32], mask: Mask, threshold: float) -> float:
    """Sum over a mask of ½ + ½ sgn(d) (1 − exp(−d²)), d the density less the threshold.

    As in the authors' code only voxels of the mask count, so nothing speaks against a tumour that is too large; the
    likelihood of the paper (Eq. 5) counts those outside, too.
    """
    apart = density[mask].astype(np.float64) - threshold
    return float((0.5 + 0.5 * np.sign(apart) * -np.expm1(-(apart**2))).sum())


class Surface:
    """The voxels of a mask that have a neighbour outside, as points in mm."""

    def __init__(self, mask: Mask, frame: Frame) -> None:
        self._diagonal = float(np.linalg.norm(np.array(frame.shape) * frame.spacing))
        inside = np.argwhere(mask)
        if not len(inside):
            self._points = np.zeros((0, 3))
            return
        box = tuple(slice(low, high) for low, high in zip(inside.min(0), inside.max(0) + 1, strict=True))
        tight = np.pad(mask[box], 1)
        border = np.argwhere(tight & ~binary_erosion(tight)) + inside.min(0) - 1
        self._points = frame.world(border)
        self._tree = cKDTree(self._points)

    def distance(self, other: Surface) -> float:
        """95 % Hausdorff distance in mm: the larger of the 95th percentiles of both surfaces' distances to the other.

        0 between two empty masks, the frame's diagonal between an empty and another one.
        """
        if not len(self._points) or not len(other._points):
            return 0.0 if len(self._points) == len(other._points) else self._diagonal
        there, back = self._tree.query(other._points)[0], other._tree.query(self._points)[0]
        return float(max(np.percentile(there, 95), np.percentile(back, 95)))
