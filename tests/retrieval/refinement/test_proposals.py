import numpy as np
import pytest
from scipy import stats

from gliodex.errors import InputError
from gliodex.retrieval.refinement.proposals import AroundTumours, Within, around_samples
from gliodex.store import GrowthParameters

TUMOURS = [
    GrowthParameters.from_mu((0.0, 5.0, -3.0), 9.0, 3.0),
    GrowthParameters.from_mu((10.0, 5.0, -3.0), 12.0, 3.4),
]
LOW, HIGH = np.array([3.0, -1.0]), np.array([6.0, -0.5])


@pytest.fixture
def around():
    return AroundTumours(TUMOURS, np.array([3.0, 1.0]), LOW, HIGH)


def test_points_lie_around_the_tumours_as_often_as_these_weigh(around):
    drawn = around.draw(40_000, np.random.default_rng(1))
    assert drawn.shape == (40_000, 7)
    assert (drawn[:, 0] < 5).mean() == pytest.approx(0.75, abs=0.15)
    assert np.median(drawn[:, 1]) == pytest.approx(5, abs=0.1)
    for column, low, high in zip(drawn[:, 5:].T, LOW, HIGH, strict=True):
        assert stats.kstest(column, stats.uniform(low, high - low).cdf).pvalue > 0.001


def test_its_density_is_that_of_what_it_draws(around):
    """Importance sampling with it gives back an integral that is known."""
    drawn = around.draw(200_000, np.random.default_rng(2))
    wanted = stats.multivariate_normal([3.0, 5.0, -3.0, np.log(10), np.log(3.2)], np.diag([9, 4, 4, 0.02, 0.005]))
    weights = np.exp(wanted.logpdf(drawn[:, :5]) - around.log_density(drawn)) / np.prod(HIGH - LOW)
    assert weights.mean() == pytest.approx(1, abs=5 * weights.std() / np.sqrt(len(weights)))
    assert weights.std() < 20


def test_within_a_prior_nothing_lies_outside_and_the_density_is_normalised(around):
    def allowed(points):
        return points[:, 0] > 2.0

    inside = Within(around, allowed, "do so")
    rng = np.random.default_rng(3)
    drawn = inside.draw(5000, rng)
    assert drawn.shape == (5000, 7)
    assert allowed(drawn).all()
    assert (inside.log_density(around.draw(1000, rng)) == -np.inf).any()
    share = allowed(around.draw(100_000, rng)).mean()
    np.testing.assert_allclose(inside.log_density(drawn), around.log_density(drawn) - np.log(share), atol=0.05)


def test_a_start_beyond_the_prior_is_refused(around):
    with pytest.raises(InputError, match="prior allows nothing: try this"):
        Within(around, lambda points: points[:, 0] > 1e6, "try this")


def test_a_start_around_samples_is_a_little_wider_than_they_are():
    rng = np.random.default_rng(4)
    covariance = np.array([[1.0, 0.6, 0.0], [0.6, 2.0, 0.001], [0.0, 0.001, 1e-4]])
    samples = rng.multivariate_normal([1.0, -2.0, 5.0], covariance, 4000)
    start = around_samples(samples)
    drawn = start.draw(100_000, rng)
    np.testing.assert_allclose(np.median(drawn, axis=0), [1, -2, 5], atol=0.05)
    # a Student t of 4 degrees of freedom has twice the variance of its scale
    np.testing.assert_allclose(np.cov(drawn.T) / (1.5**2 * 2), covariance, atol=0.25)
    exact = stats.multivariate_t(samples.mean(axis=0), 1.5**2 * np.cov(samples.T), df=4)
    np.testing.assert_allclose(start.log_density(drawn[:50]), exact.logpdf(drawn[:50]), atol=0.01)


def test_samples_that_never_moved_still_give_a_start():
    start = around_samples(np.tile([1.0, 2.0], (20, 1)))
    assert np.isfinite(start.log_density(start.draw(5, np.random.default_rng(1)))).all()
