import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval.forecast import FollowUp, Ranges, Scan
from gliodex.retrieval.forecast.follow_up import density_of_adc
from gliodex.simulate import FisherKolmogorov, GrowthParameters

TRUTH = np.array([np.log(0.5), np.log(0.04), 0.6, 0.2])
SEED_MM = (-8.0, -20.0, 12.0)


@pytest.fixture(scope="module")
def solver(small_atlas):
    return FisherKolmogorov(small_atlas)


@pytest.fixture(scope="module")
def initial(solver):
    return solver(GrowthParameters(SEED_MM, 0.5, 0.04, 150.0))


@pytest.fixture(scope="module")
def scan(solver, initial):
    density = solver(GrowthParameters(SEED_MM, 0.5, 0.04, 210.0))
    return Scan(60.0, *(density >= np.float32(level) for level in TRUTH[2:]))


@pytest.fixture(scope="module")
def problem(solver, initial, scan):
    return FollowUp(solver, initial, scan)


def test_growing_on_is_growing_all_the_time(solver, problem):
    on = problem.grow(TRUTH, 60.0).full()
    straight = solver(GrowthParameters(SEED_MM, 0.5, 0.04, 210.0))
    assert np.abs(on - straight).max() < 0.01


def test_what_has_grown_goes_on_as_its_density_does(solver, problem):
    first = problem.grow(TRUTH, 25.0)
    from_density = solver.grow(GrowthParameters(SEED_MM, 0.5, 0.04, 35.0), initial=first.full()).full()
    np.testing.assert_array_equal(problem.grow(TRUTH, 35.0, first).full(), from_density)
    np.testing.assert_array_equal(problem.grow(TRUTH, 25.0).density, first.density, "it stays what it was")


def test_the_truth_shows_the_follow_up(problem):
    possible, maps = problem.label_maps(np.stack([TRUTH, TRUTH]), np.random.default_rng(0))
    assert possible.all()
    np.testing.assert_array_equal(maps[0], maps[1])
    assert (maps[0] != problem.observed).mean() < 0.001
    assert problem.observed.max() == 2


def test_what_grows_far_beyond_the_follow_up_is_left_out(solver):
    small = solver(GrowthParameters(SEED_MM, 0.2, 0.04, 100.0))
    problem = FollowUp(solver, small, Scan(60.0, small >= np.float32(0.6), small >= np.float32(0.2)))
    slow, fast = (np.array([np.log(d), np.log(rho), 0.6, 0.2]) for d, rho in ((0.02, 0.002), (1.5, 0.2)))
    assert solver.atlas.tissue.sum() > 8 * (problem.scan.whole.sum())
    possible, maps = problem.label_maps(np.stack([slow, fast]), np.random.default_rng(0))
    assert possible.tolist() == [True, False]
    assert len(maps) == 1


def test_no_time_grows_nothing(problem, initial, solver):
    np.testing.assert_allclose(
        problem.grow(TRUTH, 1e-6).full()[solver.atlas.tissue], initial[solver.atlas.tissue], atol=1e-5
    )


def test_a_scan_that_is_not_later_is_refused(solver, initial, scan):
    with pytest.raises(InputError, match="must be later"):
        FollowUp(solver, initial, Scan(0.0, scan.core, scan.whole))


def test_a_tumour_of_a_few_voxels_is_refused(solver, initial, scan):
    few = np.zeros_like(scan.whole)
    few[tuple(np.argwhere(scan.whole)[0])] = True
    for whole in (few, np.zeros_like(few)):
        with pytest.raises(InputError, match="too few to tell rates by"):
            FollowUp(solver, initial, Scan(60.0, np.zeros_like(few), whole))


@pytest.mark.parametrize("spoil", [np.nan, -0.1, 1.5])
def test_what_is_no_density_is_refused(solver, initial, scan, spoil):
    wrong = initial.copy()
    wrong[tuple(np.argwhere(scan.whole & solver.atlas.tissue)[0])] = spoil
    with pytest.raises(InputError, match="must be finite and lie in"):
        FollowUp(solver, wrong, scan)


@pytest.mark.parametrize(
    "ranges", [{"diffusivity": (0.0, 1.0)}, {"proliferation": (0.2, 0.1)}, {"core": (0.5, 1.2)}, {"whole": (0.1, 0.1)}]
)
def test_ranges_that_are_none_are_refused(ranges):
    with pytest.raises(InputError, match="range of the"):
        Ranges(**ranges)


def test_where_water_moves_freely_there_is_little_tumour():
    adc = np.full((4, 4, 4), 3e-3, np.float32)
    mask = np.zeros(adc.shape, bool)
    mask[1:3, 1:3, 1:3] = True
    adc[1, 1, 1], adc[2, 2, 2] = 0.6e-3, 1.2e-3
    density = density_of_adc(adc, mask)
    assert (density[~mask] == 0).all()
    assert 0.9 < density[1, 1, 1] <= 0.95
    assert density[2, 2, 2] / density[2, 1, 1] == pytest.approx(3e-3 / 1.2e-3, rel=1e-4), "inversely proportional"
    np.testing.assert_allclose(density_of_adc(adc * 1e6, mask), density, rtol=1e-4)


def test_an_adc_that_tells_nothing_is_refused():
    adc, mask = np.full((3, 3, 3), 1e-3, np.float32), np.ones((3, 3, 3), bool)
    with pytest.raises(InputError, match="mask is empty"):
        density_of_adc(adc, ~mask)
    adc[1, 1, 1] = 0.0
    with pytest.raises(InputError, match="above 0"):
        density_of_adc(adc, mask)
