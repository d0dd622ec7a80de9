import builtins

import numpy as np
import pytest

from gliodex.errors import InputError

pytest.importorskip("sbi", reason="the learn extra is not installed")

import torch

from gliodex.learn.npe.mixture_density import Regression, fit_density, from_free, log_stretch, require_sbi, to_free

COVARIANCE = np.array([[0.04, 0.0396], [0.0396, 0.04]])  # a narrow ridge: one combination is known ten times better


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(2)
    given = rng.standard_normal((1200, 3)).astype(np.float32)
    mean = given @ np.array([[1.0, -0.5], [0.3, 0.8], [0.0, 0.0]]) + 0.3 * given[:, :1] * given[:, 1:2]
    return mean + rng.multivariate_normal([0, 0], COVARIANCE, 1200), given, mean


@pytest.fixture(scope="module")
def density(pairs):
    points, given, _ = pairs
    return fit_density(points, given, 1, 30, 7)


def test_a_regression_foretells_what_depends_on_products(pairs):
    points, given, mean = pairs
    regression, _ = Regression.fit(given[:1000], points[:1000])
    assert np.abs(regression(given[1000:]) - mean[1000:]).mean() < 0.06
    far = regression(np.full((1, 3), 50.0, np.float32))
    assert np.abs(far).max() < 200, "products are not carried on beyond what was seen"


def test_what_it_foretells_unseen_is_what_a_regression_on_all_others_does():
    rng = np.random.default_rng(5)
    given = rng.standard_normal((40, 6)).astype(np.float32)
    points = given[:, :1] + rng.standard_normal((40, 1))
    regression, unseen = Regression.fit(given, points)
    for n in (0, 17, 39):
        others = np.arange(40) != n
        left_out, _ = Regression.fit(given[others], points[others])
        assert unseen[n, 0] == pytest.approx(left_out(given[n : n + 1])[0, 0], abs=0.15)
    assert np.square(unseen - points).sum() > 1.2 * np.square(regression(given) - points).sum()


@pytest.mark.parametrize("far", [1e3, -1e6, 1e12])
def test_numbers_unlike_all_that_it_learned_from_have_draws_and_densities(density, far):
    given = np.full((1, 3), far, np.float32)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        drawn = density.draw(200, given)
    assert np.isfinite(drawn).all()
    assert np.abs(drawn).max() < 40, "a few spreads beyond what was learned from, not a million"
    assert np.isfinite(density.log_density(drawn, given)).all()


def test_it_is_the_gaussian_that_made_the_pairs(pairs, density):
    _, given, mean = pairs
    with torch.random.fork_rng():
        torch.manual_seed(1)
        drawn = np.concatenate([density.draw(500, given[n : n + 1]) - mean[n] for n in range(0, 40, 4)])
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.06)
    found, expected = (np.linalg.eigvalsh(c) for c in (np.cov(drawn.T), COVARIANCE))
    np.testing.assert_allclose(found, expected, rtol=0.5)


def test_its_logarithm_is_that_of_the_gaussian(pairs, density):
    _, given, mean = pairs
    offset = np.array([[0.0, 0.0], [0.2, 0.2], [0.03, -0.03]])
    inverse = np.linalg.inv(COVARIANCE)
    expected = -0.5 * np.einsum("ni,ij,nj->n", offset, inverse, offset) - 0.5 * np.linalg.slogdet(COVARIANCE)[1]
    expected -= np.log(2 * np.pi)
    found = np.mean([density.log_density(mean[n] + offset, given[n : n + 1]) for n in range(0, 60, 3)], axis=0)
    np.testing.assert_allclose(found, expected, atol=0.6)


def test_the_random_numbers_of_others_are_left_alone(pairs):
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    fit_density(pairs[0][:80], pairs[1][:80], 1, 8, 7)
    torch.testing.assert_close(torch.rand(3), expected)


def test_a_box_is_stretched_to_all_of_space_and_back():
    low, high = np.array([-1.0, 2.0]), np.array([1.0, 7.0])
    points = np.random.default_rng(1).uniform(low, high, (50, 2))
    np.testing.assert_allclose(from_free(to_free(points, low, high), low, high), points, atol=1e-9)
    assert np.isfinite(to_free(np.stack([low, high]), low, high)).all()
    step = 1e-6
    grown = np.prod((to_free(points + step, low, high) - to_free(points, low, high)) / step, axis=1)
    np.testing.assert_allclose(log_stretch(points, low, high), np.log(grown), atol=1e-3)


def test_a_missing_sbi_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "sbi":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"gliodex\[learn\]"):
        require_sbi()
