import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliodex.errors import InputError
from gliodex.retrieval.refinement.posterior import (
    LEAST_MISFIT,
    BoxedDensity,
    Posterior,
    Sample,
    weighted_quantile,
    weights_of_scores,
)
from gliodex.store import Frame, GrowthParameters

FRAME = Frame((9, 8, 7), np.diag([2.0, 2.0, 2.0, 1.0]))
TIMES = (3, 1, 0, 4)


def sample(density, n, *, known=True):
    parameters = GrowthParameters.from_mu((n, 2.0 * n, -n), 1.0 + n, 2.0 + n) if known else None
    return Sample(parameters, (0.6 + 0.01 * n, 0.2), BoxedDensity.of(density), 1.9 - 0.1 * n)


@pytest.fixture
def densities():
    rng = np.random.default_rng(1)
    found = np.zeros((4, *FRAME.shape), np.float32)
    for n, density in enumerate(found):
        density[n : n + 5, 1:6, n : n + 3] = rng.random((5, 5, 3))
    return found


def posterior_of(samples, times=TIMES):
    weights = np.array(times) / sum(times)
    return Posterior("local", "atlas", FRAME, tuple(samples), weights, 10, 1.0, (3, 4))


def test_maps_are_those_of_every_sample_as_often_as_it_weighs(densities):
    posterior = posterior_of([sample(u, n) for n, u in enumerate(densities)])
    maps = posterior.maps(0.4)
    everyone = np.repeat(densities.astype(np.float64), TIMES, axis=0)
    np.testing.assert_allclose(maps.mean, everyone.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(maps.deviation, everyone.std(axis=0), atol=1e-6)
    np.testing.assert_allclose(maps.exceedance, (everyone >= np.float32(0.4)).mean(axis=0), atol=1e-6)
    for values, share in zip(posterior.credible_maps(), (0.05, 0.95), strict=True):
        expected = np.quantile(everyone, share, axis=0, method="inverted_cdf")
        np.testing.assert_allclose(values, expected, atol=1e-6)
        assert values.dtype == np.float32


def test_intervals_are_those_of_every_sample_as_often_as_it_weighs(densities):
    found = posterior_of([sample(u, n) for n, u in enumerate(densities)]).intervals()
    columns = {"mu1_mm": [1.0, 2, 3, 4], "mu2": [2.0, 3, 4, 5], "seed_y_mm": [0.0, 2, 4, 6]}
    columns["threshold_core"] = [0.6, 0.61, 0.62, 0.63]
    for name, values in columns.items():
        everyone = np.repeat(values, TIMES)
        assert found[name]["mean"] == pytest.approx(everyone.mean())
        assert found[name]["low"] == pytest.approx(np.quantile(everyone, 0.05, method="inverted_cdf"))
        assert found[name]["high"] == pytest.approx(np.quantile(everyone, 0.95, method="inverted_cdf"))
    assert set(found) == {*columns, "seed_x_mm", "seed_z_mm", "threshold_whole"}


def test_unknown_parameters_have_no_intervals(densities):
    found = posterior_of([sample(u, n, known=n != 2) for n, u in enumerate(densities)]).intervals()
    assert set(found) == {"threshold_core", "threshold_whole"}


@given(st.lists(st.tuples(st.floats(-5, 5), st.integers(0, 5)), min_size=1, max_size=9), st.floats(0.01, 0.99))
def test_quantiles_of_weights_are_those_of_repeated_values(values_and_times, share):
    values, times = np.array([v for v, _ in values_and_times]), np.array([t for _, t in values_and_times])
    times[0] += 1
    found = weighted_quantile(values, times / times.sum(), share)
    everyone = np.sort(np.repeat(values, times))
    assert (everyone <= found).mean() >= share - 1e-9
    assert (everyone < found).mean() <= share + 1e-9


def test_an_effective_sample_size_lies_between_one_and_all(densities):
    samples = [sample(u, n) for n, u in enumerate(densities)]
    assert posterior_of(samples, (1, 1, 1, 1)).effective_samples == pytest.approx(4)
    assert posterior_of(samples, (1, 0, 0, 0)).effective_samples == pytest.approx(1)


@pytest.mark.parametrize("weights", [[0.5, 0.6], [1.5, -0.5], [1.0], [np.nan, 1.0]])
def test_weights_that_are_none_are_refused(densities, weights):
    samples = tuple(sample(u, n) for n, u in enumerate(densities[:2]))
    with pytest.raises(InputError, match="weights"):
        Posterior("local", "atlas", FRAME, samples, np.array(weights), 10, 1.0, ())


def test_a_posterior_of_nothing_is_refused():
    with pytest.raises(InputError, match="samples"):
        Posterior("local", "atlas", FRAME, (), np.zeros(0), 10, 1.0, ())


@pytest.mark.parametrize("density", [np.zeros(FRAME.shape), np.ones(FRAME.shape), np.eye(9)[:, :8, None] * np.ones(7)])
def test_a_boxed_density_is_the_whole_one(density):
    density = density.astype(np.float32)
    np.testing.assert_array_equal(BoxedDensity.of(density).full(FRAME), density)


def test_better_scores_weigh_more_and_the_weights_add_up():
    weights = weights_of_scores([1.9, 1.5, 1.9, 0.0], 8.0)
    assert weights.sum() == pytest.approx(1)
    assert weights[0] == weights[2] > weights[1] > weights[3] > 0
    assert weights[1] / weights[0] == pytest.approx((0.1 / 0.5) ** 8)


def test_perfect_scores_leave_room_for_others():
    weights = weights_of_scores([2.0, 2.0 - LEAST_MISFIT / 2, 2.0 - 2 * LEAST_MISFIT], 2.0)
    np.testing.assert_allclose(weights, np.array([4, 4, 1]) / 9)
