"""What the sampler is asked, and what it answers: problem, settings, progress, samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .diagnostics import effective_samples
from .refinement_options import PARTICLES

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
        samples: of every stage; 2,048 in Ezhov et al. (2021).
        steps: of each walk, its beginning counted; a divisor of `samples`.
        seed: of the random numbers.
        evaluations: simulations to give up after; None for as many as it takes.
        inner: steps without a simulation after each one with it.

    Raises:
        InputError: the samples are too few to be moved by their covariance, or no multiple of the steps.
    """

    samples: int = PARTICLES
    steps: int = 32
    seed: int = 1
    evaluations: int | None = None
    inner: int = 8

    def __post_init__(self) -> None:
        if self.steps < 2 or self.samples % self.steps or self.samples // self.steps < _LEAST_WALKS:
            raise InputError(
                f"{self.samples} samples in walks of {self.steps} steps",
                hint=f"give a multiple of the steps, at least 2, for at least {_LEAST_WALKS} walks",
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


_LEAST_WALKS = 8
