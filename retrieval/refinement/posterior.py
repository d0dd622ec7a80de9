"""What a stage after retrieval knows: tumours with weights, and what they say of every voxel together.

Every stage has this one result, retrieval alone too: its best matches, weighted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...simulate import Growth
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
        least_jacobian: see `Growth`.
    """

    values: NDArray[np.float32]
    low: tuple[int, int, int]
    least_jacobian: float = 1.0

    @classmethod
    def grown(cls, run: Growth) -> BoxedDensity:
        """Keep what a simulation ended with."""
        return cls(run.density, run.low, run.least_jacobian)

    @classmethod
    def of(cls, density: NDArray[np.float32]) -> BoxedDensity:
        """Leave out the zeros around a density."""
        inside = np.argwhere(density > 0)
        if not len(inside):
            return cls(density[:1, :1, :1], (0, 0, 0))
        low, high = inside.min(0), inside.max(0) + 1
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return cls(np.ascontiguousarray(density[box]), (int(low[0]), int(low[1]), int(low[2])))

    def within(self, low: tuple[int, int, int]) -> tuple[slice, ...]:
        """Where the values lie in an array whose first voxel is `low`."""
        return tuple(slice(a - b, a - b + n) for a, b, n in zip(self.low, low, self.values.shape, strict=True))

    def full(self, frame: Frame) -> NDArray[np.float32]:
        """Density on the whole frame."""
        out = np.zeros(frame.shape, np.float32)
        out[self.within((0, 0, 0))] = self.values
        return out


@dataclass(frozen=True)
class Sample:
    """A tumour of a posterior.

    Args:
        parameters: what it was simulated with, None where nobody knows; the seed is in mm of the posterior's frame.
        thresholds: of core and whole.
        density: on the posterior's frame.
        score: what the stage compares tumours by; the largest is the best.
        stored: id of the tumour of the store that it is; None where it was simulated for the patient.
    """

    parameters: GrowthParameters | None
    thresholds: tuple[float, float]
    density: BoxedDensity
    score: float
    stored: int | None = None


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
        draws: numbers of equally probable draws, the best first, of which the samples are some; empty where these are
            all there is.
        diagnostics: by which to judge whether the stage did its work, plain values.
        doubts: for the reader of the report.

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
    draws: dict[str, Numbers] = field(default_factory=dict)
    diagnostics: dict[str, object] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()

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

    def numbers(self) -> tuple[dict[str, Numbers], Numbers]:
        """Numbers of all that the posterior holds, by name, and their weights: seed, mu1, mu2, thresholds, and more."""
        if self.draws:
            count = len(next(iter(self.draws.values())))
            return self.draws, np.full(count, 1 / count)
        columns: dict[str, Numbers] = {}
        known = [sample.parameters for sample in self.samples if sample.parameters is not None]
        if len(known) == len(self.samples):
            columns = {f"seed_{axis}_mm": np.array([p.seed_mm[n] for p in known]) for n, axis in enumerate("xyz")}
            columns |= {"mu1_mm": np.array([p.mu1 for p in known]), "mu2": np.array([p.mu2 for p in known])}
            if len({p.mass_effect for p in known}) > 1:
                columns["mass_effect_kpa"] = np.array([p.mass_effect / 1000 for p in known])
        thresholds = np.array([sample.thresholds for sample in self.samples])
        return columns | {"threshold_core": thresholds[:, 0], "threshold_whole": thresholds[:, 1]}, self.weights

    def intervals(self) -> dict[str, dict[str, float]]:
        """Mean and credible interval of each number."""
        columns, weights = self.numbers()
        tails = (1 - INTERVAL) / 2, (1 + INTERVAL) / 2
        return {
            name: {
                "mean": float(np.average(values, weights=weights)),
                "low": weighted_quantile(values, weights, tails[0]),
                "high": weighted_quantile(values, weights, tails[1]),
            }
            for name, values in columns.items()
        }

    def maps(self, level: float) -> DensityMaps:
        """Say what all samples tell of every voxel of the frame.

        Args:
            level: density whose exceedance is asked for.
        """
        low, shape = self._box()
        mean, square, exceedance = (np.zeros(shape) for _ in range(3))
        for sample, weight in zip(self.samples, self.weights, strict=True):
            there, values = sample.density.within(low), sample.density.values
            mean[there] += weight * values
            square[there] += weight * np.square(values, dtype=np.float64)
            exceedance[there] += weight * (values >= np.float32(level))
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        full = [BoxedDensity(v.astype(np.float32), low).full(self.frame) for v in (mean, deviation, exceedance)]
        return DensityMaps(full[0], full[1], full[2], level)

    def credible_maps(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Find the ends of every voxel's credible interval of `INTERVAL`, float32 on the frame."""
        low, shape = self._box()
        stack = np.zeros((len(self.samples), *shape), np.float32)
        for row, sample in zip(stack, self.samples, strict=True):
            row[sample.density.within(low)] = sample.density.values
        flat = stack.reshape(len(stack), -1)
        grown = np.flatnonzero(flat.max(axis=0) > 0)
        ends = np.zeros((2, flat.shape[1]), np.float32)
        for part in np.array_split(grown, max(1, len(grown) // _VOXELS_AT_ONCE)):
            ends[:, part] = _interval_of_rows(flat[:, part], self.weights)
        bottom, top = (BoxedDensity(end.reshape(shape), low).full(self.frame) for end in ends)
        return bottom, top

    def _box(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """First voxel and shape of the box that holds all samples."""
        low = np.min([sample.density.low for sample in self.samples], axis=0)
        high = np.max([np.add(s.density.low, s.density.values.shape) for s in self.samples], axis=0)
        i, j, k = (int(n) for n in high - low)
        return (int(low[0]), int(low[1]), int(low[2])), (i, j, k)


@dataclass(frozen=True)
class DensityMaps:
    """What a posterior says of every voxel, float32 on its frame.

    Args:
        mean, deviation: of the density; the standard deviation.
        exceedance: probability that the density is at least `level`.
        level: see `exceedance`.
    """

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    exceedance: NDArray[np.float32]
    level: float


def weighted_quantile(values: Numbers, weights: Numbers, share: float) -> float:
    """Smallest value that at least `share` of the weight does not exceed."""
    order = np.argsort(values, kind="stable")
    reached = int(np.searchsorted(np.cumsum(weights[order]), share - _ROUNDING))
    return float(values[order[min(reached, len(order) - 1)]])


def _interval_of_rows(rows: NDArray[np.float32], weights: Numbers) -> NDArray[np.float32]:
    """`weighted_quantile` of both ends of the interval, of each column of (samples, voxels); (2, voxels)."""
    order = np.argsort(rows, axis=0, kind="stable")
    reached = np.cumsum(weights[order], axis=0)
    ends = []
    for share in ((1 - INTERVAL) / 2, (1 + INTERVAL) / 2):
        row = np.minimum((reached < share - _ROUNDING).sum(axis=0), len(rows) - 1)
        ends.append(np.take_along_axis(rows, np.take_along_axis(order, row[None], axis=0), axis=0)[0])
    return np.stack(ends)


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
_VOXELS_AT_ONCE = 20_000
