"""Whether the sampler's posteriors are right: simulation-based calibration (Talts and others 2018).

Growth and imaging are drawn from a prior, images are drawn from them by the likelihood's own model, and the posterior
is sampled given these images. Where it is right, the rank of the truth among its samples is uniform, and credible
intervals of each voxel's density hold the truth as often as they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..errors import InputError
from ..retrieval.refinement.likelihood import Images, draw_images
from ..retrieval.refinement.posterior import BoxedDensity, Posterior, Sample
from ..retrieval.refinement.posterior_problem import Box, GrowthPosterior, GrowthPrior
from ..retrieval.refinement.smc import sample
from ..retrieval.refinement.smc_settings import TransitionalSettings
from ..simulate import FisherKolmogorov
from ..store.atlas import Atlas
from .refinement_benchmark import coverage

PRIOR = GrowthPrior((0.1, 1.0), (0.02, 0.1), (100.0, 300.0), pet_scale=(0.6, 0.8), pet_noise=(0.02, 0.06))
"""Tumours that fit in a part of the brain; the PET stays in [0, 1] whatever its noise."""

SEEDS = Box((20.0, -10.0, 10.0), (36.0, 6.0, 26.0))
_REGION_MM, _PET_MM = (
    45.0,
    16.0,
)  # around the middle of the seeds: fixed, as a likelihood's data must not choose its region

REDUCED = TransitionalSettings(samples=512, steps=32)


def coarse(atlas: Atlas) -> Atlas:
    """Halve an atlas's grid, for simulations that take a millisecond."""
    i, j, k = (n // 2 for n in atlas.frame.shape)
    maps = {
        name: getattr(atlas, name)[: 2 * i, : 2 * j, : 2 * k].reshape(i, 2, j, 2, k, 2).mean(axis=(1, 3, 5))
        for name in ("white", "grey", "csf", "t1")
    }
    frame = atlas.frame.crop((0, 0, 0), (2 * i, 2 * j, 2 * k)).coarsened((2, 2, 2))
    return Atlas(f"{atlas.name}, coarse", frame, **maps)


class Checked(NamedTuple):
    """How a truth lies in its posterior.

    Args:
        ranks: of each number among the samples, in [0, 1].
        coverage: share of the voxels with tumour whose density lies in its 90 % interval.
    """

    ranks: dict[str, float]
    coverage: float


def checked(atlas: Atlas, number: int, settings: TransitionalSettings = REDUCED, seed: int = 1) -> Iterator[Checked]:
    """Sample posteriors of simulated images, and say how their truths lie in them.

    Args:
        atlas: to grow in.
        number: of posteriors.
        settings: of the sampler.
        seed: of truths and images.
    """
    rng, solver = np.random.default_rng(seed), FisherKolmogorov(atlas)
    places = atlas.frame.world(np.moveaxis(np.indices(atlas.frame.shape), 0, -1))
    apart = np.linalg.norm(places - np.mean(SEEDS, axis=0), axis=-1)
    everything = Images(atlas, atlas.tissue, atlas.tissue, atlas.tissue.astype(np.float32))
    blank = GrowthPosterior(solver, everything, PRIOR, SEEDS)
    for run in range(number):
        truth, images = _drawn(blank, apart, rng)
        problem = GrowthPosterior(solver, images, PRIOR, SEEDS)
        found = sample(problem, replace(settings, seed=seed + run))
        ranks = dict(zip(blank.names, (found.points < truth).mean(axis=0).tolist(), strict=True))
        posterior = _posterior(problem, found.points[:: max(1, len(found.points) // _DENSITIES)])
        density = solver(blank.growth_of(truth))
        yield Checked(ranks, coverage(posterior, density, atlas.tissue)["coverage"])


_DENSITIES = 128  # that an interval is taken from


def _posterior(problem: GrowthPosterior, points: NDArray[np.float64]) -> Posterior:
    grown = [BoxedDensity.grown(growth) for growth in problem.tumours(points)]
    samples = tuple(
        Sample(None, (problem.imaging_of(p).core, problem.imaging_of(p).whole), density, 0.0)
        for p, density in zip(points, grown, strict=True)
    )
    weights = np.full(len(samples), 1 / len(samples))
    return Posterior("tmcmc", "atlas", problem.solver.atlas.frame, samples, weights, len(samples), 0.0, ())


def _drawn(
    blank: GrowthPosterior, apart: NDArray[np.float64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], Images]:
    """Draw numbers from the prior, and images of what grows from them."""
    atlas = blank.solver.atlas
    while True:
        truth = blank.draw(1, rng)[0]
        try:
            density = blank.solver(blank.growth_of(truth))
        except InputError:  # the seed is outside the tissue, where the posterior has nothing either
            continue
        core, whole, pet = draw_images(density, blank.imaging_of(truth), rng)
        shown = np.where((apart < _PET_MM) & atlas.tissue, np.clip(pet, 1e-6, 1.0), 0.0).astype(np.float32)
        return truth, Images(
            atlas, core & atlas.tissue, whole & atlas.tissue, shown, region=np.asarray(apart < _REGION_MM)
        )


def uniformity(found: NDArray[np.float64], bins: int = 5) -> float:
    """Chance of ranks as uneven as these, if they were uniform: p of a chi-squared test."""
    return float(stats.chisquare(np.histogram(found, bins, (0.0, 1.0))[0]).pvalue)
