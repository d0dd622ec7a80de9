"""Whether walks have forgotten their beginning, and repeats agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def effective_samples(walks: Numbers) -> Numbers:
    """Effective number of samples in walks (walks, steps, d): how long they remember their beginning; (d,).

    Autocorrelations are summed in pairs while they are positive (Geyer 1992), and taken over all walks together.
    """
    count, steps, numbers = walks.shape
    centred = walks - walks.reshape(-1, numbers).mean(axis=0)
    variance = np.maximum((centred**2).mean(axis=(0, 1)), np.finfo(float).tiny)
    correlations = np.stack(
        [(centred[:, : steps - lag] * centred[:, lag:]).mean(axis=(0, 1)) / variance for lag in range(steps)]
    )
    found = np.empty(numbers)
    for n in range(numbers):
        time = -1.0
        for lag in range(0, steps - 1, 2):
            pair = correlations[lag, n] + correlations[lag + 1, n]
            if pair <= 0:
                break
            time += 2 * pair
        found[n] = count * steps / max(time, 1.0)
    return found


def r_hat(repeats: Sequence[Numbers]) -> Numbers:
    """Potential scale reduction of each number over repeats (n, d): 1 where all found the same (Gelman, Rubin 1992)."""
    shortest = min(len(points) for points in repeats)
    stack = np.stack([points[:shortest] for points in repeats])
    within = stack.var(axis=1, ddof=1).mean(axis=0)
    between = stack.mean(axis=1).var(axis=0, ddof=1)
    return np.asarray(np.sqrt((shortest - 1) / shortest + between / np.maximum(within, np.finfo(float).tiny)))
