import numpy as np
import pytest
from scipy import stats

from gliodex.retrieval.refinement.laplace_t import StudentT, spread_of

CENTRE = np.array([3.0, -2.0, 0.5])
FACTOR = np.array([[1.0, 0, 0], [0.4, 0.5, 0], [-0.2, 0.1, 0.3]])


@pytest.fixture
def student():
    return StudentT(CENTRE, FACTOR, 4.0)


def test_its_density_is_scipys_but_for_a_constant(student):
    points = CENTRE + np.random.default_rng(0).standard_normal((50, 3))
    expected = stats.multivariate_t(CENTRE, FACTOR @ FACTOR.T, df=4).logpdf(points)
    apart = student.log_density(points) - expected
    np.testing.assert_allclose(apart, apart[0], atol=1e-9)


def test_what_it_draws_has_its_spread(student):
    drawn = student.draw(40_000, np.random.default_rng(1))
    np.testing.assert_allclose(np.median(drawn, axis=0), CENTRE, atol=0.02)
    whitened = np.linalg.solve(FACTOR, (drawn - CENTRE).T)
    assert stats.kstest(whitened.ravel(), stats.t(4).cdf).pvalue > 0.001


@pytest.mark.parametrize("best", [0.02, 0.5])
def test_the_spread_of_an_exact_ellipsoid_is_that_of_the_posterior(best):
    rng = np.random.default_rng(2)
    steps = np.array([4.0, 0.25, 0.1])
    axes = rng.standard_normal((3, 3))
    curvature = (axes @ axes.T + np.eye(3)) / np.outer(steps, steps)
    points = CENTRE + np.concatenate([np.zeros((1, 3)), rng.standard_normal((200, 3)) * steps * 0.3])
    misfits = np.sqrt(best**2 + np.einsum("ni,ij,nj->n", points - CENTRE, curvature, points - CENTRE))
    found = spread_of(points, misfits, steps, sharpness=9.0)
    np.testing.assert_array_equal(found.centre, CENTRE)
    np.testing.assert_allclose(found.factor @ found.factor.T, best**2 * np.linalg.inv(curvature) / 6.0, rtol=1e-6)
    # so its density is the likelihood
    likelihood = -9.0 * np.log(misfits)
    apart = found.log_density(points) - likelihood
    np.testing.assert_allclose(apart, apart[0], atol=1e-6)


def test_directions_in_which_nothing_changes_are_held_together():
    rng = np.random.default_rng(3)
    steps = np.ones(2)
    points = np.concatenate([np.zeros((1, 2)), rng.standard_normal((100, 2))])
    misfits = np.sqrt(0.1**2 + points[:, 0] ** 2)
    found = spread_of(points, misfits, steps, sharpness=6.0)
    widths = np.sqrt(np.diag(found.factor @ found.factor.T))
    assert widths[0] == pytest.approx(0.1 / np.sqrt(4), rel=1e-3)
    assert widths[1] == pytest.approx(0.1 / (0.02 * np.sqrt(4)), rel=1e-3)
