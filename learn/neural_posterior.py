"""Sequential neural posterior estimation (paper 002): from simulated label maps to the posterior of what made them.

A mixture density network learns the posterior of the numbers given an embedded label map, from pairs that are simulated
in rounds. Each round draws from the prior cut off to a box around what the last one left possible for the observation
(truncated proposals, Deistler and others 2022): within the box this is the prior still, so the loss needs none of the
importance weights of the paper's Eq. 3, whose variance ruins small rounds, and pairs of earlier rounds count on.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .encoder import require_torch
from .label_embedding import LabelEmbedding, Maps, fit_embedding

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
        regress: give the networks regressions on the outlines, too; see `label_embedding`.
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
    regress: bool = True
    networks: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("rounds", "mixture", "hidden", "networks"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.simulations < _FEWEST:
            raise InputError(
                f"{self.simulations} simulations a round are too few to learn from: give at least {_FEWEST}"
            )
        if self.seed < 0:
            raise InputError(f"a seed must not be negative, not {self.seed}")


@dataclass(frozen=True)
class Region:
    """Part of a prior: a box along the axes in which a posterior is spread, (d,) each.

    Args:
        centre: of the points that it was made around.
        axes: its directions as columns, (d, d).
        low, high: its ends along them.
    """

    centre: Numbers
    axes: Numbers
    low: Numbers
    high: Numbers

    @classmethod
    def whole(cls, low: Numbers, high: Numbers) -> Region:
        """All of a prior."""
        centre = (low + high) / 2
        return cls(centre, np.eye(len(low)), low - centre, high - centre)

    @classmethod
    def around(cls, points: Numbers, unit: Numbers) -> Region:
        """Box that holds nearly all points, with a margin.

        Args:
            points: draws of a posterior, (n, d).
            unit: by which numbers are comparable, (d,).
        """
        centre = points.mean(axis=0)
        _, directions = np.linalg.eigh(np.cov((points / unit).T) + np.diag(np.full(len(unit), 1e-12)))
        axes = unit[:, None] * directions
        along = np.linalg.solve(axes, (points - centre).T).T
        low, high = np.quantile(along, [_TAIL, 1 - _TAIL], axis=0)
        margin = _MARGIN * np.maximum(high - low, 1e-9)
        return cls(centre, axes, low - margin, high + margin)

    @property
    def volume(self) -> float:
        """Volume, beyond the prior's ends too."""
        return float(np.prod(self.high - self.low) * abs(np.linalg.det(self.axes)))

    def holds(self, points: Numbers) -> NDArray[np.bool_]:
        """Which points lie in it."""
        along = np.linalg.solve(self.axes, (points - self.centre).T).T
        return np.asarray(((along >= self.low) & (along <= self.high)).all(axis=1))

    def draw(self, number: int, rng: np.random.Generator) -> Numbers:
        """Draw points uniformly."""
        return np.asarray(self.centre + rng.uniform(self.low, self.high, (number, len(self.low))) @ self.axes.T)


@dataclass(frozen=True)
class Round:
    """What became of one round.

    Args:
        simulations: tried so far, those that came to nothing too.
        pairs: that were learned from: those of all rounds within the region.
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
    """

    observed: Maps
    rounds: list[Round]
    pairs: tuple[Numbers, Maps]
    _low: Numbers
    _high: Numbers
    _embedding: LabelEmbedding
    _networks: list[_Density]

    def draw(self, number: int, seed: int, label_map: Maps | None = None) -> Numbers:
        """Draw from the posterior given a label map, by default the observed one, (number, d)."""
        torch = require_torch()
        with torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(seed)
            condition, count = self._condition(label_map), -(-number // len(self._networks))
            drawn = np.stack([network.draw(count, condition) for network in self._networks], axis=1)
        return _from_free(drawn.reshape(-1, drawn.shape[-1])[:number], self._low, self._high)

    def log_density(self, points: Numbers, label_map: Maps | None = None) -> Numbers:
        """Logarithm of the posterior's density at points (n, d)."""
        free, condition = _to_free(points, self._low, self._high), self._condition(label_map)
        each = np.stack([network.log_density(free, condition) for network in self._networks])
        found = np.logaddexp.reduce(each, axis=0) - np.log(len(self._networks))
        share = np.clip((points - self._low) / (self._high - self._low), _EDGE, 1 - _EDGE)
        stretch = -np.log(share * (1 - share) * (self._high - self._low)).sum(axis=1)
        return np.asarray(found + stretch)

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


@dataclass(frozen=True)
class _Density:
    """Density of unbounded points given the numbers of a label map: a mixture around their linear regression on it.

    What is left to learn is how the truth is spread around the regression, and how that changes from map to map.

    Args:
        network: of sbi, for what is left over `spread`.
        weights: of the regression, (p + 1, d).
        spread: of what it leaves, (d,).
    """

    network: Any
    weights: Numbers
    spread: Numbers

    def draw(self, number: int, condition: NDArray[np.float32]) -> Numbers:
        """Draw points given the numbers (1, p) of one label map, from PyTorch's random numbers."""
        left = self.network.sample((number,), condition=require_torch().from_numpy(condition))
        return np.asarray(self._foretold(condition) + self.spread * left[:, 0].double().numpy())

    def log_density(self, points: Numbers, condition: NDArray[np.float32]) -> Numbers:
        """Logarithm of the density at points (n, d), given one label map."""
        torch = require_torch()
        left = (points - self._foretold(condition)) / self.spread
        with torch.inference_mode():
            found = self.network.log_prob(
                torch.from_numpy(left).float()[:, None], condition=torch.from_numpy(condition)
            )
        return np.asarray(found.double().numpy().reshape(-1) - np.log(self.spread).sum())

    def _foretold(self, condition: NDArray[np.float32]) -> Numbers:
        return np.column_stack([condition, np.ones(len(condition))]) @ self.weights


def learn_posterior(
    points: Numbers, maps: Maps, observed: Maps, ends: tuple[Numbers, Numbers], settings: NeuralSettings
) -> Inferred:
    """Learn the posterior of the numbers (n, d) that made label maps (n, i, j, k), from these alone.

    Args:
        points: drawn from the prior, or from a part of it.
        maps: of each.
        observed: label map that will be asked for, (i, j, k).
        ends: lower and upper ends of the prior, (d,) each.
        settings: see `NeuralSettings`.

    Raises:
        InputError: PyTorch or sbi is missing, or the pairs are too few to learn from.
    """
    require_sbi()
    if len(points) < _FEWEST:
        raise InputError(f"{len(points)} tumours are too few to learn a posterior from: at least {_FEWEST} are needed")
    free = _to_free(points, *ends)
    embedding, numbers = fit_embedding(maps, free, settings.seed, regress=settings.regress)
    networks = [_trained(free, numbers, settings, n) for n in range(settings.networks)]
    return Inferred(observed, [], (points, maps), *ends, embedding, networks)


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
        if progress:
            progress(f"round {number} of {settings.rounds}: learning from {len(points):,} tumours")
        inferred = learn_posterior(points, maps, observed, ends, settings)
        region = Region.around(inferred.draw(_DRAWS, settings.seed), problem.high - problem.low)
        share = min(1.0, region.volume / float(np.prod(problem.high - problem.low)))
        rounds.append(Round(simulated, len(points), share))
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


def require_sbi() -> Any:
    """Import sbi.

    Raises:
        InputError: it is not installed.
    """
    require_torch()
    try:
        import sbi
    except ImportError as error:
        raise InputError("neural posteriors need sbi: pip install 'gliodex[learn]'") from error
    return sbi


class _Silent:
    """A tracker that keeps nothing: sbi's own writes a folder of logs where one stands."""

    log_dir = None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments, **options: None


def _trained(points: Numbers, numbers: NDArray[np.float32], settings: NeuralSettings, which: int) -> _Density:
    """Fit a mixture density network to pairs of unbounded points (n, d) and embedded label maps (n, p)."""
    torch = require_torch()
    from sbi.inference import NPE_C
    from sbi.neural_nets import posterior_nn

    given = np.column_stack([numbers, np.ones(len(numbers))]).astype(np.float64)
    inner = given.T @ given + _PENALTY * len(given) * np.eye(given.shape[1])
    weights = np.linalg.solve(inner, given.T @ points)
    left = points - given @ weights
    spread = np.maximum(left.std(axis=0), _LEAST_SPREAD)
    build = posterior_nn(
        "mdn", hidden_features=settings.hidden, num_components=settings.mixture, z_score_theta="none", z_score_x="none"
    )
    with torch.random.fork_rng(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scaling that is left out here
        torch.manual_seed(_APART * settings.seed + which)
        trainer = NPE_C(density_estimator=build, tracker=_Silent(), show_progress_bars=False)
        trainer.append_simulations(torch.from_numpy(left / spread).float(), torch.from_numpy(numbers))
        network = trainer.train(
            training_batch_size=min(_BATCH, len(points) // 4), learning_rate=_RATE, max_num_epochs=_EPOCHS
        )
    return _Density(network, np.asarray(weights), np.asarray(spread, np.float64))


def _to_free(points: Numbers, low: Numbers, high: Numbers) -> Numbers:
    """Stretch a prior's box to all of space (logit), so that no mixture leaks out of it."""
    share = np.clip((points - low) / (high - low), _EDGE, 1 - _EDGE)
    return np.asarray(np.log(share / (1 - share)))


def _from_free(free: Numbers, low: Numbers, high: Numbers) -> Numbers:
    return np.asarray(low + (high - low) / (1 + np.exp(-free)))


_FEWEST, _TRIES, _AT_ONCE, _DRAWS = 40, 50, 4, 5000
_TAIL, _MARGIN = 5e-4, 0.1  # of the draws, and of the box's sides
_EDGE, _APART = 1e-6, 1000
_BATCH, _RATE, _EPOCHS = 50, 1e-3, 300
_PENALTY, _LEAST_SPREAD = 1e-4, 1e-6
