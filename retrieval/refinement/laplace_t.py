"""How far from the best fit other tumours fit nearly as well: a posterior from what a search has tried.

What outlines miss of each other grows with their distance, so the misfit, 2 less the Dice sum, behaves like a distance
itself: near the best fit m(x)² is about m₀² + (x − x₀)ᵀ G (x − x₀). The likelihood m^(−s) of `weights_of_scores` then
makes the posterior a Student t around x₀, of s − d degrees of freedom in d numbers, with the scale matrix
m₀² G⁻¹ / (s − d). It is drawn from, and what is drawn is simulated and weighted by how it really fits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class StudentT:
    """A multivariate Student t distribution.

    Args:
        centre: (d,).
        factor: (d, d); times its transpose the scale matrix.
        freedom: degrees of freedom, above 0.
    """

    centre: Numbers
    factor: Numbers
    freedom: float

    def draw(self, number: int, rng: np.random.Generator) -> Numbers:
        """Draw points, (number, d)."""
        normal = rng.standard_normal((number, len(self.centre)))
        stretch = np.sqrt(self.freedom / rng.chisquare(self.freedom, number))
        return np.asarray(self.centre + (normal * stretch[:, None]) @ self.factor.T)

    def log_density(self, points: Numbers) -> Numbers:
        """Logarithm of the density at points, (n,)."""
        count = len(self.centre)
        apart = np.linalg.solve(self.factor, (points - self.centre).T)
        constant = (
            math.lgamma((self.freedom + count) / 2)
            - math.lgamma(self.freedom / 2)
            - count / 2 * math.log(self.freedom * math.pi)
            - np.linalg.slogdet(self.factor)[1]
        )
        kernel = -(self.freedom + count) / 2 * np.log1p((apart**2).sum(axis=0) / self.freedom)
        return np.asarray(constant + kernel)


def spread_of(points: Numbers, misfits: Numbers, steps: Numbers, sharpness: float) -> StudentT:
    """Fit the distribution to what was tried.

    Args:
        points: tried, (n, d), the best first.
        misfits: of each, (n,), above 0.
        steps: a length along each number over which the misfit surely changes, (d,).
        sharpness: of the likelihood, above d.
    """
    count = len(steps)
    near = np.argsort(misfits, kind="stable")[: max(_NEAREST * count * count, int((misfits < 3 * misfits[0]).sum()))]
    apart = (points[near] - points[0]) / steps
    pairs = [(i, j) for i in range(count) for j in range(i, count)]
    products = np.stack([apart[:, i] * apart[:, j] * (1 if i == j else 2) for i, j in pairs], axis=1)
    squares = misfits[near] ** 2  # relative errors count: far points would outweigh near ones
    found, *_ = np.linalg.lstsq(products / squares[:, None], 1 - misfits[0] ** 2 / squares, rcond=None)
    curvature = np.zeros((count, count))
    for (i, j), value in zip(pairs, found, strict=True):
        curvature[i, j] = curvature[j, i] = value
    values, axes = np.linalg.eigh(curvature)
    values = np.maximum(values, _FLATTEST**2)
    freedom = sharpness - count
    factor = steps[:, None] * axes * (misfits[0] / np.sqrt(values * freedom))
    return StudentT(points[0], factor, freedom)


_NEAREST = 3  # points for each number of the curvature, at least
_FLATTEST = 0.02  # a step changes the misfit by that much at least, or the tumour could be anywhere
