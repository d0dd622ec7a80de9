"""What a stage after retrieval knows: tumours with weights, and what they say of every voxel together.

Every stage has this one result, retrieval alone too: its best matches, weighted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...store.frame import Frame
from ...store.parameters import GrowthParameters

INTERVAL = 0.9
"""Share of a posterior that its credible intervals hold."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class BoxedDensity:
    """A density on a frame, kept without the zeros around it.

    Args:
        values: float32 in [0, 1].
        low: first voxel of them on the frame.
    """

    values: NDArray[np.float32]
    low: tuple[int, int, int]

    @classmethod
    def of(cls, density: NDArray[np.float32]) -> BoxedDensity:
        """Leave out the zeros around a density."""
        inside = np.argwhere(density > 0)
        if not len(inside):
            return cls(density[:1, :1, :1], (0, 0, 0))
        low, high = inside.min(0), inside.max(0) + 1
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return cls(np.ascontiguousarray(density[box]), (int(low[0]), int(low[1]), int(low[2])))

    def full(self, frame: Frame) -> NDArray[np.float32]:
        """Density on the whole frame."""
        out = np.zeros(frame.shape, np.float32)
        out[tuple(slice(a, a + n) for a, n in zip(self.low, self.values.shape, strict=True))] = self.values
        return out


@dataclass(frozen=True)
class Sample:
    """A tumour of a posterior.

    Args:
        parameters: what it was simulated with, None where nobody knows; the seed is in mm of the posterior's frame.
        thresholds: of core and whole.
        density: on the posterior's frame.
        score: what the stage compares tumours by; the largest is the best.
    """

    parameters: GrowthParameters | None
    thresholds: tuple[float, float]
    density: BoxedDensity
    score: float


@dataclass(frozen=True)
class Posterior:
    """Tumours that explain an observation, with weights.

    Args:
        method: that found them.
        space: whose mm their seeds are in: "atlas" or "patient".
        frame: of the densities.
        samples: the one that fits best (the maximum a posteriori) first.
        weights: of the samples, summing up to 1.
        evaluations: tumours that were simulated or compared for it.
        seconds: that it took.
        began_from: tumours of the store.
        settings: of the stage, plain values.

    Raises:
        InputError: there are no samples, or the weights are not theirs.
    """

    method: str
    space: str
    frame: Frame
    samples: tuple[Sample, ...]
    weights: Numbers
    evaluations: int
    seconds: float
    began_from: tuple[int, ...]
    settings: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fits = len(self.samples) == len(self.weights) > 0 and (self.weights >= 0).all()
        if not fits or not np.isclose(self.weights.sum(), 1.0):
            raise InputError(f"a posterior needs samples with weights that sum up to 1, not {self.weights}")

    @property
    def best(self) -> Sample:
        """The sample that fits best."""
        return self.samples[0]

    @property
    def effective_samples(self) -> float:
        """How many samples of equal weight would tell as much (Kish)."""
        return float(1.0 / (self.weights**2).sum())

    def intervals(self) -> dict[str, dict[str, float]]:
        """Mean and credible interval of each number that the samples have: seed, mu1, mu2, thresholds."""
        columns: dict[str, list[float]] = {"threshold_core": [], "threshold_whole": []}
        for sample in self.samples:
            columns["threshold_core"].append(sample.thresholds[0])
            columns["threshold_whole"].append(sample.thresholds[1])
        if all(sample.parameters is not None for sample in self.samples):
            known = [sample.parameters for sample in self.samples if sample.parameters is not None]
            columns |= {f"seed_{axis}_mm": [p.seed_mm[n] for p in known] for n, axis in enumerate("xyz")}
            columns |= {"mu1_mm": [p.mu1 for p in known], "mu2": [p.mu2 for p in known]}
        tails = (1 - INTERVAL) / 2, (1 + INTERVAL) / 2
        return {
            name: {
                "mean": float(np.average(values, weights=self.weights)),
                "low": weighted_quantile(np.array(values), self.weights, tails[0]),
                "high": weighted_quantile(np.array(values), self.weights, tails[1]),
            }
            for name, values in columns.items()
        }

    def maps(self, level: float) -> DensityMaps:
        """Say what all samples tell of every voxel of the frame.

        Args:
            level: density whose exceedance is asked for.
        """
        low = np.min([sample.density.low for sample in self.samples], axis=0)
        high = np.max([np.add(s.density.low, s.density.values.shape) for s in self.samples], axis=0)
        stack = np.zeros((len(self.samples), *(high - low)), np.float32)
        for row, sample in zip(stack, self.samples, strict=True):
            start = np.subtract(sample.density.low, low)
            row[tuple(slice(a, a + n) for a, n in zip(start, sample.density.values.shape, strict=True))] = (
                sample.density.values
            )
        mean = np.tensordot(self.weights, stack, axes=1)
        deviation = np.sqrt(np.maximum(np.tensordot(self.weights, stack.astype(np.float64) ** 2, axes=1) - mean**2, 0))
        exceedance = np.tensordot(self.weights, stack >= np.float32(level), axes=1)
        tails = (1 - INTERVAL) / 2, (1 + INTERVAL) / 2
        bounds = [_quantile_of_stack(stack, self.weights, share) for share in tails]
        at = (int(low[0]), int(low[1]), int(low[2]))
        full = [BoxedDensity(v.astype(np.float32), at).full(self.frame) for v in (mean, deviation, exceedance, *bounds)]
        return DensityMaps(full[0], full[1], full[2], full[3], full[4], level)


@dataclass(frozen=True)
class DensityMaps:
    """What a posterior says of every voxel, float32 on its frame.

    Args:
        mean, deviation: of the density; the standard deviation.
        exceedance: probability that the density is at least `level`.
        low, high: ends of the credible interval of `INTERVAL`.
        level: see `exceedance`.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    exceedance: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    level: float


def weighted_quantile(values: Numbers, weights: Numbers, share: float) -> float:
    """Smallest value that at least `share` of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    reached = int(np.searchsorted(np.cumsum(weights[order]), share - _ROUNDING))
    return float(values[order[min(reached, len(order) - 1)]])


def _quantile_of_stack(stack: NDArray[np.float32], weights: Numbers, share: float) -> NDArray[np.float32]:
    """`weighted_quantile` of every voxel; `stack` is (samples, *box)."""
    flat = stack.reshape(len(stack), -1)
    order = np.argsort(flat, axis=0, kind="stable")
    reached = np.cumsum(weights[order], axis=0) < share - _ROUNDING
    row = np.minimum(reached.sum(axis=0), len(stack) - 1)
    found = np.take_along_axis(flat, np.take_along_axis(order, row[None], axis=0), axis=0)
    return np.asarray(found.reshape(stack.shape[1:]), np.float32)


def weights_of_scores(scores: Sequence[float] | Numbers, sharpness: float) -> Numbers:
    """Weigh tumours by how far their Dice sums are from the largest that there can be: (2 − score)^(−sharpness).

    A Gaussian likelihood of unknown variance has this form for a sum of squares of twice as many observations.
    Where something fits perfectly, a rest of `LEAST_MISFIT` is left.
    """
    misfits = misfits_of(scores)
    weights = (misfits / misfits.min()) ** -sharpness
    return np.asarray(weights / weights.sum())


def misfits_of(scores: Sequence[float] | Numbers) -> Numbers:
    """Say what Dice sums lack to 2, but no less than `LEAST_MISFIT`."""
    return np.asarray(np.maximum(2.0 - np.asarray(scores, np.float64), LEAST_MISFIT))


LEAST_MISFIT = 0.005
"""Of a Dice sum: what outlines on a grid of 2 mm cannot tell apart."""

_ROUNDING = 1e-12
