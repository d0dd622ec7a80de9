"""The posterior of a tumour's growth and of its images: Ezhov et al.'s (2021) eleven parameters.

Six say how it grew (seed, D, ρ, T) and five how it shows (two thresholds and their width, scale and noise of the PET);
those of missing images are left out. Seeds are uniform in a box, the logarithms of all others between the ends of the
ranges (GliomaSolver's sampler: the paper says the ranges only).

A density depends on D, ρ and T through μ1 = √(DT) and μ2 = √(ρT) alone (Ezhov et al. 2023), so points are written with
these: five numbers are simulated, and T, like the imaging, is drawn without a simulation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...simulate import Growth, GrowthSolver, Prior
from ...store.atlas import Atlas
from ...store.cores import available_cores
from ...store.parameters import GrowthParameters
from .likelihood import Evidence, Images, Imaging, sphere_radius_mm
from .proposals import Start

Numbers = NDArray[np.float64]
Range = tuple[float, float]


@dataclass(frozen=True)
class GrowthPrior:
    """Ranges of the numbers, beside the seed's; the defaults are those of Ezhov et al. (2021, Table I).

    Args:
        diffusivity: D_w, mm²/day.
        proliferation: ρ, 1/day.
        duration: T, days.
        core, whole: u_c of T1Gd and FLAIR.
        width: σ_α.
        pet_scale: b.
        pet_noise: σ.
    """

    diffusivity: Range = (0.001, 0.09)
    proliferation: Range = (0.001, 0.03)
    duration: Range = (30.0, 1000.0)
    core: Range = (0.6, 0.8)
    whole: Range = (0.05, 0.6)
    width: Range = (0.05, 0.08)
    pet_scale: Range = (0.6, 1.02)
    pet_noise: Range = (0.01, 0.25)

    @classmethod
    def of_store(cls, prior: Prior) -> GrowthPrior:
        """Growth as widely as a store's tumours; images as in the paper."""
        return cls(prior.diffusivity, prior.proliferation, prior.duration)


class Box(NamedTuple):
    """Where seeds may lie, mm along the world's axes."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]


def seed_box(atlas: Atlas, images: Images) -> Box:
    """Find where a seed may lie: around the core's centre of mass, 1.25 times the radius of a sphere as large to every
    side (GliomaSolver's preprocessing). Without a core, around all that shows.
    """
    mask = images.core if images.core is not None and images.core.any() else images.outline
    voxels = np.argwhere(mask)
    centre = atlas.frame.world(voxels.mean(axis=0))
    reach = _REACH * sphere_radius_mm(len(voxels) * atlas.frame.voxel_ml)
    low, high = centre - reach, centre + reach
    return Box((float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2])))


_REACH = 1.25


class Rates:
    """Where seeds and growth may lie: points (n, 6) of seed in mm, ln μ1 (mm), ln μ2 and ln T (days).

    Args:
        seeds: see `seed_box`.
        prior: ranges of D, ρ and T, whose logarithms are uniform.
    """

    def __init__(self, seeds: Box, prior: GrowthPrior) -> None:
        self.seeds = seeds
        ends = np.log([prior.diffusivity, prior.proliferation, prior.duration])
        self.low, self.high = np.array([*seeds.low, *ends[:, 0]]), np.array([*seeds.high, *ends[:, 1]])
        # of ln D = 2 ln μ1 - ln T and ln ρ = 2 ln μ2 - ln T the determinant is 4
        self._log = math.log(4.0) - float(np.log(self.high - self.low).sum())

    def draw(self, number: int, rng: np.random.Generator) -> Numbers:
        """Draw points."""
        drawn = rng.uniform(self.low, self.high, (number, 6))
        drawn[:, 3:5] = (drawn[:, 3:5] + drawn[:, 5:]) / 2
        return np.asarray(drawn)

    def holds(self, points: Numbers) -> NDArray[np.bool_]:
        """Which points lie in the ranges."""
        rates = points.copy()
        rates[:, 3:5] = 2 * points[:, 3:5] - points[:, 5:]
        return np.asarray(((rates >= self.low) & (rates <= self.high)).all(axis=1))

    def log_density(self, points: Numbers) -> Numbers:
        """Logarithm of their density, (n,)."""
        return np.where(self.holds(points), self._log, -math.inf)


class GrowthPosterior:
    """The posterior as `transitional.sample` asks for it.

    Args:
        solver: of the anatomy that the images lie in.
        images: of the patient.
        prior: ranges of growth and imaging.
        seeds: where the seed may lie.
        start: of the growth; the prior itself by default.
        largest_ml: whole tumours (density of at least 0.2) beyond this are ruled out before they are grown.
        mass_effect: of all tumours, Pa.
    """

    def __init__(
        self,
        solver: GrowthSolver,
        images: Images,
        prior: GrowthPrior,
        seeds: Box,
        start: Start | None = None,
        largest_ml: float | None = None,
        mass_effect: float = 0.0,
    ) -> None:
        self.mass_effect = mass_effect
        self.solver, self.images, self.prior, self.largest_ml = solver, images, prior, largest_ml
        self.names = (*_GROWTH, *(name for name in _IMAGING if _needed(name) & set(images.known)))
        self.rates = Rates(seeds, prior)
        shows = np.log([getattr(prior, name) for name in self.names[len(_GROWTH) :]])
        self._low, self._high = shows[:, 0], shows[:, 1]
        self.start = start

    @property
    def simulated(self) -> int:
        """See `Problem`."""
        return len(_GROWTH) - 1  # all but the duration

    def draw(self, number: int, rng: np.random.Generator) -> Numbers:
        """See `Problem`."""
        if self.start is not None:
            return self.start.draw(number, rng)
        shows = rng.uniform(self._low, self._high, (number, len(self._low)))
        return np.column_stack([self.rates.draw(number, rng), shows])

    def beginning(self, start: Start | None) -> GrowthPosterior:
        """Make the same posterior with another start."""
        other = copy(self)
        other.start = start
        return other

    def log_start(self, points: Numbers) -> Numbers:
        """See `Problem`."""
        return self.log_prior(points) if self.start is None else self.start.log_density(points)

    def log_prior(self, points: Numbers) -> Numbers:
        """See `Problem`."""
        density = self.rates.log_density(points[:, : len(_GROWTH)]) - float(np.log(self._high - self._low).sum())
        return np.where(self.allows(points), density, -math.inf)

    def allows(self, points: Numbers) -> NDArray[np.bool_]:
        """Which points the prior allows."""
        growth, shows = np.split(points, [len(_GROWTH)], axis=1)
        return np.asarray(self.rates.holds(growth) & ((shows >= self._low) & (shows <= self._high)).all(axis=1))

    @property
    def beside_shape(self) -> tuple[Numbers, Numbers]:
        """Ends of the numbers that shape no density: ln T, and the imaging's."""
        return np.array([self.rates.low[5], *self._low]), np.array([self.rates.high[5], *self._high])

    def simulate(self, points: Numbers) -> list[Evidence | None]:
        """See `Problem`; None where nothing grows, or too much."""
        with ThreadPoolExecutor(available_cores()) as pool:
            return list(pool.map(self._evidence, points))

    def tumours(self, points: Numbers) -> list[Growth]:
        """Simulate points, that were simulated before, for their densities."""
        with ThreadPoolExecutor(available_cores()) as pool:
            return list(pool.map(lambda point: self.solver.grow(self.growth_of(point)), points))

    def log_likelihood(self, points: Numbers, outcomes: Sequence[Evidence | None]) -> Numbers:
        """See `Problem`."""
        return np.array(
            [
                -math.inf if outcome is None else self.images.log_likelihood(outcome, self.imaging_of(point))
                for point, outcome in zip(points, outcomes, strict=True)
            ]
        )

    def growth_of(self, point: Numbers) -> GrowthParameters:
        """Growth that a point stands for."""
        x, y, z, mu1, mu2, duration = (float(v) for v in point[: len(_GROWTH)])
        found = GrowthParameters.from_mu((x, y, z), math.exp(mu1), math.exp(mu2), math.exp(duration))
        return replace(found, mass_effect=self.mass_effect)

    def imaging_of(self, point: Numbers) -> Imaging:
        """Imaging that a point stands for; what no image needs is at its default."""
        known = dict(zip(self.names[len(_GROWTH) :], np.exp(point[len(_GROWTH) :]).tolist(), strict=True))
        return Imaging(**({"core": _NO_MATTER, "whole": _NO_MATTER, "width": _NO_MATTER} | known))

    def _evidence(self, point: Numbers) -> Evidence | None:
        try:
            tumour = self.solver.grow(self.growth_of(point), self.largest_ml)
        except InputError:  # the seed is outside the tissue, or the equations were not solved
            return None
        return None if tumour.outgrew or tumour.least_jacobian <= 0 else self.images.evidence(tumour)


_GROWTH = "seed_x_mm", "seed_y_mm", "seed_z_mm", "mu1_mm", "mu2", "duration"
_IMAGING = "core", "whole", "width", "pet_scale", "pet_noise"
_NO_MATTER = 0.5


def _needed(name: str) -> set[str]:
    """Images of which one must be there for a parameter to matter."""
    return {"core": {"core"}, "whole": {"whole"}, "width": {"core", "whole"}}.get(name, {"pet"})
