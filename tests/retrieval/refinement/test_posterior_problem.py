import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from gliodex.retrieval.refinement.likelihood import Images, Imaging, draw_images
from gliodex.retrieval.refinement.posterior_problem import Box, GrowthPosterior, GrowthPrior, Rates, seed_box
from gliodex.simulate import FisherKolmogorov, GrowthParameters, MassEffect, Prior

TRUTH = GrowthParameters((-8.0, -20.0, 12.0), 0.4, 0.05, 200.0)
WIDE = GrowthPrior((0.1, 1.0), (0.01, 0.1), (100.0, 400.0))


@pytest.fixture(scope="module")
def solver(small_atlas):
    return FisherKolmogorov(small_atlas)


@pytest.fixture(scope="module")
def images(solver):
    core, whole, pet = draw_images(solver(TRUTH), Imaging(0.7, 0.3, 0.06, 0.8, 0.05), np.random.default_rng(3))
    tissue = solver.atlas.tissue
    return Images(solver.atlas, core & tissue, whole & tissue, np.clip(pet * tissue, 0, 1))


@pytest.fixture(scope="module")
def posterior(solver, images):
    return GrowthPosterior(solver, images, WIDE, seed_box(solver.atlas, images))


def test_the_paper_has_eleven_parameters_and_their_ranges(posterior, images, solver):
    assert len(posterior.names) == 11
    prior = GrowthPrior()
    assert dataclasses.astuple(prior) == (
        (0.001, 0.09), (0.001, 0.03), (30, 1000), (0.6, 0.8), (0.05, 0.6), (0.05, 0.08), (0.6, 1.02), (0.01, 0.25),
    )  # fmt: skip
    stored = GrowthPrior.of_store(Prior())
    assert (stored.diffusivity, stored.whole) == (Prior().diffusivity, prior.whole)


@pytest.mark.slow
def test_the_mass_effect_is_that_which_is_given(solver, images):
    """It is not searched: outlines alone hardly tell how hard a tumour pushes."""
    seeds = seed_box(solver.atlas, images)
    pushing = GrowthPosterior(MassEffect(solver.atlas), images, WIDE, seeds, mass_effect=9000.0)
    (point,) = pushing.draw(1, np.random.default_rng(2))
    still = GrowthPosterior(solver, images, WIDE, seeds)
    assert pushing.growth_of(point) == dataclasses.replace(still.growth_of(point), mass_effect=9000.0)
    (grown,) = pushing.tumours(point[None])
    assert grown.least_jacobian < 1


def test_a_tumour_that_folds_the_tissue_is_impossible(solver, images, monkeypatch):
    pushing = GrowthPosterior(MassEffect(solver.atlas), images, WIDE, seed_box(solver.atlas, images), mass_effect=9e3)
    (point,) = pushing.draw(1, np.random.default_rng(2))
    assert pushing._evidence(point) is not None
    plain = MassEffect.grow
    monkeypatch.setattr(MassEffect, "grow", lambda self, *a: dataclasses.replace(plain(self, *a), least_jacobian=0.0))
    assert pushing._evidence(point) is None


@pytest.mark.parametrize(
    ("missing", "left"),
    [
        ({"pet"}, ("core", "whole", "width")),
        ({"core"}, ("whole", "width", "pet_scale", "pet_noise")),
        ({"core", "whole"}, ("pet_scale", "pet_noise")),
        ({"whole", "pet"}, ("core", "width")),
    ],
)
def test_what_no_image_shows_has_no_parameter(solver, images, missing, left):
    there = {name: None if name in missing else getattr(images, name) for name in ("core", "whole", "pet")}
    fewer = Images(solver.atlas, **there)
    problem = GrowthPosterior(solver, fewer, WIDE, seed_box(solver.atlas, fewer))
    assert problem.names[6:] == left
    point = problem.draw(1, np.random.default_rng(1))[0]
    assert math.isfinite(problem.log_likelihood(point[None], [None])[0]) is False
    assert math.isfinite(problem.log_prior(point[None])[0])


def test_the_prior_is_uniform_in_the_logarithms_of_rates_and_duration(posterior):
    drawn = posterior.draw(20_000, np.random.default_rng(2))
    assert np.ptp(posterior.log_prior(drawn)) == 0
    growth = [posterior.growth_of(point) for point in drawn]
    for name in ("diffusivity", "proliferation", "duration"):
        low, high = np.log(getattr(WIDE, name))
        values = np.log([getattr(p, name) for p in growth])
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.001
    seeds = np.array([p.seed_mm for p in growth])
    box = posterior.rates.seeds
    assert (seeds >= box.low).all()
    assert (seeds <= box.high).all()


def test_the_prior_integrates_to_one():
    """Its density times the volume of what it allows, counted in a box around it."""
    rates = Rates(Box((0.0, 0.0, 0.0), (1.0, 2.0, 3.0)), WIDE)
    drawn = rates.draw(10, np.random.default_rng(1))
    low = np.array([0, 0, 0, *np.log([math.sqrt(0.1 * 100), math.sqrt(0.01 * 100), 100])])
    high = np.array([1, 2, 3, *np.log([math.sqrt(1.0 * 400), math.sqrt(0.1 * 400), 400])])
    anywhere = np.random.default_rng(3).uniform(low, high, (400_000, 6))
    volume = rates.holds(anywhere).mean() * np.prod(high - low)
    assert math.exp(rates.log_density(drawn)[0]) * volume == pytest.approx(1, rel=0.01)


def test_beyond_the_prior_nothing_is_allowed(posterior):
    inside = posterior.draw(1, np.random.default_rng(1))[0]
    for n in range(len(inside)):
        for far in (-200.0, 200.0):
            point = inside.copy()
            point[n] += far
            assert posterior.log_prior(point[None])[0] == -np.inf


def test_a_point_is_simulated_as_what_it_stands_for(posterior, solver, images):
    point = np.array(
        [*TRUTH.seed_mm, math.log(TRUTH.mu1), math.log(TRUTH.mu2), math.log(200), *np.log([0.7, 0.3, 0.06, 0.8, 0.05])]
    )
    assert posterior.growth_of(point).proliferation == pytest.approx(0.05)
    assert posterior.imaging_of(point) == Imaging(*(pytest.approx(v) for v in (0.7, 0.3, 0.06, 0.8, 0.05)))
    later = point.copy()
    later[5] = math.log(350)
    outcomes = posterior.simulate(np.array([point, later]))
    expected = images.log_likelihood(images.evidence(solver.grow(TRUTH)), Imaging(0.7, 0.3, 0.06, 0.8, 0.05))
    found = posterior.log_likelihood(np.array([point, later]), outcomes)
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    np.testing.assert_allclose(posterior.tumours(point[None])[0].full(), solver(TRUTH), atol=1e-4)


def test_what_grows_nowhere_or_too_far_is_ruled_out(solver, images):
    small = GrowthPosterior(solver, images, WIDE, seed_box(solver.atlas, images), largest_ml=0.5)
    point = small.draw(1, np.random.default_rng(1))[0]
    point[:3], point[3:6] = TRUTH.seed_mm, np.log([TRUTH.mu1, TRUTH.mu2, 200])
    off = point.copy()
    off[:3] = 500.0
    assert small.simulate(np.array([point, off])) == [None, None]
    assert (small.log_likelihood(np.array([point, off]), [None, None]) == -np.inf).all()


def test_the_seed_lies_around_the_core(solver, images):
    low, high = map(np.array, seed_box(solver.atlas, images))
    voxels = np.argwhere(images.core)
    radius = (3 * len(voxels) * solver.atlas.frame.voxel_ml * 1000 / (4 * np.pi)) ** (1 / 3)
    np.testing.assert_allclose((low + high) / 2, solver.atlas.frame.world(voxels.mean(axis=0)), atol=1e-6)
    np.testing.assert_allclose(high - low, 2.5 * radius, rtol=1e-6)
    without = Images(solver.atlas, None, images.whole)
    wider = seed_box(solver.atlas, without)
    assert wider.high[0] - wider.low[0] > high[0] - low[0]
