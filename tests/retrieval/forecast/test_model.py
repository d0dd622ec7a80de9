import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval.forecast import FollowUp, Scan, forecast_growth
from gliodex.simulate import FisherKolmogorov, GrowthParameters

pytest.importorskip("sbi", reason="the learn extra is not installed")

from gliodex.learn.npe.posterior_network import NeuralSettings

TRUTH = np.array([0.5, 0.04, 0.6, 0.2])
DAYS, LATER = 60.0, 90.0
SETTINGS = NeuralSettings(120, 3, seed=2)


@pytest.fixture(scope="module")
def scans(small_atlas):
    """Solver, first density, and scans of 60 and 90 days later."""
    solver = FisherKolmogorov(small_atlas)
    first, *later = (
        solver(GrowthParameters((-8.0, -20.0, 12.0), 0.5, 0.04, 130.0 + days)) for days in (0.0, DAYS, LATER)
    )
    seen = [
        Scan(day, *(density >= np.float32(at) for at in TRUTH[2:]))
        for day, density in zip((DAYS, LATER), later, strict=True)
    ]
    return solver, first, *seen


@pytest.fixture(scope="module")
def problem(scans):
    return FollowUp(*scans[:3])


@pytest.fixture(scope="module")
def found(problem, scans):
    return forecast_growth(problem, (LATER, 75.0), SETTINGS, scans[3:])


def test_the_truth_lies_in_the_posterior(found):
    for values, truth in zip(found.draws.values(), TRUTH, strict=True):
        low, high = np.quantile(values, [0.005, 0.995])
        assert low <= truth <= high
    assert found.draws["diffusivity"].std() < 0.4, "the prior's is 0.35 wide in the logarithm alone"
    assert found.posteriors[DAYS].best.score > 1.8


def test_a_scan_that_nothing_was_learned_from_lies_in_the_bands(found):
    (learned, later) = found.compared
    assert (learned.day, learned.learned_from) == (DAYS, True)
    assert (later.day, later.learned_from) == (LATER, False)
    for name, outline in later.outlines.items():
        assert outline.within, name
        assert outline.dice > 0.65


def test_bands_open_with_time_and_hold_their_median(found):
    for name in ("core", "whole"):
        bands = found.bands(name)
        assert (bands["low"] <= bands["median"]).all()
        assert (bands["median"] <= bands["high"]).all()
        width = bands["high"] - bands["low"]
        at = {day: int(np.flatnonzero(found.days == day)[0]) for day in (DAYS, LATER)}
        assert width[at[LATER]] > width[at[DAYS]]
        assert (np.diff(bands["median"]) >= 0).all()
    assert found.days[0] == 0
    assert {DAYS, 75.0, LATER} <= set(found.days)


def test_volumes_are_those_of_the_samples(found, problem):
    """Each sample grown again, in one go."""
    samples, frame = found.posteriors[LATER].samples, problem.solver.atlas.frame
    last = int(np.flatnonzero(found.days == LATER)[0])
    for n in (0, 40, 100):
        p = samples[n].parameters
        point = np.array([np.log(p.diffusivity), np.log(p.proliferation), *samples[n].thresholds])
        again = problem.grow(point, LATER).full()
        volume = np.count_nonzero(again >= np.float32(point[3])) * frame.voxel_ml
        assert found.volumes_ml["whole"][n, last] == pytest.approx(volume, rel=0.03)
        assert np.abs(samples[n].density.full(frame) - again).max() < 0.02


def test_chances_are_shares_of_the_samples(found):
    chance = found.chances("whole", LATER)
    samples = found.posteriors[LATER].samples
    frame = found.problem.solver.atlas.frame
    shown = [sample.density.full(frame) >= np.float32(sample.thresholds[1]) for sample in samples]
    np.testing.assert_allclose(chance, np.mean(shown, axis=0), atol=1e-5)


@pytest.mark.slow
def test_it_repeats(found, problem, scans):
    again = forecast_growth(problem, (LATER, 75.0), SETTINGS, scans[3:])
    np.testing.assert_array_equal(again.volumes_ml["core"], found.volumes_ml["core"])


def test_a_tumour_that_moved_is_doubted(scans):
    solver, first, second, _ = scans
    elsewhere = np.roll(second.whole, 6, axis=0)
    assert (elsewhere & solver.atlas.tissue).sum() > 60
    found = forecast_growth(
        FollowUp(solver, first, Scan(DAYS, np.zeros_like(elsewhere), elsewhere)), (LATER,), SETTINGS
    )
    assert any("does not explain it" in doubt for doubt in found.doubts)
    assert any("no core" in doubt for doubt in found.doubts)


@pytest.mark.parametrize("until", [(), (0.0,), (-3.0, 80.0)])
def test_days_that_are_not_later_are_refused(problem, until):
    with pytest.raises(InputError, match="forecast_days"):
        forecast_growth(problem, until, SETTINGS)
