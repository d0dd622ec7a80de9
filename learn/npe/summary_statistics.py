"""What a label map of two outlines says, in a few numbers: what a neural posterior is told of an observation.

Stated, because a posterior given these numbers is all that such a network can find. Of both outlines: the logarithm of
the volume, the centre of mass and the spread along each axis. Besides, if wanted, their scores (see `outline_scores`).
Where images are like those simulated, scores tell what moments leave out, such as the steepness of the density that a
noisy outline shows; of outlines that no simulation has they say little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .score_statistics import OUTLINES, Maps, Numbers, OutlineScores, fit_scores

MOMENTS = 14
"""Numbers of both outlines' volume, centre and spread."""

Embedded = NDArray[np.float32]


@dataclass(frozen=True)
class LabelEmbedding:
    """Numbers of label maps, standardised over the maps that it was fitted to.

    Args:
        scores: of outlines, if they are wanted.
        centre, spread: mean and standard deviation of the numbers, (p,).
    """

    scores: OutlineScores | None
    centre: Numbers
    spread: Numbers

    def __call__(self, maps: Maps) -> Embedded:
        """Reduce label maps (n, i, j, k) to (n, p) numbers."""
        moments = moments_of(maps)
        numbers = np.column_stack([moments, self.scores(maps)]) if self.scores else moments
        return _over(self.centre, self.spread, numbers)


def fit_embedding(maps: Maps, points: Numbers, *, scores: bool = True) -> tuple[LabelEmbedding, Embedded]:
    """Fit an embedding to label maps (n, i, j, k) and the points (n, d) that made them.

    Returns:
        The embedding, and the numbers of these maps as if it had been fitted to the others, (n, p).
    """
    numbers, found = moments_of(maps), None
    if scores:
        found, unseen = fit_scores(maps, points)
        numbers = np.column_stack([numbers, unseen])
    embedding = LabelEmbedding(found, numbers.mean(axis=0), numbers.std(axis=0))
    return embedding, standardised(numbers, numbers)


def standardised(numbers: Numbers, over: Numbers) -> Embedded:
    """Numbers (n, p) less the mean of others (m, p), over their spread; of those that never changed nothing is told."""
    return _over(over.mean(axis=0), over.std(axis=0), numbers)


def _over(centre: Numbers, spread: Numbers, numbers: Numbers) -> Embedded:
    found = (numbers - centre) / np.maximum(spread, _LEAST_SPREAD)
    return np.where(spread > _LEAST_SPREAD, found, 0.0).astype(np.float32)


def moments_of(maps: Maps) -> Numbers:
    """Volume, centre and spread of both outlines, (n, 14): logarithm of voxels (one more, so that none is infinite),
    and voxels; an empty outline has the middle of the map for its centre, and no spread.
    """
    axes = [np.arange(n, dtype=np.float64) for n in maps.shape[1:]]
    found = np.empty((len(maps), MOMENTS))
    for row, label_map in zip(found, maps, strict=True):
        for n, label in enumerate(OUTLINES):
            mask = label_map >= label
            count = np.count_nonzero(mask)
            row[n] = np.log1p(count)
            for axis, places in enumerate(axes):
                along = mask.sum(axis=tuple(a for a in range(3) if a != axis))
                centre = (along @ places) / count if count else places.mean()
                variance = (along @ (places - centre) ** 2) / count if count else 0.0
                row[2 + 3 * n + axis], row[8 + 3 * n + axis] = centre, np.sqrt(variance)
    return found


_LEAST_SPREAD = 1e-6
