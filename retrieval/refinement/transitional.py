"""Transitional Markov chain Monte Carlo: from a distribution that is easy to draw from to a posterior, in stages.

Stage by stage the target goes from the start q to prior times likelihood, p L, as q^(1-β) (p L)^β, each β as far as the
weights of the samples allow (Ching and Chen 2007: their coefficient of variation is 1). Where one starts from the prior
this is paper 000's sampler; a start nearer to the posterior needs fewer stages and ends in the same distribution.

Samples are then drawn by weight and moved by random walks in their own covariance. Of few long walks all steps are
kept (waste-free: Dau and Chopin 2022), which for the same number of simulations forgets the start better than many
walks of one step. Only some numbers are simulated: a step goes along these, the others follow by their regression on
them, and then walk by themselves, which costs almost nothing. Some steps are jumps to anywhere in a Student t like the
samples instead; in each stage as many as jumps got farther in the one before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .spread import StudentT

Numbers = NDArray[np.float64]
Progress = Callable[[int, float], None]
"""Told how many simulations are done, and the exponent β reached."""


class Problem(Protocol):
    """A posterior to draw from; points are (n, d)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the d numbers."""
        ...

    @property
    def simulated(self) -> int:
        """How many of them, the first ones, the simulation depends on."""
        ...

    def draw(self, number: int, rng: np.random.Generator) -> Numbers:
        """Draw points from the start."""
        ...

    def log_start(self, points: Numbers) -> Numbers:
        """Logarithm of the start's density, (n,)."""
        ...

    def log_prior(self, points: Numbers) -> Numbers:
        """Logarithm of the prior's density, (n,); −inf where nothing is to be simulated."""
        ...

    def simulate(self, points: Numbers) -> Sequence[Any]:
        """Simulate each point; what comes back is given to `log_likelihood`."""
        ...

    def log_likelihood(self, points: Numbers, outcomes: Sequence[Any]) -> Numbers:
        """Logarithm of the likelihood, (n,)."""
        ...


@dataclass(frozen=True)
class TransitionalSettings:
    """How to sample.

    Args:
        samples: of every stage; 2,048 in paper 000.
        steps: of each walk, its beginning counted; a divisor of `samples`.
        seed: of the random numbers.
        evaluations: simulations to give up after; None for as many as it takes.
        inner: steps without a simulation after each one with it.

    Raises:
        InputError: the samples are too few to be moved by their covariance, or no multiple of the steps.
    """

    samples: int = 2048
    steps: int = 32
    seed: int = 1
    evaluations: int | None = None
    inner: int = 8

    def __post_init__(self) -> None:
        if self.steps < 2 or self.samples % self.steps or self.samples // self.steps < _LEAST_WALKS:
            raise InputError(
                f"{self.samples} samples in walks of {self.steps} steps: give a multiple of the steps, at least 2, "
                f"for at least {_LEAST_WALKS} walks"
            )
        if self.seed < 0:
            raise InputError(f"a seed must not be negative, not {self.seed}")
        if self.evaluations is not None and self.evaluations < 3 * self.samples:
            raise InputError(
                f"{self.evaluations:,} simulations are too few for stages of {self.samples:,}: allow at least "
                f"{3 * self.samples:,}, or use smaller stages"
            )


@dataclass(frozen=True)
class Stage:
    """What became of one stage.

    Args:
        exponent: β at its end.
        effective_weights: effective number of samples, by their weights before they were drawn anew.
        acceptance: share of the walks' steps with a simulation that were taken.
        jumps: share of the jumps that were.
        evaluations: simulations so far.
    """

    exponent: float
    effective_weights: float
    acceptance: float
    jumps: float
    evaluations: int


@dataclass(frozen=True)
class Progressed:
    """All that it takes to go on: the samples of the last complete stage.

    Args:
        points: (n, d).
        exponent: β that they are distributed by.
        log_evidence: logarithm of the evidence so far.
        scale: of the random walk, over the covariance of the samples.
        jumping: share of the steps that jump.
        generator: state of the random numbers.
        stages: done.
    """

    points: Numbers
    exponent: float
    log_evidence: float
    scale: float
    jumping: float
    generator: dict[str, Any]
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True)
class Sampled:
    """A posterior as equally probable samples.

    Args:
        points: (n, d), walk after walk: (walks, steps, d) in C order.
        log_posterior: of each, prior times likelihood, (n,).
        outcomes: of their simulations.
        log_evidence: logarithm of the prior's mean likelihood.
        stages: as they went.
        steps: of each walk.
    """

    points: Numbers
    log_posterior: Numbers
    outcomes: Sequence[Any]
    log_evidence: float
    stages: tuple[Stage, ...]
    steps: int

    @property
    def evaluations(self) -> int:
        """Simulations made."""
        return self.stages[-1].evaluations

    @property
    def effective_samples(self) -> Numbers:
        """Effective number of samples of each number, (d,), by how long the walks remember."""
        return effective_samples(self.points.reshape(-1, self.steps, self.points.shape[1]))


@dataclass
class _Cloud:
    """Samples with all that is known of each; rows are replaced where a step is taken."""

    points: Numbers
    outcomes: list[Any]
    likelihood: Numbers
    prior: Numbers
    start: Numbers

    @classmethod
    def of(cls, problem: Problem, points: Numbers) -> _Cloud:
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
    def joined(cls, clouds: Sequence[_Cloud]) -> _Cloud:
        """Walk after walk: the clouds are the steps of the same walks."""
        walks, steps = len(clouds[0].points), len(clouds)

        def ordered(name: str) -> Any:
            stacked = np.stack([getattr(cloud, name) for cloud in clouds], axis=1)
            return stacked.reshape(walks * steps, *stacked.shape[2:])

        outcomes = [cloud.outcomes[walk] for walk in range(walks) for cloud in clouds]
        return cls(ordered("points"), outcomes, ordered("likelihood"), ordered("prior"), ordered("start"))

    def target(self, exponent: float) -> Numbers:
        with np.errstate(invalid="ignore"):  # −inf where the prior is, whatever the rest
            value = (1 - exponent) * self.start + exponent * (self.prior + self.likelihood)
        return np.where(np.isfinite(self.prior) & np.isfinite(self.likelihood), value, -math.inf)

    def rows(self, rows: NDArray[np.int64]) -> _Cloud:
        return _Cloud(
            self.points[rows].copy(),
            [self.outcomes[row] for row in rows],
            self.likelihood[rows].copy(),
            self.prior[rows].copy(),
            self.start[rows].copy(),
        )

    def take(self, other: _Cloud, where: NDArray[np.bool_]) -> None:
        for name in ("points", "likelihood", "prior", "start"):
            getattr(self, name)[where] = getattr(other, name)[where]
        for row in np.flatnonzero(where):
            self.outcomes[row] = other.outcomes[row]

    def copy(self) -> _Cloud:
        return self.rows(np.arange(len(self.points)))


@dataclass
class _Run:
    """One run of the sampler."""

    problem: Problem
    settings: TransitionalSettings
    rng: np.random.Generator
    progress: Progress | None
    scale: float = 1.0
    jumping: float = 0.5
    evaluations: int = 0
    stages: list[Stage] = field(default_factory=list)

    def cloud(self, points: Numbers) -> _Cloud:
        cloud = _Cloud.of(self.problem, points)
        self.evaluations += int(np.isfinite(cloud.prior).sum())
        return cloud

    def move(self, cloud: _Cloud, weights: Numbers, exponent: float) -> _Cloud:
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
            taken[jump] += (self._jump if jump else self._walk)(at, along, weights @ cloud.points, exponent)
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
        return _Cloud.joined(kept)

    def _jump(self, at: _Cloud, factor: Numbers, centre: Numbers, exponent: float) -> int:
        """Draw what is simulated from a Student t, wherever the walks are; all else follows by its regression on it."""
        count = factor.shape[1]
        around = StudentT(centre[:count], factor[:count], _JUMP_FREEDOM)
        drawn = around.draw(len(at.points), self.rng)
        moved = np.linalg.solve(factor[:count], (drawn - at.points[:, :count]).T).T
        tried = self.cloud(at.points + moved @ factor.T)
        back = around.log_density(at.points[:, :count]) - around.log_density(tried.points[:, :count])
        return self._choose(at, tried, exponent, back)

    def _walk(self, at: _Cloud, factor: Numbers, centre: Numbers, exponent: float) -> int:
        length = self.scale * _BEST_STEP / math.sqrt(factor.shape[1])
        drawn = self.rng.standard_normal((len(at.points), factor.shape[1]))
        tried = self.cloud(at.points + length * drawn @ factor.T)
        return self._choose(at, tried, exponent)

    def _walk_inside(self, at: _Cloud, factor: Numbers, exponent: float) -> None:
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

    def _choose(self, at: _Cloud, tried: _Cloud, exponent: float, back: Numbers | float = 0.0) -> int:
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


def sample(
    problem: Problem,
    settings: TransitionalSettings | None = None,
    *,
    begun: Progressed | None = None,
    save: Callable[[Progressed], None] | None = None,
    progress: Progress | None = None,
) -> Sampled:
    """Draw from a posterior; the same on any number of cores, and when it was interrupted.

    Args:
        problem: whose posterior.
        settings: see `TransitionalSettings`.
        begun: what `save` was given in an earlier run with the same problem and settings.
        save: given all that it takes to go on after each stage.
        progress: told how far it has come.

    Raises:
        InputError: the budget was spent before the posterior was reached, or the start has nothing that the
            likelihood allows.
    """
    settings = settings or TransitionalSettings()
    rng = np.random.default_rng(settings.seed)
    run = _Run(problem, settings, rng, progress)
    exponent, log_evidence = 0.0, 0.0
    if begun is None:
        cloud = run.cloud(problem.draw(settings.samples, rng))
    else:
        exponent, log_evidence = begun.exponent, begun.log_evidence
        run.scale, run.jumping = begun.scale, begun.jumping
        run.stages, run.evaluations = list(begun.stages), begun.stages[-1].evaluations
        rng.bit_generator.state = begun.generator
        cloud = _Cloud.of(problem, begun.points)
    while exponent < 1:
        raised = cloud.target(1.0) - cloud.start
        if not np.isfinite(raised).any():
            raise InputError("nothing that the sampler began from explains the images: begin from the prior")
        step, weights, gain = _next_exponent(raised, 1 - exponent)
        exponent = 1.0 if step >= 1 - exponent else exponent + step
        log_evidence += gain
        cloud = run.move(cloud, weights, exponent)
        if save:
            state = _state(rng)
            save(Progressed(cloud.points, exponent, log_evidence, run.scale, run.jumping, state, tuple(run.stages)))
    if len([stage for stage in run.stages if stage.exponent == 1]) < 2:  # once more, so that the end forgets the way
        cloud = run.move(cloud, np.full(settings.samples, 1 / settings.samples), 1.0)
    return Sampled(cloud.points, cloud.target(1.0), cloud.outcomes, log_evidence, tuple(run.stages), settings.steps)


def _state(rng: np.random.Generator) -> dict[str, Any]:
    return dict(rng.bit_generator.state)


def _next_exponent(raised: Numbers, most: float) -> tuple[float, Numbers, float]:
    """Largest step at which the weights' coefficient of variation is 1; with them, and the logarithm of their mean."""

    def weighed(step: float) -> tuple[Numbers, float]:
        logarithms = step * raised
        top = float(logarithms.max())
        weights = np.exp(logarithms - top)
        return weights / weights.sum(), top + math.log(float(weights.mean()))

    wanted = _EFFECTIVE * np.isfinite(raised).sum()
    low, high = 0.0, most
    if 1 / (weighed(most)[0] ** 2).sum() >= wanted:
        return most, *weighed(most)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / (weighed(middle)[0] ** 2).sum() >= wanted else (low, middle)
    return high, *weighed(high)


def _systematic(weights: Numbers, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw rows by weight, with one random number for all: as even as can be."""
    places = (rng.random() + np.arange(number)) / number
    return np.minimum(np.searchsorted(np.cumsum(weights), places), len(weights) - 1)


def _factor(covariance: Numbers) -> Numbers:
    """Cholesky factor of a covariance, of walks that may not have spread in every direction."""
    spread = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    correlation = covariance / np.outer(spread, spread) + _TINY * np.eye(len(spread))
    return np.asarray(spread[:, None] * np.linalg.cholesky((correlation + correlation.T) / 2))


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


_LEAST_WALKS = 8
_EFFECTIVE = 0.5  # of the samples: a coefficient of variation of 1
_BISECTIONS = 60
_BEST_STEP, _WANTED_ACCEPTANCE, _LEARNING = 2.38, 0.234, 2.0  # Roberts, Gelman and Gilks 1997
_JUMP_FREEDOM, _JUMPING = 5.0, (0.1, 0.9)
_TINY = 1e-9
