"""What a label map of two outlines says, in a few numbers: what a neural posterior is told of an observation.

Stated, because a posterior given these numbers is all that such a network can find. Of both outlines: the logarithm of
the volume, the centre of mass and the spread along each axis. Besides, if wanted, for each number that is asked for its
linear regression on both outlines in cells of 2 x 2 x 2 voxels, over the simulations of the same round (a posterior
mean is the summary that loses least: Fearnhead and Prangle 2012). Regressions see more, but of outlines that no
simulation has they say anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.uint8]
"""Label maps (n, i, j, k): 0 outside, 1 whole tumour, 2 core."""

Numbers = NDArray[np.float64]

CELL = 2
"""Voxels along each side of a cell."""


@dataclass(frozen=True)
class LabelEmbedding:
    """Numbers of label maps, standardised over the maps that it was fitted to.

    Args:
        mean: of their cells, (c,).
        weights: of the regressions, (c, d); d is 0 without any.
        centre, spread: mean and standard deviation of the d + 14 numbers.
    """

    mean: NDArray[np.float32]
    weights: NDArray[np.float32]
    centre: Numbers
    spread: Numbers

    def __call__(self, maps: Maps) -> NDArray[np.float32]:
        """Reduce label maps (n, i, j, k) to (n, d + 14) numbers."""
        numbers = _moments_of(maps)
        if self.weights.size:
            numbers = np.column_stack([(_cells_of(maps) - self.mean) @ self.weights, numbers])
        return self.standardised(numbers)

    def standardised(self, numbers: Numbers) -> NDArray[np.float32]:
        """Centre numbers and put them over their spread; those that never changed are 0: nothing is learned of them."""
        changes = self.spread > _LEAST_SPREAD
        return np.where(changes, (numbers - self.centre) / self.spread, 0.0).astype(np.float32)


def fit_embedding(
    maps: Maps, targets: Numbers, seed: int, *, regress: bool = True
) -> tuple[LabelEmbedding, NDArray[np.float32]]:
    """Fit an embedding to label maps (n, i, j, k) and what made them (n, d), with regressions or without.

    Returns:
        The embedding, for other maps, and the numbers of these maps, (n, d + 14): each from a regression that has not
        seen it, or they would say more than the numbers of others do.
    """
    moments = _moments_of(maps)
    if regress:
        mean, weights, unseen = _regressions(maps, targets, seed)
        moments = np.column_stack([unseen, moments])
    else:
        mean, weights = np.empty(0, np.float32), np.empty((0, 0), np.float32)
    centre, spread = moments.mean(axis=0), np.maximum(moments.std(axis=0), _LEAST_SPREAD)
    embedding = LabelEmbedding(mean, weights, centre, spread)
    return embedding, embedding.standardised(moments)


def _regressions(maps: Maps, targets: Numbers, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32], Numbers]:
    """Regress targets on cells: the cells' mean (c,), weights (c, d), and what each map is predicted unseen (n, d)."""
    cells = _cells_of(maps)
    mean = cells.mean(axis=0)
    cells -= mean
    wanted = (targets - targets.mean(axis=0)) / np.maximum(targets.std(axis=0), _LEAST_SPREAD)
    products = (cells @ cells.T).astype(np.float64)  # of few maps with many cells, all that a regression needs
    folds = np.random.default_rng(seed).permutation(len(maps)) % _FOLDS
    penalties = _PENALTIES * np.trace(products) / len(maps)
    unseen = np.stack([_unseen(products, wanted, folds, penalty) for penalty in penalties])
    best = ((unseen - wanted) ** 2).mean(axis=1).argmin(axis=0)
    columns = np.arange(wanted.shape[1])
    weights = np.empty((cells.shape[1], len(columns)), np.float32)
    for penalty in np.unique(best):
        solved = _solve(products, wanted[:, best == penalty], penalties[penalty])
        weights[:, best == penalty] = cells.T @ solved.astype(np.float32)
    return mean, weights, unseen[best, :, columns].T


def _unseen(products: Numbers, wanted: Numbers, folds: NDArray[np.int64], penalty: float) -> Numbers:
    """Predict every row by a ridge regression on the rows of the other folds."""
    found = np.empty_like(wanted)
    for fold in range(_FOLDS):
        seen = folds != fold
        solved = _solve(products[np.ix_(seen, seen)], wanted[seen], penalty)
        found[~seen] = products[np.ix_(~seen, seen)] @ solved
    return found


def _solve(products: Numbers, wanted: Numbers, penalty: float) -> Numbers:
    return np.asarray(np.linalg.solve(products + max(penalty, _LEAST_SPREAD) * np.eye(len(products)), wanted))


def _cells_of(maps: Maps) -> NDArray[np.float32]:
    """Share of both outlines in every cell, (n, 2 c)."""
    padded = np.pad(maps, [(0, 0), *((0, -n % CELL) for n in maps.shape[1:])])
    count, *shape = padded.shape
    i, j, k = (n // CELL for n in shape)
    split = padded.reshape(count, i, CELL, j, CELL, k, CELL)
    shares = [(split >= label).mean(axis=(2, 4, 6), dtype=np.float32).reshape(count, -1) for label in (1, 2)]
    return np.concatenate(shares, axis=1)


def _moments_of(maps: Maps) -> Numbers:
    """Volume, centre and spread of both outlines, (n, 14): logarithm of voxels (one more, so that none is infinite),
    and voxels; an empty outline has the middle of the map for its centre, and no spread.
    """
    axes = [np.arange(n, dtype=np.float64) for n in maps.shape[1:]]
    found = np.empty((len(maps), 14))
    for row, label_map in zip(found, maps, strict=True):
        for n, label in enumerate((1, 2)):
            mask = label_map >= label
            count = np.count_nonzero(mask)
            row[n] = np.log1p(count)
            for axis, places in enumerate(axes):
                along = mask.sum(axis=tuple(a for a in range(3) if a != axis))
                centre = (along @ places) / count if count else places.mean()
                variance = (along @ (places - centre) ** 2) / count if count else 0.0
                row[2 + 3 * n + axis], row[8 + 3 * n + axis] = centre, np.sqrt(variance)
    return found


_FOLDS, _PENALTIES = 5, np.logspace(-4, 2, 10)
_LEAST_SPREAD = 1e-6
