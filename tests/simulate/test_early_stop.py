"""Runs that are given up because they outgrow their limit."""

import numpy as np
import pytest

from gliodex.simulate import FisherKolmogorov, GrowthParameters

from .tumours import random_parameters


class TestEarlyStop:
    """Stopping early never changes who is kept."""

    @pytest.mark.parametrize("limit_ml", [1.0, 8.0, 30.0])
    def test_decision_equals_that_of_the_full_run(self, ragged_atlas, ellipsoid_atlas, limit_ml):
        rng = np.random.default_rng(int(limit_ml))
        decisions = []
        for atlas in (ragged_atlas((28, 28, 28), 2.0), ellipsoid_atlas):
            solver = FisherKolmogorov(atlas)
            for _ in range(40):
                parameters = random_parameters(
                    rng, atlas, diffusivity=(0.02, 0.6), proliferation=(0.004, 0.05), duration=(50, 500)
                )
                full = solver.grow(parameters)
                assert full.steps == sum(phase.steps for phase in solver._phases(parameters))
                whole_ml = np.count_nonzero(full.density >= np.float32(0.2)) * atlas.frame.voxel_ml
                stopped = solver.grow(parameters, stop_above_ml=limit_ml)
                assert not full.outgrew
                assert stopped.outgrew == (whole_ml > limit_ml)
                if stopped.outgrew:
                    assert stopped.steps <= full.steps
                else:
                    np.testing.assert_array_equal(stopped.full(), full.full())
                decisions.append(stopped.outgrew)
        assert 10 < sum(decisions) < 70

    def test_it_saves_most_of_a_hopeless_run(self, white_block):
        solver = FisherKolmogorov(white_block((40, 40, 40), 2.0))
        parameters = GrowthParameters((0, 0, 0), 0.5, 0.1, 500)
        assert solver.grow(parameters, stop_above_ml=10).voxel_updates < solver.grow(parameters).voxel_updates / 5

    def test_exactly_the_limit_is_not_beyond_it(self, white_block):
        solver = FisherKolmogorov(white_block((40, 40, 40), 2.0))
        parameters = GrowthParameters((0, 0, 0), 0.2, 0.03, 200)
        whole = np.count_nonzero(solver(parameters) >= np.float32(0.2))
        assert not solver.grow(parameters, stop_above_ml=whole * 0.008).outgrew
        assert solver.grow(parameters, stop_above_ml=(whole - 1) * 0.008).outgrew
