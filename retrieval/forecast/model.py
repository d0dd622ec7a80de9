"""From two scans to later days: rates learned from the second, and carried on with their uncertainty (002, Fig. 3)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...store.cores import available_cores
from ...store.parameters import UNITS, GrowthParameters
from ..personalization import dice
from ..refinement import Posterior, Sample
from ..refinement.posterior import INTERVAL, BoxedDensity
from .follow_up import NAMES, FollowUp, Scan

if TYPE_CHECKING:
    from ...learn.npe.posterior_network import Inferred, NeuralSettings, Progress

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Comparison:
    """What was expected of an outline on the day of a scan, and what it shows.

    Args:
        seen_ml: volume that the scan shows.
        expected_ml, low_ml, high_ml: median and ends of the credible interval.
        dice: of the scan with what is more likely within the outline than not.
    """

    seen_ml: float
    expected_ml: float
    low_ml: float
    high_ml: float
    dice: float

    @property
    def within(self) -> bool:
        """Whether the interval holds what the scan shows."""
        return self.low_ml <= self.seen_ml <= self.high_ml


@dataclass(frozen=True)
class Compared:
    """A scan beside what was expected of its day.

    Args:
        day: after the first image.
        learned_from: it is the one that the rates were learned from.
        outlines: by name, core and whole.
    """

    day: float
    learned_from: bool
    outlines: dict[str, Comparison]


@dataclass(frozen=True, eq=False)
class Forecast:
    """What is to be expected on later days.

    Args:
        problem: what it was learned from.
        posteriors: of the density, by day: one of them that of the second scan. Their best sample fits that scan best.
        draws: numbers of the posterior, by name; the first are those of the samples, in their order.
        days: of the volumes, (t,); from the first image on.
        volumes_ml: of "core" and "whole" of each sample, (n, t) each.
        settings, diagnostics: plain values.
        doubts: for the reader.
        seconds: that it took.
        compared: the second scan, and others that nothing was learned from.
    """

    problem: FollowUp
    posteriors: dict[float, Posterior]
    draws: dict[str, Numbers]
    days: Numbers
    volumes_ml: dict[str, Numbers]
    settings: dict[str, object]
    diagnostics: dict[str, object]
    doubts: tuple[str, ...]
    seconds: float
    compared: list[Compared] = field(default_factory=list)

    def bands(self, name: str) -> dict[str, Numbers]:
        """Volume of core or whole by day: median, mean, standard deviation, and the ends of the credible interval."""
        volumes = self.volumes_ml[name]
        low, middle, high = np.quantile(volumes, [(1 - INTERVAL) / 2, 0.5, (1 + INTERVAL) / 2], axis=0)
        return {
            "median": middle,
            "mean": volumes.mean(axis=0),
            "deviation": volumes.std(axis=0),
            "low": low,
            "high": high,
        }

    def chances(self, name: str, day: float) -> NDArray[np.float32]:
        """Probability of each voxel of the frame to lie within the outline of core or whole on a day."""
        samples, which = self.posteriors[day].samples, ("core", "whole").index(name)
        share = np.zeros(self.problem.solver.atlas.frame.shape, np.float32)
        for sample in samples:
            there = sample.density.within((0, 0, 0))
            share[there] += sample.density.values >= np.float32(sample.thresholds[which])
        return share / np.float32(len(samples))


def forecast_growth(
    problem: FollowUp,
    until: Sequence[float],
    settings: NeuralSettings | None = None,
    later: Sequence[Scan] = (),
    progress: Progress | None = None,
) -> Forecast:
    """Learn the rates, and grow what may be there on.

    Args:
        problem: both scans.
        until: days after the first to look at.
        settings: of the neural posterior; 250 simulations in each of 4 rounds by default (Ezhov et al. 2019).
        later: scans to compare with, none of which is learned from.
        progress: told how far it has come.

    Raises:
        InputError: a day is not above 0, PyTorch or sbi is missing, or too little can be simulated.
    """
    from ...learn.npe.posterior_network import NeuralSettings, infer_from_labels

    begun = time.perf_counter()
    if not until or min(until) <= 0:
        raise InputError("‹forecast_days› takes days after the first image, above 0")
    settings = settings or NeuralSettings(SIMULATIONS)
    asked = sorted({problem.scan.days, *until, *(scan.days for scan in later)})
    days = np.unique([*np.linspace(0, asked[-1], _STEPS + 1), *asked])
    inferred = infer_from_labels(problem, problem.observed, settings, progress=progress)
    points = inferred.draw(_DRAWS, settings.seed + 1)
    if progress:
        progress(f"growing {SAMPLES} tumours to day {days[-1]:g}")
    with ThreadPoolExecutor(available_cores()) as pool:
        paths = list(pool.map(lambda point: _path(problem, point, days, asked), points[:SAMPLES]))
    order = np.argsort([-path.score for path in paths], kind="stable")
    points[:SAMPLES], paths = points[order], [paths[n] for n in order]
    seconds = time.perf_counter() - begun
    numbers = dict(zip(NAMES, np.column_stack([np.exp(points[:, :2]), points[:, 2:]]).T, strict=True))
    spent = inferred.rounds[-1].simulations + SAMPLES
    posteriors = {day: _posterior(problem, day, points, paths, numbers, spent, seconds) for day in asked}
    found = Forecast(
        problem,
        posteriors,
        numbers,
        days,
        {name: np.array([path.volumes_ml[:, n] for path in paths]) for n, name in enumerate(("core", "whole"))},
        asdict(settings) | {"ranges": asdict(problem.ranges), "follow_up_day": problem.scan.days},
        {"rounds": [asdict(one) for one in inferred.rounds], "strangeness": round(inferred.strangeness(), 2)},
        tuple(_doubts(problem, inferred, numbers)),
        seconds,
    )
    found.compared.extend(_compared(found, scan) for scan in (problem.scan, *later))
    return found


@dataclass(frozen=True)
class _Path:
    """What became of one draw: volumes (t, 2) of core and whole, densities of the days asked for, Dice sum."""

    volumes_ml: Numbers
    densities: dict[float, BoxedDensity]
    score: float


def _path(problem: FollowUp, point: Numbers, days: Numbers, asked: Sequence[float]) -> _Path:
    frame = problem.solver.atlas.frame
    densities, score = {}, 0.0
    grown = problem.first
    volumes = np.empty((len(days), 2))
    for n, day in enumerate(days):
        if n:
            grown = problem.grow(point, float(day - days[n - 1]), grown)
        volumes[n] = [np.count_nonzero(grown.density >= np.float32(at)) * frame.voxel_ml for at in point[2:]]
        if day in asked:
            densities[float(day)] = BoxedDensity.grown(grown)
        if day == problem.scan.days:
            density = grown.full()
            masks = problem.scan.core, problem.scan.whole
            score = sum(dice(density >= np.float32(at), mask) for at, mask in zip(point[2:], masks, strict=True))
    return _Path(volumes, densities, score)


def _posterior(
    problem: FollowUp,
    day: float,
    points: Numbers,
    paths: list[_Path],
    numbers: dict[str, Numbers],
    spent: int,
    seconds: float,
) -> Posterior:
    samples = tuple(
        Sample(
            GrowthParameters(problem.place, float(np.exp(point[0])), float(np.exp(point[1])), day),
            (float(point[2]), float(point[3])),
            path.densities[day],
            path.score,
        )
        for point, path in zip(points, paths, strict=False)
    )
    weights = np.full(len(samples), 1 / len(samples))
    frame = problem.solver.atlas.frame
    return Posterior("forecast", "patient", frame, samples, weights, spent, seconds, (), draws=numbers)


def _compared(found: Forecast, scan: Scan) -> Compared:
    at = int(np.flatnonzero(found.days == scan.days)[0])
    voxel_ml = found.problem.solver.atlas.frame.voxel_ml
    outlines = {}
    for name, mask in (("core", scan.core), ("whole", scan.whole)):
        shown, bands = found.chances(name, scan.days) >= np.float32(0.5), found.bands(name)
        expected, low, high = (float(bands[end][at]) for end in ("median", "low", "high"))
        seen_ml = float(np.count_nonzero(mask)) * voxel_ml
        outlines[name] = Comparison(seen_ml, expected, low, high, dice(shown, mask))
    return Compared(scan.days, scan is found.problem.scan, outlines)


def _doubts(problem: FollowUp, inferred: Inferred, numbers: dict[str, Numbers]) -> list[str]:
    doubts = []
    if (strange := inferred.strangeness()) > _STRANGE:
        doubts.append(
            f"the follow-up lies {strange:.1f} standard deviations from what can grow from the first image: the growth "
            "model does not explain it (treatment, shrinking, or images that do not fit each other?)"
        )
    for name in NAMES[:2]:
        low, high = np.log(getattr(problem.ranges, name))
        place = (float(np.median(np.log(numbers[name]))) - low) / (high - low)
        if not _AT_THE_END < place < 1 - _AT_THE_END:
            doubts.append(
                f"the {name} is pressed against the {'lower' if place < 0.5 else 'upper'} end of its range "
                f"({np.exp(low if place < 0.5 else high):g} {UNITS[name]}): a wider --{name} may explain more"
            )
    if not problem.scan.core.any():
        doubts.append("the follow-up shows no core: where it would show is not known, nor is its volume")
    return doubts


SIMULATIONS = 250
"""Of each round by default: in 4 rounds Ezhov et al.'s (2019) thousand."""

SAMPLES = 128
"""Draws that are grown on."""

_DRAWS, _STEPS, _STRANGE, _AT_THE_END = 2048, 24, 4.0, 0.02
