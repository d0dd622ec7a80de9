"""Which simulations look enough like an observation to learn its posterior from.

Choosing among pairs by what is seen leaves the posterior given what is seen as it was, and spares a network the rest of
a wide prior: there regressions bend, and what they leave has tails that a few Gaussians make much too wide of.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .mixture_density import Regression
from .score_statistics import Maps, Numbers
from .summary_statistics import moments_of, standardised


def alike(points: Numbers, maps: Maps, observed: Maps) -> NDArray[np.intp]:
    """Select the simulations nearest to the observation in regression-adjusted summary space.

    Args:
        points: unbounded, (n, d).
        maps: of each, (n, i, j, k).
        observed: (i, j, k).

    Returns:
        Their places; of the nearest 200 if there are fewer.
    """
    moments, asked = moments_of(maps), moments_of(observed[None])
    chosen = np.arange(len(points))
    for _ in range(_NARROWINGS):
        near = moments[chosen]
        told, about = standardised(near, near), standardised(asked, near)
        regression, unseen = Regression.fit(told, points[chosen])
        left = points[chosen] - unseen
        spread = np.atleast_2d(np.cov(left.T)) + _LEAST_SPREAD * np.eye(points.shape[1])
        apart = regression(told) - regression(about)
        distance = np.einsum("ni,ni->n", apart, np.linalg.solve(spread, apart.T).T)
        within = np.count_nonzero(distance <= _SPREADS**2 * points.shape[1])
        chosen = chosen[np.argsort(distance, kind="stable")[: max(within, _FEWEST)]]
    return chosen


_NARROWINGS, _SPREADS, _FEWEST, _LEAST_SPREAD = 3, 3, 200, 1e-9
