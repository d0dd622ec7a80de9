"""How alike two masks are, by what they share and how large they are: what exact search can rank tumours by.

All rise with the voxels shared, and are computed from integers by operations that keep order, so a bound on the voxels
shared bounds them too. The authors' code has all three (IvanEz/for-loop-tumor); the paper's is Dice (003, Eq. 3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """A similarity of two masks, the larger the more alike.

    Args:
        name: one of `index_names.MetricName`.
        formula: its number in `selection.bound_scores`, which computes it for bounds.
        of: from voxels shared (n,) and the sum of both sizes (n,).
    """

    name: str
    formula: int
    of: Callable[[NDArray[np.integer], NDArray[np.integer]], Numbers]


def dice(shared: NDArray[np.integer], sizes: NDArray[np.integer]) -> Numbers:
    """2 |A∩B| / (|A| + |B|); 0 where both are empty, as in the authors' code."""
    return np.asarray(np.divide(2.0 * shared, sizes, out=np.zeros(shared.shape), where=sizes > 0))


def jaccard(shared: NDArray[np.integer], sizes: NDArray[np.integer]) -> Numbers:
    """|A∩B| / |A∪B|; 0 where both are empty."""
    return np.asarray(np.divide(shared, sizes - shared, out=np.zeros(shared.shape), where=sizes > 0))


def euclidean(shared: NDArray[np.integer], sizes: NDArray[np.integer]) -> Numbers:
    """Frobenius norm of the difference of the masks, with its sign turned: -sqrt(|A| + |B| - 2 |A∩B|)."""
    return -np.sqrt(sizes - 2.0 * shared)


DICE = Measure("dice", 0, dice)
MEASURES = {measure.name: measure for measure in (DICE, Measure("jaccard", 1, jaccard), Measure("l2", 2, euclidean))}
"""By name."""
