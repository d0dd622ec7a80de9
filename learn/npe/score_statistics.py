"""How outlines change with the numbers that make them: of a narrow round nearly all that a likelihood could tell.

Near a point, the logarithm of an image's probability depends on the image through its score: the sum over voxels of
(xᵥ - pᵥ) ∂pᵥ / pᵥ (1 - pᵥ), where pᵥ is the chance that voxel v is in the outline, and ∂pᵥ how that changes with each
number (Alsing and Wandelt 2018, Eq. 8, for a Bernoulli likelihood). Both are regressed on the simulations of a round. A
map must not be scored by slopes that it has shaped itself: it would seem to say more of its numbers than maps that were
not there, so those that were are scored by slopes of the others (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.uint8]
"""Label maps (n, i, j, k): 0 outside, 1 whole tumour, 2 core."""

Numbers = NDArray[np.float64]

OUTLINES = 1, 2  # least label of the whole, of the core


@dataclass(frozen=True)
class OutlineScores:
    """Scores of label maps.

    Args:
        weights: of voxels in both outlines, (2, d, voxels).
        offset: weighted chances, (2, d), so that scores of the maps fitted to are about 0 on average.
    """

    weights: NDArray[np.float32]
    offset: Numbers

    def __call__(self, maps: Maps) -> Numbers:
        """Score label maps (n, i, j, k), (n, 2 d)."""
        found = np.empty((len(maps), *self.offset.shape))
        for chunk, n, inside in _chunks(maps):
            found[chunk, n] = inside @ self.weights[n].T - self.offset[n]
        return found.reshape(len(maps), -1)


def fit_scores(maps: Maps, points: Numbers) -> tuple[OutlineScores, Numbers]:
    """Regress the voxels of label maps (n, i, j, k) on the points (n, d) that made them.

    Returns:
        The scores, and what they would be of each of these maps had it not been there, (n, 2 d).
    """
    spread = np.maximum(points.std(axis=0), _LEAST_SPREAD)
    beside = np.column_stack([(points - points.mean(axis=0)) / spread, np.ones(len(points))])
    ends = np.linspace(0, len(maps), min(_FOLDS, len(maps)) + 1).astype(int)
    folds = [slice(a, b) for a, b in pairwise(ends)]
    sums = [_sums(maps[fold], beside[fold]) for fold in folds]
    inner = np.sum([one[0] for one in sums], axis=0)
    outer = np.sum([one[1] for one in sums], axis=0)
    unseen = np.empty((len(maps), 2 * points.shape[1]))
    for fold, (own_inner, own_outer) in zip(folds, sums, strict=True):
        unseen[fold] = _scores_of(inner - own_inner, outer - own_outer)(maps[fold])
    return _scores_of(inner, outer), unseen


def _sums(maps: Maps, beside: Numbers) -> tuple[Numbers, Numbers]:
    """Products of what stands beside maps with itself, (d + 1, d + 1), and with their voxels, (2, d + 1, voxels)."""
    outer = np.zeros((2, beside.shape[1], maps[0].size))
    for chunk, n, inside in _chunks(maps):
        outer[n] += beside[chunk].T.astype(np.float32) @ inside
    return beside.T @ beside, outer


def _scores_of(inner: Numbers, outer: Numbers) -> OutlineScores:
    count = inner[-1, -1]
    slopes = np.linalg.solve(inner + _LEAST_SPREAD * count * np.eye(len(inner)), outer)[:, :-1]
    chance = outer[:, -1] / count
    # voxels that nearly always or hardly ever are in an outline are a matter of single maps
    sometimes = np.minimum(chance, 1 - chance) * count >= max(_FEWEST, _RARE * count)
    weights = np.where(sometimes[:, None], slopes / np.where(sometimes, chance * (1 - chance), 1)[:, None], 0)
    return OutlineScores(weights.astype(np.float32), np.einsum("ndv,nv->nd", weights, chance))


def _chunks(maps: Maps) -> Iterator[tuple[slice, int, NDArray[np.float32]]]:
    """Which maps, which outline, and whether voxels are in it (maps, voxels), a few maps at a time."""
    for start in range(0, len(maps), _AT_ONCE):
        chunk = slice(start, start + _AT_ONCE)
        flat = maps[chunk].reshape(len(maps[chunk]), -1)
        for n, label in enumerate(OUTLINES):
            yield chunk, n, (flat >= label).astype(np.float32)


_FOLDS, _AT_ONCE = 10, 64
_FEWEST, _RARE, _LEAST_SPREAD = 2, 0.005, 1e-6
