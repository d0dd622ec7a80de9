"""How the sampler's samples move: random walks, jumps, and walks of what needs no simulation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .laplace_t import StudentT
from .smc_settings import Numbers, Problem, Progress, Stage, TransitionalSettings


@dataclass
class Cloud:
    """Samples with all that is known of each; rows are replaced where a step is taken."""

    points: Numbers
    outcomes: list[Any]
    likelihood: Numbers
    prior: Numbers
    start: Numbers

    @classmethod
    def of(cls, problem: Problem, points: Numbers) -> Cloud:
        """Simulate points where the prior has anything."""
        prior = problem.log_prior(points)
        outcomes: list[Any] = [None] * len(points)
        likelihood = np.full(len(points), -math.inf)
        inside = np.flatnonzero(np.isfinite(prior))
        if len(inside):
            found = problem.simulate(points[inside])
            likelihood[inside] = problem.log_likelihood(points[inside], found)
            for row, outcome in zip(inside, found, strict=True):
                outcomes[row] = outcome
        return cls(points, outcomes, likelihood, prior, problem.log_start(points))

    @classmethod
    def joined(cls, clouds: Sequence[Cloud]) -> Cloud:
        """Walk after walk: the clouds are the steps of the same walks."""
        walks, steps = len(clouds[0].points), len(clouds)

        def ordered(name: str) -> Any:
            stacked = np.stack([getattr(cloud, name) for cloud in clouds], axis=1)
            return stacked.reshape(walks * steps, *stacked.shape[2:])

        outcomes = [cloud.outcomes[walk] for walk in range(walks) for cloud in clouds]
        return cls(ordered("points"), outcomes, ordered("likelihood"), ordered("prior"), ordered("start"))

    def target(self, exponent: float) -> Numbers:
        """Logarithm of the density between start and posterior, (n,)."""
        with np.errstate(invalid="ignore"):  # −inf where the prior is, whatever the rest
            value = (1 - exponent) * self.start + exponent * (self.prior + self.likelihood)
        return np.where(np.isfinite(self.prior) & np.isfinite(self.likelihood), value, -math.inf)

    def rows(self, rows: NDArray[np.int64]) -> Cloud:
        """Copy some samples."""
        return Cloud(
            self.points[rows].copy(),
            [self.outcomes[row] for row in rows],
            self.likelihood[rows].copy(),
            self.prior[rows].copy(),
            self.start[rows].copy(),
        )

    def take(self, other: Cloud, where: NDArray[np.bool_]) -> None:
        """Replace samples by those of another."""
        for name in ("points", "likelihood", "prior", "start"):
            getattr(self, name)[where] = getattr(other, name)[where]
        for row in np.flatnonzero(where):
            self.outcomes[row] = other.outcomes[row]

    def copy(self) -> Cloud:
        """Copy all samples."""
        return self.rows(np.arange(len(self.points)))


@dataclass
class Walks:
    """Moves the samples of one run, and learns from stage to stage how.

    Args:
        problem: whose posterior.
        settings: of the sampler.
        rng: random numbers.
        progress: told how far it has come.
        scale: of the random walk, over the covariance of the samples.
        jumping: share of the steps that jump.
        evaluations: simulations so far.
        stages: done.
    """

    problem: Problem
    settings: TransitionalSettings
    rng: np.random.Generator
    progress: Progress | None
    scale: float = 1.0
    jumping: float = 0.5
    evaluations: int = 0
    stages: list[Stage] = field(default_factory=list)

    def cloud(self, points: Numbers) -> Cloud:
        """Simulate points, and count them."""
        cloud = Cloud.of(self.problem, points)
        self.evaluations += int(np.isfinite(cloud.prior).sum())
        return cloud

    def move(self, cloud: Cloud, weights: Numbers, exponent: float) -> Cloud:
        """Draw walks' beginnings by weight, walk towards `exponent`, and keep every step."""
        walks = self.settings.samples // self.settings.steps
        centred = cloud.points - weights @ cloud.points
        covariance = (centred * weights[:, None]).T @ centred
        at = cloud.rows(_systematic(weights, walks, self.rng))
        kept = [at.copy()]
        tried, taken = np.zeros(2), np.zeros(2)
        # the first columns move what is simulated, and all else by its regression on it; the others move the rest alone
        along, inside = np.split(_factor(covariance), [self.problem.simulated], axis=1)
        for _ in range(1, self.settings.steps):
            self._check_budget(exponent)
            jump = int(self.rng.random() < self.jumping)
            tried[jump] += walks
            taken[jump] += (
                self._jump(at, along, weights @ cloud.points, exponent) if jump else self._walk(at, along, exponent)
            )
            for _ in range(self.settings.inner if inside.shape[1] else 0):
                self._walk_inside(at, inside, exponent)
            kept.append(at.copy())
            if self.progress:
                self.progress(self.evaluations, exponent)
        walked, jumped = (float(share) for share in taken / np.maximum(tried, 1))
        effective = float(1 / (weights**2).sum())
        self.stages.append(Stage(exponent, effective, walked, jumped, self.evaluations))
        # mean squares of what a number moves by in a step, over its variance
        reach = walked * (self.scale * _BEST_STEP) ** 2 / along.shape[1], 2 * jumped
        self.jumping = float(np.clip(reach[1] / max(sum(reach), _TINY), *_JUMPING))
        if tried[0]:
            self.scale *= math.exp(_LEARNING * (walked - _WANTED_ACCEPTANCE))
        return Cloud.joined(kept)

    def _jump(self, at: Cloud, factor: Numbers, centre: Numbers, exponent: float) -> int:
        """Draw what is simulated from a Student t, wherever the walks are; all else follows by its regression on it."""
        count = factor.shape[1]
        around = StudentT(centre[:count], factor[:count], _JUMP_FREEDOM)
        drawn = around.draw(len(at.points), self.rng)
        moved = np.linalg.solve(factor[:count], (drawn - at.points[:, :count]).T).T
        tried = self.cloud(at.points + moved @ factor.T)
        back = around.log_density(at.points[:, :count]) - around.log_density(tried.points[:, :count])
        return self._choose(at, tried, exponent, back)

    def _walk(self, at: Cloud, factor: Numbers, exponent: float) -> int:
        length = self.scale * _BEST_STEP / math.sqrt(factor.shape[1])
        drawn = self.rng.standard_normal((len(at.points), factor.shape[1]))
        tried = self.cloud(at.points + length * drawn @ factor.T)
        return self._choose(at, tried, exponent)

    def _walk_inside(self, at: Cloud, factor: Numbers, exponent: float) -> None:
        """Change only what needs no simulation."""
        length = _BEST_STEP / math.sqrt(factor.shape[1])
        drawn = self.rng.standard_normal((len(at.points), factor.shape[1]))
        tried = at.copy()
        tried.points += length * drawn @ factor.T
        tried.prior, tried.start = self.problem.log_prior(tried.points), self.problem.log_start(tried.points)
        inside = np.flatnonzero(np.isfinite(tried.prior))
        tried.likelihood[inside] = self.problem.log_likelihood(
            tried.points[inside], [tried.outcomes[row] for row in inside]
        )
        self._choose(at, tried, exponent)

    def _choose(self, at: Cloud, tried: Cloud, exponent: float, back: Numbers | float = 0.0) -> int:
        """Metropolis and Hastings: take steps by the ratio of the targets, and of the chances `back` and forth."""
        better = tried.target(exponent) - at.target(exponent) + back
        take = np.log(self.rng.random(len(better))) < better
        at.take(tried, take)
        return int(take.sum())

    def _check_budget(self, exponent: float) -> None:
        limit = self.settings.evaluations
        if limit is not None and self.evaluations >= limit:
            raise InputError(
                f"the {limit:,} simulations allowed were spent in stage {len(self.stages)}, at {exponent:.2g} of the "
                "way from the start to the posterior: allow several times as many, use smaller stages, or start around "
                "the matches"
            )


def _systematic(weights: Numbers, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw rows by weight, with one random number for all: as even as can be."""
    places = (rng.random() + np.arange(number)) / number
    return np.minimum(np.searchsorted(np.cumsum(weights), places), len(weights) - 1)


def _factor(covariance: Numbers) -> Numbers:
    """Cholesky factor of a covariance, of walks that may not have spread in every direction."""
    spread = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    correlation = covariance / np.outer(spread, spread) + _TINY * np.eye(len(spread))
    return np.asarray(spread[:, None] * np.linalg.cholesky((correlation + correlation.T) / 2))


_BEST_STEP, _WANTED_ACCEPTANCE, _LEARNING = 2.38, 0.234, 2.0  # Roberts, Gelman and Gilks 1997
_JUMP_FREEDOM, _JUMPING = 5.0, (0.1, 0.9)
_TINY = 1e-9
