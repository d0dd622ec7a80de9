"""What a run leaves out of the grid costs no accuracy, and what box it is given changes nothing."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliodex.simulate import FisherKolmogorov, GrowthParameters, kernels
from gliodex.simulate.active_box import ActiveBox

from .chebyshev import solve
from .tumours import DEFAULTS, assert_same_run, random_parameters, reaches, seed_density, stage_count


def whole_grid_float64(atlas, start, parameters, phases, solver_settings):
    """Solve on the whole grid: fluxes axis by axis in the classical recurrence, exact logistic growth around it."""
    white, grey = atlas.white.astype(np.float64), atlas.grey.astype(np.float64)
    tissue = white + grey > atlas.csf
    if solver_settings.tissue_fractions == "renormalised":
        with np.errstate(invalid="ignore", divide="ignore"):
            white, grey = np.nan_to_num(white / (white + grey)), np.nan_to_num(grey / (white + grey))
    relative = white + grey / solver_settings.grey_ratio
    faces = []
    for axis, spacing in enumerate(atlas.frame.spacing):
        near, far = [slice(None)] * 3, [slice(None)] * 3
        near[axis], far[axis] = slice(None, -1), slice(1, None)
        near, far = tuple(near), tuple(far)
        a, b = relative[near], relative[far]
        if solver_settings.face_mean == "harmonic":
            with np.errstate(invalid="ignore", divide="ignore"):
                face = 2 / (1 / a + 1 / b)
        else:
            face = (a + b) / 2
        face = np.where(tissue[near] & tissue[far], face, 0)
        faces.append((near, far, parameters.diffusivity * face / spacing**2))

    def rate(u):
        change = np.zeros_like(u)
        for near, far, face in faces:
            flow = face * (u[far] - u[near])
            change[near] += flow
            change[far] -= flow
        return change

    return solve(start.astype(np.float64), phases, rate, parameters.proliferation)


def with_every_cell(solver, parameters):
    """The compiled stages on all cells of the grid, none left out."""
    u = np.pad(seed_density(solver.atlas, parameters.seed_mm).astype(np.float32), ((1, 1), (0, 0), (0, 0)))
    faces = [np.pad(f, ((1, 1), (0, 0), (0, 0))) for f in (solver._medium.x, solver._medium.y, solver._medium.z)]
    first, stop = np.zeros((2, *u.shape[:2]), np.int32)
    stop[1:-1] = u.shape[2]
    rows, between = (first, stop, (0, u.shape[0], 0, u.shape[1])), np.zeros_like(u)
    one, zero = np.float32(1), np.float32(0)

    def growth(days):
        return np.float32(math.exp(parameters.proliferation * days))

    steps = [phase for phase in solver._phases(parameters) for _ in range(phase.steps)]
    kernels.grow_logistic(u, first, stop, growth(steps[0].days / 2))
    for n, step in enumerate(steps):
        following = steps[n + 1].days if n + 1 < len(steps) else 0
        grown = growth((step.days + following) / 2)
        diffusion = np.float32(parameters.diffusivity * step.days)
        for pair, (half, whole) in enumerate(step.scheme.weights, start=1):
            last = pair == len(step.scheme.weights)
            kernels.spread(u, between, *faces, (0, 0, 0), *rows, diffusion * half, zero, one)
            kernels.spread(between, u, *faces, (0, 0, 0), *rows, diffusion * whole, one, grown if last else one)
    return u[1:-1]


class TestAgainstTheWholeGrid:
    """The compiled float32 solver in its growing box against plain float64 on the whole grid."""

    @pytest.mark.parametrize(
        "choice",
        [
            {},
            {"face_mean": "arithmetic"},
            {"tissue_fractions": "raw"},
            {"face_mean": "arithmetic", "tissue_fractions": "raw", "grey_ratio": 4.0},
            {"grey_ratio": 1.0},
        ],
        ids=lambda choice: ", ".join(map(str, choice.values())) or "defaults",
    )
    @pytest.mark.parametrize("spacing", [2.0, (1.5, 2.0, 3.0)], ids=["cubic", "anisotropic"])
    def test_densities_agree(self, ragged_atlas, choice, spacing):
        atlas = ragged_atlas((40, 34, 30), spacing, seed=11)
        solver_settings = replace(DEFAULTS, **choice)
        solver = FisherKolmogorov(atlas, solver_settings)
        rng = np.random.default_rng(7)
        for _ in range(2):
            parameters = random_parameters(
                rng, atlas, diffusivity=(0.1, 0.8), proliferation=(0.01, 0.06), duration=(50, 250)
            )
            run = solver.grow(parameters)
            start = seed_density(atlas, parameters.seed_mm, solver_settings)
            phases = solver._phases(parameters)
            assert len(phases) > 1
            expected = whole_grid_float64(atlas, start, parameters, phases, solver_settings)
            np.testing.assert_allclose(run.full(), expected, atol=1e-5)

    def test_a_box_that_grows_many_times_agrees(self, white_block):
        """A fast front in a long channel, started at one end: the box follows it across the grid."""
        atlas = white_block((120, 8, 16), 2.0)
        parameters = GrowthParameters((-110, 0, 0), 0.3, 0.06, 400)
        solver = FisherKolmogorov(atlas)
        run, start = solver.grow(parameters), seed_density(atlas, (-110, 0, 0))
        expected = whole_grid_float64(atlas, start, parameters, solver._phases(parameters), DEFAULTS)
        assert expected[30].min() > 0.9
        assert run.voxel_updates < 0.8 * stage_count(solver, parameters) * 120 * 8 * 16
        whole = with_every_cell(solver, parameters)
        np.testing.assert_allclose(whole, expected, atol=1e-6)
        np.testing.assert_allclose(run.full(), whole, atol=3e-5)  # of the tail that pulls the front, some is left out

    @pytest.mark.parametrize(
        ("diffusivity", "proliferation", "duration", "apart"),
        [
            (0.02, 0.2, 200, 5e-5),
            (0.02, 0.1, 300, 2e-5),
            (0.02, 0.05, 500, 1e-5),
            (0.1, 0.1, 200, 1e-5),
            (0.5, 0.05, 180, 1e-5),
            (1.5, 0.2, 45, 1e-5),
        ],
    )
    def test_leaving_cells_out_costs_no_accuracy_at_sizes_that_stores_keep(
        self, white_block, diffusivity, proliferation, duration, apart
    ):
        """A store keeps densities to 1 in 4095, 2e-4."""
        solver = FisherKolmogorov(white_block((64, 64, 64), 2.0))
        parameters = GrowthParameters((3, 2, 1), diffusivity, proliferation, duration)
        run = solver.grow(parameters)
        whole = with_every_cell(solver, parameters)
        assert run.voxel_updates < 0.7 * stage_count(solver, parameters) * 64**3
        assert 100 < np.count_nonzero(whole >= np.float32(0.2)) * 0.008 < 280
        np.testing.assert_allclose(run.full(), whole, atol=apart)

    def test_box_skips_what_the_front_has_not_reached(self, white_block):
        atlas = white_block((100, 100, 100), 2.0)
        solver, parameters = FisherKolmogorov(atlas), GrowthParameters((20, 20, 20), 0.05, 0.02, 100)
        run = solver.grow(parameters)
        assert run.voxel_updates < stage_count(solver, parameters) * 100**3 / 10
        assert run.shape == (100, 100, 100)
        full = run.full()
        assert np.count_nonzero(full) == np.count_nonzero(run.density)
        peak = np.unravel_index(full.argmax(), full.shape)
        assert np.abs(atlas.frame.world(peak) - 20).max() <= 1


class TestReach:
    """The box that is made ready for a tumour saves time and changes nothing, not by a bit."""

    def assert_no_box_matters(self, solver, parameters, stop_above_ml=None):
        expected = solver.grow(parameters, stop_above_ml)
        alive = np.argwhere(expected.full() > 0)
        shape = solver.atlas.frame.shape
        for reach in reaches(shape, solver.atlas.frame.voxel(parameters.seed_mm), alive):
            assert_same_run(solver.grow(parameters, stop_above_ml, reach), expected)
        return expected

    @pytest.mark.parametrize("shape", [(40, 44, 64), (37, 41, 51), (48, 30, 17), (30, 48, 15), (25, 24, 33)])
    @pytest.mark.parametrize(
        ("diffusivity", "proliferation", "duration"),
        [(0.03, 0.15, 120), (0.1, 0.05, 150), (0.5, 0.02, 200), (1.4, 0.1, 60), (0.3, 0, 100), (0, 0.1, 100)],
    )
    def test_in_random_tissue(self, ragged_atlas, shape, diffusivity, proliferation, duration):
        atlas = ragged_atlas(shape, 2.0, seed=sum(shape))
        tissue = np.argwhere(atlas.tissue)
        voxel = tissue[np.random.default_rng(shape[2]).integers(len(tissue))] + (0.2, -0.3, 0.1)
        seed = tuple(atlas.frame.world(voxel))
        run = self.assert_no_box_matters(
            FisherKolmogorov(atlas), GrowthParameters(seed, diffusivity, proliferation, duration)
        )
        assert run.density.max() > 1e-3

    @pytest.mark.parametrize("place", [(0, 0, 0), (1, 20, 44), (39, 39, 2), (20, 20, 22)], ids=str)
    def test_in_a_block_from_its_corners_and_middle(self, white_block, place):
        atlas = white_block((40, 40, 45), (1.0, 1.5, 1.2))
        seed = tuple(atlas.frame.world(np.array(place)))
        for diffusivity, proliferation, duration in ((0.05, 0.1, 150), (0.3, 0.05, 100), (0.2, 0.0, 50)):
            self.assert_no_box_matters(
                FisherKolmogorov(atlas), GrowthParameters(seed, diffusivity, proliferation, duration)
            )

    def test_in_a_brain(self, icbm152):
        solver = FisherKolmogorov(icbm152)
        for seed, mu1, mu2 in (((30, -20, 20), 8, 3.5), ((-40, 0, 10), 14, 2.45)):
            self.assert_no_box_matters(solver, GrowthParameters.from_mu(seed, mu1, mu2, 300))

    def test_where_a_run_is_given_up(self, white_block):
        solver = FisherKolmogorov(white_block((50, 44, 41), 2.0))
        run = self.assert_no_box_matters(solver, GrowthParameters((3, 9, -8), 0.3, 0.08, 300), stop_above_ml=20)
        assert run.outgrew

    @pytest.mark.parametrize("duration", [5, 10, 20, 40, 60])
    def test_where_the_seed_touches_tissue_by_its_rim(self, make_atlas, duration):
        """Life starts at one end of what is planted and runs back along a thread of tissue beside the Gaussian."""
        white = np.zeros((60, 60, 60))
        white[37, 30:39, 30], white[10:38, 38, 30] = 1, 1
        atlas = make_atlas(white)
        seed = tuple(atlas.frame.world([30, 30, 30]))
        self.assert_no_box_matters(FisherKolmogorov(atlas), GrowthParameters(seed, 0.5, 0.02, duration))

    @settings(max_examples=30, deadline=None)
    @given(
        number=st.integers(0, 10_000),
        shape=st.tuples(st.integers(8, 40), st.integers(8, 40), st.integers(8, 50)),
        spacing=st.sampled_from([1.0, 2.0]),
        low=st.tuples(*[st.integers(-30, 60)] * 3),
        high=st.tuples(*[st.integers(-30, 90)] * 3),
    )
    def test_any_box(self, ragged_atlas, number, shape, spacing, low, high):
        atlas, rng = ragged_atlas(shape, spacing, seed=number), np.random.default_rng(number)
        parameters = random_parameters(
            rng, atlas, diffusivity=(0.01, 1), proliferation=(0, 0.2), duration=(10, 300 * spacing / 2)
        )
        solver = FisherKolmogorov(atlas)
        expected = solver.grow(parameters)
        assert_same_run(solver.grow(parameters, None, (low, high)), expected)

    def test_one_that_fits_saves_moving_the_box(self, white_block, monkeypatch):
        moved, resize = [], ActiveBox._resize
        monkeypatch.setattr(ActiveBox, "_resize", lambda box, *to: moved.append(1) or resize(box, *to))
        solver = FisherKolmogorov(white_block((60, 60, 60), 2.0))
        parameters = GrowthParameters((0, 0, 0), 0.3, 0.06, 150)
        run = solver.grow(parameters)
        assert len(moved) > 3
        moved.clear()
        low = np.array(run.low)
        room = 16  # a side counts as reached while cells beside it might be computed, along z whole lanes
        reach = tuple(low - room), tuple(low + run.density.shape + room)
        assert_same_run(solver.grow(parameters, None, reach), run)
        assert len(moved) == 1
