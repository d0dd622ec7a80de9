"""What a tumour was on its way."""

from dataclasses import replace

import numpy as np
import pytest

from gliodex.simulate import FisherKolmogorov, GrowthParameters

from .tumours import DEFAULTS, assert_same_run, random_parameters


class TestSnapshots:
    """What a tumour was on its way is the tumour of so many days."""

    SHARES = (0.35, 0.6, 0.85)
    RUNS = ((0.5, 0.03, 250), (0.1, 0.05, 200), (0.05, 0.1, 140), (0.3, 0.01, 300))

    @pytest.fixture(scope="class")
    def solver(self, ragged_atlas):
        return FisherKolmogorov(ragged_atlas((40, 38, 37)))

    @pytest.mark.parametrize(("diffusivity", "proliferation", "duration"), RUNS)
    def test_they_are_the_tumours_of_shorter_runs(self, solver, diffusivity, proliferation, duration):
        parameters = GrowthParameters((1, 2, 3), diffusivity, proliferation, duration)
        run = solver.grow(parameters, snapshots=self.SHARES)
        longest = max(phase.days for phase in solver._phases(parameters))
        assert len(run.snapshots) == 3
        for share, snapshot in zip(self.SHARES, run.snapshots, strict=True):
            assert abs(snapshot.days - share * duration) <= longest / 2 + 1e-9
            found = replace(run, density=snapshot.density, low=snapshot.low).full()
            expected = solver(replace(parameters, duration=snapshot.days)).astype(np.float64)
            assert found.min() >= 0
            assert found.max() <= 1
            assert expected.max() > 0.02
            np.testing.assert_allclose(found, expected, atol=0.02 * expected.max())

    @pytest.mark.parametrize(("diffusivity", "proliferation", "duration"), RUNS)
    def test_taking_them_changes_nothing_and_no_box_changes_them(self, solver, diffusivity, proliferation, duration):
        parameters = GrowthParameters((1, 2, 3), diffusivity, proliferation, duration)
        expected = solver.grow(parameters)
        whole = (0, 0, 0), solver.atlas.frame.shape
        run, elsewhere = (solver.grow(parameters, None, reach, self.SHARES) for reach in (None, whole))
        assert_same_run(run, expected)
        for a, b in zip(run.snapshots, elsewhere.snapshots, strict=True):
            assert (a.days, a.low) == (b.days, b.low)
            np.testing.assert_array_equal(a.density, b.density)

    def test_each_step_is_taken_once_and_in_order(self, solver):
        """Also the end of a phase that one of a single step follows, and where several shares fall on one step."""
        rng = np.random.default_rng(4)
        single = 0
        for _ in range(60):
            parameters = random_parameters(
                rng, solver.atlas, diffusivity=(0.1, 1), proliferation=(0.002, 0.02), duration=(50, 300)
            )
            phases = solver._phases(parameters)
            single += any(phase.steps == 1 for phase in phases[1:])
            run = solver.grow(parameters, snapshots=(0.5, 0.501, 0.8, 0.85, 0.9, 0.95, 0.999))
            days = [snapshot.days for snapshot in run.snapshots]
            assert days == sorted(set(days))
            assert all(0 < d < parameters.duration for d in days)
        assert single > 5

    def test_a_run_that_is_given_up_keeps_those_taken_before(self, solver):
        parameters = GrowthParameters((1, 2, 3), 0.3, 0.08, 300)
        full = solver.grow(parameters, snapshots=(0.05, 0.1, 0.9))
        run = solver.grow(parameters, stop_above_ml=20, snapshots=(0.05, 0.1, 0.9))
        assert run.outgrew
        assert 1 <= len(run.snapshots) < 3
        for a, b in zip(run.snapshots, full.snapshots, strict=False):
            assert a.days == b.days
            np.testing.assert_array_equal(a.density, b.density)

    def test_a_run_of_one_step_has_none(self, solver):
        assert solver.grow(GrowthParameters((1, 2, 3), 0, 0.1, 100), snapshots=(0.5,)).snapshots == ()
        assert solver.grow(GrowthParameters((1, 2, 3), 0.1, 0.1, 0), snapshots=(0.5,)).snapshots == ()

    @pytest.mark.parametrize("growth_per_step", [10.0, 200.0])
    def test_they_are_densities_however_long_steps_are(self, solver, growth_per_step):
        """To go back half a step of growth loses what was rounded to 1, and must lose no more."""
        long_steps = FisherKolmogorov(solver.atlas, replace(DEFAULTS, growth_per_step=growth_per_step))
        run = long_steps.grow(GrowthParameters((1, 2, 3), 0.01, 1.0, 400), snapshots=(0.3, 0.6))
        assert run.snapshots
        for snapshot in run.snapshots:
            assert np.isfinite(snapshot.density).all()
            assert snapshot.density.max() <= 1 + 1e-6
