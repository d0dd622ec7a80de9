"""Where a sampler may begin instead of with its prior: nearer to the posterior, and so sooner there.

A start is no assumption: what it favours is taken back while the sampler goes to the posterior, which stays the same as
long as the start's tails reach all of it. Student t distributions have such tails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...store.parameters import GrowthParameters
from .laplace_t import StudentT
from .local import STEPS, as_numbers

Numbers = NDArray[np.float64]


class Start(Protocol):
    """A distribution of points, (n, d)."""

    def draw(self, number: int, rng: np.random.Generator) -> Numbers:
        """Draw points."""
        ...

    def log_density(self, points: Numbers) -> Numbers:
        """Logarithm of their density, (n,)."""
        ...


class Within:
    """A distribution, cut off where a prior ends.

    Args:
        wide: distribution that knows no end.
        holds: which points (n, d) the prior allows.
        else_do: what a user can do where it allows hardly any.

    Raises:
        InputError: it allows hardly any.
    """

    def __init__(self, wide: Start, holds: Callable[[Numbers], NDArray[np.bool_]], else_do: str) -> None:
        self._wide, self._holds = wide, holds
        inside = float(holds(wide.draw(_TRIALS, np.random.default_rng(0))).mean())
        if inside < _LEAST_INSIDE:
            raise InputError(f"what the sampler would begin around lies where its prior allows nothing: {else_do}")
        self._log_inside = math.log(inside)

    def draw(self, number: int, rng: np.random.Generator) -> Numbers:
        """See `Start`."""
        found: list[Numbers] = []
        while sum(map(len, found)) < number:
            drawn = self._wide.draw(2 * number, rng)
            found.append(drawn[self._holds(drawn)])
        return np.concatenate(found)[:number]

    def log_density(self, points: Numbers) -> Numbers:
        """See `Start`."""
        return np.where(self._holds(points), self._wide.log_density(points) - self._log_inside, -math.inf)


class AroundTumours:
    """A Student t around each of some tumours in seed, ln μ1 and ln μ2; of ln T and what else there is, uniform.

    Args:
        tumours: such as retrieval's matches.
        weights: of each.
        low, high: ends of ln T and of the numbers behind it.
    """

    def __init__(self, tumours: Sequence[GrowthParameters], weights: Numbers, low: Numbers, high: Numbers) -> None:
        scale = np.diag(STEPS)
        self._kernels = [StudentT(as_numbers(tumour), scale, _FREEDOM) for tumour in tumours]
        self._weights = weights / weights.sum()
        self._low, self._high = low, high

    def draw(self, number: int, rng: np.random.Generator) -> Numbers:
        """See `Start`."""
        counts = rng.multinomial(number, self._weights)
        shapes = np.concatenate(
            [kernel.draw(int(count), rng) for kernel, count in zip(self._kernels, counts, strict=True)]
        )
        others = rng.uniform(self._low, self._high, (number, len(self._low)))
        return np.column_stack([shapes[rng.permutation(number)], others])

    def log_density(self, points: Numbers) -> Numbers:
        """See `Start`."""
        each = np.stack([kernel.log_density(points[:, :5]) for kernel in self._kernels], axis=1)
        top = each.max(axis=1)
        mixed = top + np.log(np.exp(each - top[:, None]) @ self._weights)
        return np.asarray(mixed - float(np.log(self._high - self._low).sum()))


def around_samples(points: Numbers) -> StudentT:
    """Fit a Student t to samples (n, d) of an earlier, smaller run, somewhat wider than these."""
    covariance = np.cov(points.T)
    spread = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    correlation = covariance / np.outer(spread, spread) + _TINY * np.eye(len(spread))
    factor = _WIDER * spread[:, None] * np.linalg.cholesky(correlation)
    return StudentT(points.mean(axis=0), factor, _FREEDOM)


_FREEDOM, _TRIALS, _LEAST_INSIDE, _TINY = 4.0, 20_000, 0.001, 1e-6
_WIDER = 1.5
