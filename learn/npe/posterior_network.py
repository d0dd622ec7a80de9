"""Sequential neural posterior estimation from simulated label maps (Ezhov et al. 2019).

A mixture density network learns the posterior of the numbers given an embedded label map, from pairs that are simulated
in rounds. Each round draws from the prior cut off to a box around what the last one left possible for the observation
(truncated proposals, Deistler and others 2022): within the box this is the prior still, so the loss needs none of the
importance weights of the paper's Eq. 3, whose variance ruins small rounds, and pairs of earlier rounds count on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..training.devices import require_torch
from .mixture_density import ConditionalDensity, fit_density, from_free, log_stretch, require_sbi, to_free
from .preselection import alike
from .score_statistics import Maps
from .summary_statistics import LabelEmbedding, fit_embedding
from .truncated_prior import Region

Numbers = NDArray[np.float64]
Progress = Callable[[str], None]
"""Told in words how far it has come."""


class LabelProblem(Protocol):
    """A simulator of label maps, and the uniform prior of its numbers."""

    @property
    def low(self) -> Numbers:
        """Lower ends of the prior, (d,)."""
        ...

    @property
    def high(self) -> Numbers:
        """Upper ends, (d,)."""
        ...

    def label_maps(self, points: Numbers, rng: np.random.Generator) -> tuple[NDArray[np.bool_], Maps]:
        """Simulate points (n, d): which of them can be, and the label maps of these."""
        ...


@dataclass(frozen=True)
class NeuralSettings:
    """How to learn.

    Args:
        simulations: of every round; 1,000 in the paper.
        rounds: 4 in the paper.
        mixture: Gaussians of the mixture; the paper does not say how many.
        hidden: width of the network's layers; 100 in the paper.
        scores: tell the networks more of the outlines than their moments; see `label_embedding`.
        networks: that learn the same and are averaged, which takes back what each is too sure of (Hermans and others
            2022), and more than that where each is right; 1 in the paper.
        seed: of all random numbers.

    Raises:
        InputError: a number is out of range.
    """

    simulations: int = 1000
    rounds: int = 4
    mixture: int = 2
    hidden: int = 100
    scores: bool = True
    networks: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("rounds", "mixture", "hidden", "networks"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.simulations < _FEWEST:
            raise InputError(
                f"{self.simulations} simulations a round are too few to learn from", hint=f"give at least {_FEWEST}"
            )
        if self.seed < 0:
            raise InputError(f"a seed must not be negative, not {self.seed}")


@dataclass(frozen=True)
class Round:
    """What became of one round.

    Args:
        simulations: tried so far, those that came to nothing too.
        pairs: learned from: of all rounds within the region, before the last round those like the observation.
        share: of the prior's volume that the region of the next round has.
    """

    simulations: int
    pairs: int
    share: float


@dataclass
class Inferred:
    """A posterior, as a network and an embedding for observations within a region of the prior.

    Args:
        observed: label map that it was narrowed down to, (i, j, k).
        rounds: as they went.
        pairs: numbers and label maps of the last round, which the network has learned from.
        region: of the prior, that these were drawn from.
    """

    observed: Maps
    rounds: list[Round]
    pairs: tuple[Numbers, Maps]
    region: Region
    _low: Numbers
    _high: Numbers
    _embedding: LabelEmbedding
    _networks: list[ConditionalDensity]

    def draw(self, number: int, seed: int, label_map: Maps | None = None) -> Numbers:
        """Draw from the posterior given a label map, by default the observed one, (number, d)."""
        torch = require_torch()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            condition, count = self._condition(label_map), -(-number // len(self._networks))
            drawn = np.stack([network.draw(count, condition) for network in self._networks], axis=1)
        return from_free(drawn.reshape(-1, drawn.shape[-1])[:number], self._low, self._high)

    def log_density(self, points: Numbers, label_map: Maps | None = None) -> Numbers:
        """Logarithm of the posterior's density at points (n, d)."""
        free, condition = to_free(points, self._low, self._high), self._condition(label_map)
        each = np.stack([network.log_density(free, condition) for network in self._networks])
        found = np.logaddexp.reduce(each, axis=0) - np.log(len(self._networks))
        return np.asarray(found + log_stretch(points, self._low, self._high))

    def levels(self, points: Numbers, maps: Maps, draws: int = 500, seed: int = 0) -> Numbers:
        """Say how much of each posterior is denser than its truth: uniform in [0, 1] where posteriors are right.

        Args:
            points: truths, (n, d).
            maps: their label maps.
            draws: from each posterior.
            seed: of them.
        """
        found = []
        for n, (point, label_map) in enumerate(zip(points, maps, strict=True)):
            drawn = self.draw(draws, seed + n, label_map)
            found.append((self.log_density(drawn, label_map) > self.log_density(point[None], label_map)).mean())
        return np.array(found)

    def strangeness(self) -> float:
        """Distance of the observed label map's numbers from those learned from, in spreads: the largest of any."""
        return float(np.abs(self._embedding(self.observed[None])).max())

    def _condition(self, label_map: Maps | None) -> NDArray[np.float32]:
        return self._embedding((self.observed if label_map is None else label_map)[None])


def learn_posterior(
    points: Numbers,
    maps: Maps,
    observed: Maps,
    ends: tuple[Numbers, Numbers],
    settings: NeuralSettings,
    region: Region | None = None,
) -> Inferred:
    """Learn the posterior of the numbers (n, d) that made label maps (n, i, j, k), from these alone.

    Args:
        points: drawn from the prior, or from a part of it.
        maps: of each.
        observed: label map that will be asked for, (i, j, k).
        ends: lower and upper ends of the prior, (d,) each.
        settings: see `NeuralSettings`.
        region: of the prior, that the points were drawn from; all of it by default.

    Raises:
        InputError: PyTorch or sbi is missing, or the pairs are too few to learn from.
    """
    require_sbi()
    if len(points) < _FEWEST:
        raise InputError(f"{len(points)} tumours are too few to learn a posterior from: at least {_FEWEST} are needed")
    free = to_free(points, *ends)
    embedding, numbers = fit_embedding(maps, free, scores=settings.scores)
    size = settings.mixture, settings.hidden
    networks = [fit_density(free, numbers, *size, _APART * settings.seed + n) for n in range(settings.networks)]
    return Inferred(observed, [], (points, maps), region or Region.whole(*ends), *ends, embedding, networks)


def infer_from_labels(
    problem: LabelProblem,
    observed: Maps,
    settings: NeuralSettings | None = None,
    *,
    region: Region | None = None,
    progress: Progress | None = None,
) -> Inferred:
    """Learn the posterior of the numbers that made a label map, in rounds of simulations nearer and nearer to it.

    Args:
        problem: simulator and prior.
        observed: label map, (i, j, k).
        settings: see `NeuralSettings`.
        region: of the prior to begin with; all of it by default.
        progress: told how far it has come.

    Raises:
        InputError: PyTorch or sbi is missing, or too little can be simulated.
    """
    settings = settings or NeuralSettings()
    ends = problem.low, problem.high
    region = region or Region.whole(*ends)
    rng = np.random.default_rng(settings.seed)
    points, maps = np.empty((0, len(problem.low))), np.empty((0, *observed.shape), np.uint8)
    rounds: list[Round] = []
    simulated = 0
    for number in range(1, settings.rounds + 1):
        if progress:
            progress(f"round {number} of {settings.rounds}: {settings.simulations:,} simulations")
        new, new_maps, tried = _pairs(problem, region, settings.simulations, rng)
        points, maps, simulated = np.concatenate([points, new]), np.concatenate([maps, new_maps]), simulated + tried
        inside = region.holds(points)
        points, maps = points[inside], maps[inside]
        # what looks another way says nothing of the observation, and a rough network of a wide round is better without
        last = number == settings.rounds
        near = np.arange(len(points)) if last else alike(to_free(points, *ends), maps, observed)
        if progress:
            progress(f"round {number} of {settings.rounds}: learning from {len(near):,} tumours")
        inferred = learn_posterior(points[near], maps[near], observed, ends, settings, region)
        region = Region.around(inferred.draw(_DRAWS, settings.seed), problem.high - problem.low)
        share = min(1.0, region.volume / float(np.prod(problem.high - problem.low)))
        rounds.append(Round(simulated, len(near), share))
    inferred.rounds = rounds
    return inferred


def _pairs(problem: LabelProblem, region: Region, wanted: int, rng: np.random.Generator) -> tuple[Numbers, Maps, int]:
    """Simulate points of the prior within a region: them, their label maps, and how many were tried."""
    found: list[Numbers] = []
    maps: list[Maps] = []
    tried = 0
    for _ in range(_TRIES):
        drawn = region.draw(_AT_ONCE * wanted, rng)
        drawn = drawn[((drawn >= problem.low) & (drawn <= problem.high)).all(axis=1)]
        drawn = drawn[: wanted - sum(map(len, found))]
        possible, shown = problem.label_maps(drawn, rng)
        found.append(drawn[possible])
        maps.append(shown)
        tried += len(drawn)
        if sum(map(len, found)) >= wanted:
            return np.concatenate(found), np.concatenate(maps), tried
    raise InputError(
        f"of {tried:,} tumours drawn from the prior only {sum(map(len, found)):,} could be simulated: too few to learn "
        "from"
    )


_FEWEST, _TRIES, _AT_ONCE, _DRAWS = 40, 50, 4, 5000
_APART = 1000
