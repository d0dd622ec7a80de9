"""One pass over all tumours' bounds: their scores, the largest of them, and those that still reach a score."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True, error_model="numpy")
def bound_scores(
    formula: int, shared: NDArray[np.uint32], sizes: NDArray[np.int64], asked: tuple[int, int]
) -> NDArray[np.float64]:
    """Scores of all tumours if they shared as much with the query as their bounds say, (n,).

    Rounds as `measures.py` does, step by step: a bound that is equal to a score compares as equal.

    Args:
        formula: `Measure.formula`.
        shared: bound of core and whole, (2, n).
        sizes: voxels of the tumours' core and whole, (2, n).
        asked: voxels of the query's.
    """
    found = np.zeros(shared.shape[1])
    for m in range(2):
        for n in range(shared.shape[1]):
            both, total = float(shared[m, n]), float(sizes[m, n] + asked[m])
            if formula == 0:
                found[n] += 2.0 * both / total if total > 0 else 0.0
            elif formula == 1:
                found[n] += both / (total - both) if total > 0 else 0.0
            else:
                found[n] += -np.sqrt(total - 2.0 * both)
    return found


@njit(cache=True, nogil=True)
def largest(values: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Places of the `k` largest values, in no order; `k` is at most their number."""
    places = np.arange(k)
    if k == 0:
        return places
    kept = values[:k].copy()
    least = np.argmin(kept)
    for n in range(k, values.size):
        if values[n] > kept[least]:
            kept[least], places[least] = values[n], n
            least = np.argmin(kept)
    return places


@njit(cache=True, nogil=True)
def reaching(values: NDArray[np.float64], score: float, without: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the values that are at least `score`, ascending, but not those of `without`."""
    left_out = np.zeros(values.size, np.bool_)
    left_out[without] = True
    found = np.empty(values.size, np.int64)
    count = 0
    for n in range(values.size):
        if values[n] >= score and not left_out[n]:
            found[count] = n
            count += 1
    return found[:count].copy()
