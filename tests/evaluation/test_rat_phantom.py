import numpy as np
import pytest

from gliodex.evaluation.rat_phantom import DAY, LATER, TRUTH, small_animal, small_brain, whole_ul

pytest.importorskip("sbi", reason="the learn extra is not installed")

from gliodex.learn.npe.posterior_network import NeuralSettings, infer_from_labels
from gliodex.learn.npe.truncated_prior import Region


@pytest.fixture(scope="module")
def problem(icbm152):
    return small_animal(small_brain(icbm152))


def test_it_is_a_tumour_of_a_rats_size_that_grows(problem):
    assert problem.solver.atlas.frame.spacing == pytest.approx((0.2, 0.2, 0.2))
    first, later = (whole_ul(problem, TRUTH, days) for days in (DAY, LATER))
    assert 2 < first < later < 40
    maps = problem.label_maps(np.stack([TRUTH, TRUTH]), np.random.default_rng(1))[1]
    np.testing.assert_array_equal(maps[0], problem.observed)
    assert problem.observed.max() == 2
    assert (problem.observed[[0, -1]] == 0).all()


@pytest.mark.slow
def test_a_posterior_of_few_simulations_holds_the_truth_and_foretells_the_later_day(problem):
    found = infer_from_labels(problem, problem.observed, NeuralSettings(simulations=150, rounds=2))
    assert found.levels(TRUTH[None], problem.observed[None], 1000)[0] < 0.9
    low, high = np.quantile([whole_ul(problem, p, LATER) for p in found.draw(60, 1)], [0.05, 0.95])
    assert low < whole_ul(problem, TRUTH, LATER) < high
    assert high < 6 * low


@pytest.mark.slow
def test_twenty_posteriors_hold_the_truth_as_often_as_they_say(problem):
    """Ezhov et al.'s (2019) synthetic case; a quarter of an hour on 2 cores."""
    levels, held_out = [], []
    for seed in range(1, 21):
        found = infer_from_labels(problem, problem.observed, NeuralSettings(simulations=250, seed=seed))
        levels.append(found.levels(TRUTH[None], problem.observed[None], 2000)[0])
        region = Region.around(found.draw(5000, seed), problem.high - problem.low)
        points = region.draw(2000, np.random.default_rng(seed))
        points = points[((points >= problem.low) & (points <= problem.high)).all(axis=1)][:40]
        held_out += found.levels(points, problem.label_maps(points, np.random.default_rng(0))[1], 300).tolist()
    assert sum(level < 0.9 for level in levels) >= 16
    for share in (0.5, 0.9):
        assert np.mean(np.array(held_out) < share) == pytest.approx(share, abs=0.07), "5 points, and chance"
