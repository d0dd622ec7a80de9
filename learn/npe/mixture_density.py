"""The density of unbounded points given a few numbers: a mixture density network around a regression.

What numbers of an observation say of a point is mostly a matter of regression, and exact where a network would be
rough: of a tumour's thresholds, two combinations with its rates are known a hundred times better than each by itself.
So the network learns only what the regression leaves, in units of its spread along these combinations, and is told
only what the regression foretells: of few pairs it learns no more, and would be too sure (posterior means are the
summary that loses least: Fearnhead and Prangle 2012).
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..training.devices import require_torch

Numbers = NDArray[np.float64]
Given = NDArray[np.float32]
"""Numbers of observations, about standardised."""


@dataclass(frozen=True)
class Regression:
    """A regression on numbers, and on products of what it foretells without them.

    Args:
        first: weights of the numbers, (p + 1, d).
        ends: of what they foretold, (2, d), beyond which no product is carried on.
        second: weights of numbers and products, (p + 1 + d (d + 1) / 2, d).
    """

    first: Numbers
    ends: Numbers
    second: Numbers

    @classmethod
    def fit(cls, given: Given, points: Numbers) -> tuple[Regression, Numbers]:
        """Regress points (n, d) on numbers (n, p).

        Returns:
            The regression, and what it would foretell of each point if it had not seen it, (n, d): what it leaves of
            points that it has seen is too little.
        """
        first = _solve(_with_one(given), points)
        foretold = _with_one(given) @ first
        ends = np.stack([foretold.min(axis=0), foretold.max(axis=0)])
        columns = _with_products(given, foretold, ends)
        second = _solve(columns, points)
        pull = np.einsum("ni,ni->n", columns, np.linalg.solve(_inner(columns), columns.T).T)
        unseen = points - (points - columns @ second) / np.maximum(1 - pull, _LEAST_PULL)[:, None]
        return cls(first, ends, second), unseen

    def __call__(self, given: Given) -> Numbers:
        """Foretell points from numbers (n, p)."""
        foretold = _with_one(given) @ self.first
        return np.asarray(_with_products(given, foretold, self.ends) @ self.second)


def _with_one(given: Given) -> Numbers:
    return np.column_stack([given.astype(np.float64), np.ones(len(given))])


def _with_products(given: Given, foretold: Numbers, ends: Numbers) -> Numbers:
    low, high = ends
    place = _UNIFORM * ((np.clip(foretold, low, high) - low) / np.maximum(high - low, _LEAST_SPREAD) - 0.5)
    count = place.shape[1]
    products = [place[:, i] * place[:, j] for i in range(count) for j in range(i, count)]
    return np.column_stack([_with_one(given), *products])


def _inner(columns: Numbers) -> Numbers:
    return np.asarray(columns.T @ columns + _PENALTY * len(columns) * np.eye(columns.shape[1]))


def _solve(columns: Numbers, points: Numbers) -> Numbers:
    return np.asarray(np.linalg.solve(_inner(columns), columns.T @ points))


@dataclass(frozen=True)
class ConditionalDensity:
    """Density of points given numbers.

    Args:
        network: of sbi, for what the regression leaves, over `spread`.
        regression: of the points on the numbers.
        spread: of what it leaves: lower triangle whose product with its transpose is the covariance, (d, d).
        centre, scale: mean and standard deviation of what it foretells, (d,).
    """

    network: Any
    regression: Regression
    spread: Numbers
    centre: Numbers
    scale: Numbers

    def draw(self, number: int, given: Given) -> Numbers:
        """Draw points given the numbers (1, p) of one observation, from PyTorch's random numbers."""
        torch = require_torch()
        foretold = self._foretold(given)
        with torch.inference_mode():
            left = self.network.sample((number,), condition=torch.from_numpy(self._told(foretold)))
        return np.asarray(foretold + left[:, 0].double().numpy() @ self.spread.T)

    def log_density(self, points: Numbers, given: Given) -> Numbers:
        """Logarithm of the density at points (n, d), given one observation."""
        torch = require_torch()
        foretold = self._foretold(given)
        left = np.linalg.solve(self.spread, (points - foretold).T).T
        told = torch.from_numpy(self._told(foretold))
        with torch.inference_mode():
            found = self.network.log_prob(torch.from_numpy(left).float()[:, None], condition=told)
        return np.asarray(found.double().numpy().reshape(-1) - np.log(np.diag(self.spread)).sum())

    def _foretold(self, given: Given) -> Numbers:
        """Foretell by the regression, no farther from all that it foretold than a network can be told."""
        ends = self.centre - _FARTHEST * self.scale, self.centre + _FARTHEST * self.scale
        return np.asarray(np.clip(self.regression(given), *ends))

    def _told(self, foretold: Numbers) -> Given:
        return np.asarray((foretold - self.centre) / self.scale, np.float32)


def fit_density(points: Numbers, given: Given, mixture: int, hidden: int, seed: int) -> ConditionalDensity:
    """Learn the density of points (n, d) given numbers (n, p).

    Args:
        points: unbounded.
        given: numbers of each.
        mixture: Gaussians.
        hidden: width of the network's layers.
        seed: of the network's random numbers.

    Raises:
        InputError: PyTorch or sbi is missing.
    """
    require_sbi()
    torch = require_torch()
    from sbi.inference import NPE_C
    from sbi.neural_nets import posterior_nn

    regression, foretold = Regression.fit(given, points)
    left = points - foretold
    centre, scale = foretold.mean(axis=0), np.maximum(foretold.std(axis=0), _LEAST_SPREAD)
    told = ((foretold - centre) / scale).astype(np.float32)
    covariance = np.atleast_2d(np.cov(left.T)) + _LEAST_SPREAD**2 * np.eye(points.shape[1])
    spread = np.linalg.cholesky(covariance)
    build = posterior_nn("mdn", hidden_features=hidden, num_components=mixture, z_score_theta="none", z_score_x="none")
    with torch.random.fork_rng(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scaling that is left out here
        torch.manual_seed(seed)
        trainer = NPE_C(density_estimator=build, tracker=_Silent(), show_progress_bars=False)
        over_spread = np.linalg.solve(spread, left.T).T
        trainer.append_simulations(torch.from_numpy(over_spread).float(), torch.from_numpy(told))
        network = trainer.train(
            training_batch_size=min(_BATCH, len(points) // 4), learning_rate=_RATE, max_num_epochs=_EPOCHS
        )
    return ConditionalDensity(network, regression, np.asarray(spread), centre, scale)


def to_free(points: Numbers, low: Numbers, high: Numbers) -> Numbers:
    """Stretch a prior's box to all of space (logit), so that no mixture leaks out of it."""
    share = _share(points, low, high)
    return np.asarray(np.log(share / (1 - share)))


def from_free(free: Numbers, low: Numbers, high: Numbers) -> Numbers:
    """Inverse of `to_free`."""
    return np.asarray(low + (high - low) / (1 + np.exp(-free)))


def log_stretch(points: Numbers, low: Numbers, high: Numbers) -> Numbers:
    """Logarithm of how much `to_free` enlarges volumes at points (n, d)."""
    share = _share(points, low, high)
    return np.asarray(-np.log(share * (1 - share) * (high - low)).sum(axis=1))


def _share(points: Numbers, low: Numbers, high: Numbers) -> Numbers:
    return np.asarray(np.clip((points - low) / (high - low), _EDGE, 1 - _EDGE))


def require_sbi() -> Any:
    """Import sbi.

    Raises:
        InputError: it is not installed.
    """
    require_torch()
    try:
        import sbi
    except ImportError as error:
        raise InputError("neural posteriors need sbi", hint="pip install 'gliodex[learn]'") from error
    return sbi


class _Silent:
    """A tracker that keeps nothing: sbi's own writes a folder of logs where one stands."""

    log_dir = None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **options: None


_EDGE = 1e-6
_BATCH, _RATE, _EPOCHS = 50, 1e-3, 300
_PENALTY, _LEAST_SPREAD, _LEAST_PULL = 1e-3, 1e-6, 0.05
_FARTHEST = 8.0  # spreads of what was foretold
_UNIFORM = 12**0.5  # makes products about as large as the numbers
