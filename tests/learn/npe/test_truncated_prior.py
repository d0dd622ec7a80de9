import numpy as np
import pytest

from gliodex.learn.npe.truncated_prior import Region


def test_a_region_holds_nearly_all_that_it_was_made_around():
    rng = np.random.default_rng(5)
    points = rng.multivariate_normal([1.0, -2.0], [[1.0, 0.9], [0.9, 1.0]], 5000)
    region = Region.around(points, np.array([1.0, 1.0]))
    assert region.holds(points).mean() > 0.995
    drawn = region.draw(20_000, rng)
    assert region.holds(drawn).all()
    upright = np.prod(np.ptp(points, axis=0))
    assert region.volume < 0.6 * upright, "it lies along the points"


def test_the_whole_prior_is_a_region():
    low, high = np.array([-1.0, 2.0, 0.0]), np.array([1.0, 5.0, 0.5])
    region = Region.whole(low, high)
    assert region.volume == pytest.approx(3.0)
    drawn = region.draw(5000, np.random.default_rng(1))
    assert ((drawn >= low) & (drawn <= high)).all()
    np.testing.assert_allclose(drawn.mean(axis=0), (low + high) / 2, atol=0.06)
    assert not region.holds(np.array([[0.0, 3.0, 0.51]]))[0]
