"""The solver held against exact solutions, a plain float64 solver, and the symmetries of its equation."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft

from gliodex.errors import InputError
from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters, stencil
from gliodex.store.atlas import Atlas
from gliodex.store.frame import Frame

DEFAULTS = FisherKolmogorovSettings()


def moments(density, frame):
    """Integral in ml, centre in mm, and variance in mm² along each voxel axis."""
    u = density.astype(np.float64)
    total = u.sum()
    centre, variance = [], []
    for axis in range(3):
        profile = u.sum(axis=tuple(a for a in range(3) if a != axis)) / total
        x = frame.affine[axis, 3] + frame.affine[axis, axis] * np.arange(frame.shape[axis])
        centre.append((profile * x).sum())
        variance.append((profile * (x - centre[-1]) ** 2).sum())
    return total * frame.voxel_ml, np.array(centre), np.array(variance)


def seed_density(atlas, seed_mm, solver_settings=DEFAULTS):
    return FisherKolmogorov(atlas, solver_settings)(GrowthParameters(seed_mm, 0, 0, 0)).astype(np.float64)


def random_parameters(rng, atlas, *, diffusivity, proliferation, duration):
    voxel = rng.choice(np.argwhere(atlas.tissue)) + rng.uniform(-0.4, 0.4, 3)
    return GrowthParameters(
        tuple(atlas.frame.world(voxel)),
        rng.uniform(*diffusivity),
        rng.uniform(*proliferation),
        rng.uniform(*duration),
    )


class TestPureDiffusion:
    """du/dt = D laplace u in homogeneous white matter, far from its borders."""

    SEED = (0.3, -0.2, 0.1)
    DIFFUSIVITY, DAYS = 0.1, 150.0

    @pytest.fixture(scope="class")
    def atlas(self, white_block):
        return white_block((72, 72, 72))

    @pytest.fixture(scope="class")
    def spread(self, atlas):
        parameters = GrowthParameters(self.SEED, self.DIFFUSIVITY, 0, self.DAYS)
        return FisherKolmogorov(atlas)(parameters).astype(np.float64)

    def test_variance_grows_by_two_dt_and_the_centre_stays(self, atlas, spread):
        volume, centre, variance = moments(spread, atlas.frame)
        volume_before, centre_before, variance_before = moments(seed_density(atlas, self.SEED), atlas.frame)
        assert volume == pytest.approx(volume_before, rel=1e-6)
        np.testing.assert_allclose(centre, centre_before, atol=1e-5)
        np.testing.assert_allclose(variance - variance_before, 2 * self.DIFFUSIVITY * self.DAYS, rtol=1e-5)

    def test_density_is_the_seed_convolved_with_the_heat_kernel(self, atlas, spread):
        start = seed_density(atlas, self.SEED)
        squares = [(2 * np.pi * fft.fftfreq(n)) ** 2 for n in start.shape]
        squared_wave = squares[0][:, None, None] + squares[1][:, None] + squares[2]
        kernel = np.exp(-self.DIFFUSIVITY * self.DAYS * squared_wave)
        exact = fft.ifftn(fft.fftn(start) * kernel).real
        assert np.abs(spread - exact).max() < 0.006 * exact.max()

    def test_density_is_the_analytic_gaussian(self, atlas, spread):
        """The seed is cut at three widths, so its Gaussian is reached to about one per cent of the peak."""
        points = atlas.frame.world(np.moveaxis(np.indices(spread.shape), 0, -1))
        variance = DEFAULTS.seed_width_mm**2 + 2 * self.DIFFUSIVITY * self.DAYS
        distance2 = ((points - np.array(self.SEED)) ** 2).sum(-1)
        exact = 1000 * DEFAULTS.seed_volume_ml * np.exp(-distance2 / (2 * variance)) / (2 * np.pi * variance) ** 1.5
        assert np.abs(spread - exact).max() < 0.02 * exact.max()

    def test_each_axis_uses_its_own_spacing(self, white_block):
        atlas = white_block((60, 48, 36), (1.0, 1.5, 2.0))
        spread = FisherKolmogorov(atlas)(GrowthParameters(self.SEED, 0.08, 0, 100))
        variance = moments(spread, atlas.frame)[2] - moments(seed_density(atlas, self.SEED), atlas.frame)[2]
        np.testing.assert_allclose(variance, 16.0, rtol=1e-4)

    def test_grey_matter_spreads_ten_times_slower(self, make_atlas):
        zeros, ones = np.zeros((40, 40, 40)), np.ones((40, 40, 40))
        grey = make_atlas(zeros, ones)
        spread = FisherKolmogorov(grey)(GrowthParameters(self.SEED, 0.3, 0, 200))
        variance = moments(spread, grey.frame)[2] - moments(seed_density(grey, self.SEED), grey.frame)[2]
        np.testing.assert_allclose(variance, 2 * 0.03 * 200, rtol=1e-4)


class TestNoDiffusion:
    @pytest.mark.parametrize("growth_number", [0.0, 0.5, 8.0, 60.0, 300.0])
    def test_growth_is_logistic_in_every_voxel(self, ragged_atlas, growth_number):
        atlas = ragged_atlas((24, 24, 24))
        seed = (1.1, 2.3, -3.1)
        start = seed_density(atlas, seed)
        grown = FisherKolmogorov(atlas)(GrowthParameters(seed, 0, growth_number / 200, 200))
        expected = start / (start + (1 - start) * math.exp(-growth_number) + (start == 0))
        np.testing.assert_allclose(grown, expected, rtol=2e-5, atol=0)


class TestTravellingWave:
    DIFFUSIVITY, PROLIFERATION = 0.25, 0.04
    SPACING = 0.5

    def front_mm(self, solver, days):
        """Where the density falls through one half along the channel."""
        parameters = GrowthParameters((-85, 0, 0), self.DIFFUSIVITY, self.PROLIFERATION, days)
        along = solver(parameters).mean(axis=(1, 2))
        last = int(np.flatnonzero(along >= 0.5).max())
        part = (along[last] - 0.5) / (along[last] - along[last + 1])
        return solver.atlas.frame.world([last + part, 0, 0])[0]

    def test_front_travels_at_two_sqrt_d_rho(self, white_block):
        """Bramson: the front lags 2 sqrt(D rho) t by 3/2 sqrt(D / rho) log t, nearly 4 % of the way here."""
        solver = FisherKolmogorov(white_block((400, 4, 4), (self.SPACING, 3.0, 3.0)))
        early, late = 300.0, 700.0
        travelled = self.front_mm(solver, late) - self.front_mm(solver, early)
        fisher = 2 * math.sqrt(self.DIFFUSIVITY * self.PROLIFERATION) * (late - early)
        lag = 1.5 * math.sqrt(self.DIFFUSIVITY / self.PROLIFERATION) * math.log(late / early)
        assert travelled == pytest.approx(fisher - lag, rel=0.006)
        assert travelled == pytest.approx(fisher, rel=0.05)

    def test_front_is_slower_in_grey_matter_by_sqrt_ten(self, make_atlas):
        shape = (400, 4, 4)
        grey = FisherKolmogorov(make_atlas(np.zeros(shape), np.ones(shape), spacing=(0.2, 3.0, 3.0)))
        early, late = 300.0, 700.0
        start = GrowthParameters((-30, 0, 0), self.DIFFUSIVITY, self.PROLIFERATION, early)
        fronts = []
        for days in (early, late):
            along = grey(replace(start, duration=days)).mean(axis=(1, 2))
            fronts.append(grey.atlas.frame.world([int(np.flatnonzero(along >= 0.5).max()), 0, 0])[0])
        speed = 2 * math.sqrt(self.DIFFUSIVITY * self.PROLIFERATION / 10) * (late - early)
        lag = 1.5 * math.sqrt(self.DIFFUSIVITY / 10 / self.PROLIFERATION) * math.log(late / early)
        assert fronts[1] - fronts[0] == pytest.approx(speed - lag, rel=0.02)


class TestConservation:
    @pytest.mark.parametrize("face_mean", ["harmonic", "arithmetic"])
    @pytest.mark.parametrize("tissue_fractions", ["renormalised", "raw"])
    def test_mass_stays_without_growth(self, ragged_atlas, face_mean, tissue_fractions):
        atlas = ragged_atlas((32, 30, 28), (2.0, 1.5, 2.5))
        solver = FisherKolmogorov(atlas, replace(DEFAULTS, face_mean=face_mean, tissue_fractions=tissue_fractions))
        start = solver(GrowthParameters((1, 2, 3), 0, 0, 0)).sum(dtype=np.float64)
        run = solver.grow(GrowthParameters((1, 2, 3), 0.8, 0, 600))
        assert run.steps > 500
        assert run.density.sum(dtype=np.float64) == pytest.approx(start, rel=1e-5)

    @pytest.mark.parametrize("face_mean", ["harmonic", "arithmetic"])
    def test_density_stays_in_tissue_and_in_range(self, ragged_atlas, face_mean):
        atlas = ragged_atlas((32, 30, 28), seed=2)
        solver = FisherKolmogorov(atlas, replace(DEFAULTS, face_mean=face_mean))
        rng = np.random.default_rng(1)
        for _ in range(12):
            u = solver(
                random_parameters(rng, atlas, diffusivity=(0.02, 1.5), proliferation=(0.002, 0.2), duration=(50, 1500))
            )
            assert u.dtype == np.float32
            assert u.shape == atlas.frame.shape
            assert np.isfinite(u).all()
            assert u.min() >= 0
            assert u.max() <= 1
            assert not u[~atlas.tissue].any()

    def test_closed_tissue_fills_to_one_and_its_neighbour_stays_empty(self, make_atlas):
        white = np.zeros((30, 12, 12))
        white[:14], white[15:] = 1, 1
        atlas = make_atlas(white, spacing=2.0)
        u = FisherKolmogorov(atlas)(GrowthParameters((-16, 0, 0), 0.5, 0.1, 1500))
        np.testing.assert_allclose(u[:14], 1, atol=1e-5)
        assert not u[14:].any()

    def test_face_means_differ_where_tissue_does(self, ragged_atlas):
        atlas = ragged_atlas((24, 24, 24))
        parameters = GrowthParameters((1, 2, 3), 0.3, 0.03, 150)
        harmonic, arithmetic = (
            FisherKolmogorov(atlas, replace(DEFAULTS, face_mean=mean))(parameters)
            for mean in ("harmonic", "arithmetic")
        )
        assert moments(harmonic, atlas.frame)[2].sum() < moments(arithmetic, atlas.frame)[2].sum()


class TestSymmetry:
    PARAMETERS = GrowthParameters((0, 2, 3), 0.5, 0.03, 300)

    @pytest.fixture(scope="class")
    def solver(self, ragged_atlas):
        atlas = ragged_atlas((32, 30, 28), mirrored=True)
        np.testing.assert_array_equal(atlas.white, atlas.white[::-1])
        return FisherKolmogorov(atlas)

    def test_a_seed_on_the_mirror_plane_grows_a_symmetric_tumour(self, solver):
        u = solver(self.PARAMETERS)
        assert u.max() > 0.5
        np.testing.assert_allclose(u, u[::-1], atol=2e-6)

    def test_mirrored_seeds_grow_mirrored_tumours(self, solver):
        left, right = (solver(replace(self.PARAMETERS, seed_mm=(x, 2, 3))) for x in (-7.3, 7.3))
        assert np.abs(left - right).max() > 0.1
        np.testing.assert_allclose(left, right[::-1], atol=2e-6)

    def test_a_homogeneous_block_has_no_preferred_axis(self, white_block):
        solver = FisherKolmogorov(white_block((40, 40, 40), 2.0))
        u = solver(GrowthParameters((1.3, -4.2, 7.1), 0.4, 0.03, 250))
        for order in ((1, 2, 0), (2, 0, 1), (1, 0, 2)):
            seed = tuple((1.3, -4.2, 7.1)[axis] for axis in order)
            turned = solver(GrowthParameters(seed, 0.4, 0.03, 250))
            np.testing.assert_allclose(turned, u.transpose(order), atol=2e-6)

    def test_voxel_order_of_the_atlas_does_not_matter(self, ragged_atlas):
        """The same brain stored as LPS gives the same density at the same places."""
        atlas = ragged_atlas((26, 24, 22))
        flip = np.diag([-1.0, -1, 1, 1])
        flip[:2, 3] = np.array(atlas.frame.shape[:2]) - 1
        maps = [getattr(atlas, name)[::-1, ::-1] for name in ("white", "grey", "csf", "t1")]
        turned = Atlas("turned", Frame(atlas.frame.shape, atlas.frame.affine @ flip), *maps)
        assert turned.frame.axis_codes == "LPS"
        u, v = (FisherKolmogorov(a)(replace(self.PARAMETERS, seed_mm=(3.1, -2.2, 1.4))) for a in (atlas, turned))
        np.testing.assert_allclose(v[::-1, ::-1], u, atol=2e-6)


class TestConvergence:
    def test_halving_the_spacing_quarters_the_error(self):
        """A wide smooth seed in white matter; cells of the coarsest grid are compared by their means."""
        solver_settings = FisherKolmogorovSettings(seed_width_mm=9, seed_volume_ml=5, growth_per_step=0.5)
        coarsest = Frame.centred((0, 0, 0), 12, 6.0)
        means = {}
        for factor in (1, 2, 4, 8):
            frame = coarsest.refined(factor)
            ones, zeros = np.ones(frame.shape, np.float32), np.zeros(frame.shape, np.float32)
            solver = FisherKolmogorov(Atlas("white", frame, ones, zeros, zeros, ones), solver_settings)
            u = solver(GrowthParameters((1.3, -0.7, 0.4), 0.3, 0.01, 200)).astype(np.float64)
            means[factor] = u.reshape(12, factor, 12, factor, 12, factor).mean(axis=(1, 3, 5))
        apart = [np.sqrt(((means[n] - means[2 * n]) ** 2).mean()) for n in (1, 2, 4)]
        orders = [math.log2(apart[0] / apart[1]), math.log2(apart[1] / apart[2])]
        assert min(orders) > 1.8
        assert max(orders) < 2.2
        error = {n: np.sqrt(((means[n] - means[8]) ** 2).mean()) for n in (1, 2)}
        assert math.log2(error[1] / error[2]) > 1.6

    @pytest.mark.parametrize(
        ("knob", "values", "parameters"),
        [
            ("diffusion_number", (0.9, 0.45, 0.225), GrowthParameters((1.3, -0.7, 0.4), 0.1, 0.02, 200)),
            ("growth_per_step", (0.4, 0.2, 0.1), GrowthParameters((1.3, -0.7, 0.4), 0.01, 0.05, 200)),
        ],
    )
    def test_halving_the_time_step_halves_the_error(self, white_block, knob, values, parameters):
        atlas = white_block((32, 32, 32), 2.0)

        def run(value):
            loose = {"diffusion_number": 0.9, "growth_per_step": 9.0} | {knob: value}
            return FisherKolmogorov(atlas, replace(DEFAULTS, **loose))(parameters).astype(np.float64)

        finest = run(0.01)
        errors = [np.abs(run(value) - finest).max() for value in values]
        assert errors[0] / errors[1] > 1.8
        assert errors[1] / errors[2] > 1.8
        assert errors[-1] < 0.02

    def test_step_count_obeys_both_limits(self, white_block):
        atlas = white_block((20, 20, 20), (1.0, 2.0, 4.0))
        solver = FisherKolmogorov(atlas)
        stability = 2 * 0.3 * 100 * (1 + 1 / 4 + 1 / 16)
        assert solver.grow(GrowthParameters((0, 0, 0), 0.3, 0, 100)).steps == math.ceil(stability / 0.9)
        assert solver.grow(GrowthParameters((0, 0, 0), 0.001, 0.15, 103)).steps == math.ceil(0.15 * 103 / 0.1)


class TestRescaling:
    """mu1 = sqrt(D T) and mu2 = sqrt(rho T) fix the result (paper 001, section 2)."""

    @pytest.mark.parametrize("factor", [0.01, 0.37, 3.0, 40.0])
    def test_faster_and_shorter_gives_the_same(self, ragged_atlas, factor):
        solver = FisherKolmogorov(ragged_atlas((28, 28, 28)))
        slow = GrowthParameters((1, 2, 3), 0.5, 0.031, 307)
        fast = GrowthParameters((1, 2, 3), 0.5 * factor, 0.031 * factor, 307 / factor)
        np.testing.assert_allclose(solver(fast), solver(slow), atol=1e-5)

    @pytest.mark.parametrize("duration", [100.0, 731.0])
    def test_from_mu_gives_the_same(self, ragged_atlas, duration):
        solver = FisherKolmogorov(ragged_atlas((28, 28, 28)))
        known = GrowthParameters((1, 2, 3), 0.5, 0.031, 307)
        guessed = GrowthParameters.from_mu((1, 2, 3), known.mu1, known.mu2, duration)
        assert guessed.duration == duration
        np.testing.assert_allclose(solver(guessed), solver(known), atol=1e-5)


def whole_grid_float64(atlas, start, parameters, steps, solver_settings):
    """Solve on the whole grid: explicit fluxes axis by axis, then exact logistic growth, Strang-split."""
    white, grey = atlas.white.astype(np.float64), atlas.grey.astype(np.float64)
    tissue = white + grey > atlas.csf
    if solver_settings.tissue_fractions == "renormalised":
        with np.errstate(invalid="ignore", divide="ignore"):
            white, grey = np.nan_to_num(white / (white + grey)), np.nan_to_num(grey / (white + grey))
    relative = white + grey / solver_settings.grey_ratio
    days = parameters.duration / steps

    def grown(u, time):
        g = math.exp(parameters.proliferation * time)
        return u * g / (1 + u * (g - 1))

    u = grown(start.astype(np.float64), days / 2)
    for step in range(steps):
        change = np.zeros_like(u)
        for axis, spacing in enumerate(atlas.frame.spacing):
            near, far = [slice(None)] * 3, [slice(None)] * 3
            near[axis], far[axis] = slice(None, -1), slice(1, None)
            a, b = relative[tuple(near)], relative[tuple(far)]
            if solver_settings.face_mean == "harmonic":
                with np.errstate(invalid="ignore", divide="ignore"):
                    face = 2 / (1 / a + 1 / b)
            else:
                face = (a + b) / 2
            face = np.where(tissue[tuple(near)] & tissue[tuple(far)], face, 0)
            flow = parameters.diffusivity * face * (u[tuple(far)] - u[tuple(near)]) / spacing**2
            change[tuple(near)] += flow
            change[tuple(far)] -= flow
        u = grown(u + days * change, days / 2 if step == steps - 1 else days)
    return u


def with_every_cell(solver, parameters, steps):
    """The compiled step on all cells of the grid, none left out."""
    shape = solver.atlas.frame.shape
    u = np.pad(seed_density(solver.atlas, parameters.seed_mm).astype(np.float32), ((1, 1), (0, 0), (0, 0)))
    faces = [np.pad(f, ((1, 1), (0, 0), (0, 0))) for f in (solver._medium.x, solver._medium.y, solver._medium.z)]
    first, stop = np.zeros((2, *u.shape[:2]), np.int32)
    stop[1:-1] = shape[2]
    days, scratch = parameters.duration / steps, np.zeros_like(u)
    half, full = (np.float32(math.exp(parameters.proliferation * t)) for t in (days / 2, days))
    stencil.grow_logistic(u.ravel(), half)
    for step in range(1, steps + 1):
        growth = half if step == steps else full
        stencil.advance(u, scratch, *faces, first, stop, np.float32(parameters.diffusivity * days), growth)
        u, scratch = scratch, u
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
            expected = whole_grid_float64(atlas, start, parameters, run.steps, solver_settings)
            np.testing.assert_allclose(run.full(), expected, atol=1e-5)

    def test_a_box_that_grows_many_times_agrees(self, white_block):
        """A fast front in a long channel, started at one end: the box follows it across the grid."""
        atlas = white_block((120, 8, 16), 2.0)
        parameters = GrowthParameters((-110, 0, 0), 0.3, 0.06, 400)
        run = FisherKolmogorov(atlas).grow(parameters)
        expected = whole_grid_float64(atlas, seed_density(atlas, (-110, 0, 0)), parameters, run.steps, DEFAULTS)
        assert expected[30].min() > 0.9
        assert run.voxel_updates < 0.8 * run.steps * 120 * 8 * 16
        np.testing.assert_allclose(run.full(), expected, atol=1e-5)

    @pytest.mark.parametrize(
        ("diffusivity", "proliferation", "duration"),
        [(0.02, 0.2, 200), (0.02, 0.05, 500), (0.1, 0.1, 200), (0.5, 0.05, 180), (1.5, 0.2, 45)],
    )
    def test_leaving_cells_out_costs_no_accuracy_at_sizes_that_stores_keep(
        self, white_block, diffusivity, proliferation, duration
    ):
        solver = FisherKolmogorov(white_block((64, 64, 64), 2.0))
        parameters = GrowthParameters((3, 2, 1), diffusivity, proliferation, duration)
        run = solver.grow(parameters)
        whole = with_every_cell(solver, parameters, run.steps)
        assert run.voxel_updates < 0.7 * run.steps * 64**3
        assert 100 < np.count_nonzero(whole >= np.float32(0.2)) * 0.008 < 280
        np.testing.assert_allclose(run.full(), whole, atol=1e-5)

    def test_box_skips_what_the_front_has_not_reached(self, white_block):
        atlas = white_block((100, 100, 100), 2.0)
        run = FisherKolmogorov(atlas).grow(GrowthParameters((20, 20, 20), 0.05, 0.02, 100))
        assert run.voxel_updates < run.steps * 100**3 / 10
        assert run.shape == (100, 100, 100)
        full = run.full()
        assert np.count_nonzero(full) == np.count_nonzero(run.density)
        peak = np.unravel_index(full.argmax(), full.shape)
        assert np.abs(atlas.frame.world(peak) - 20).max() <= 1


class TestSeed:
    def test_integral_is_the_seed_volume(self, ragged_atlas, white_block):
        for atlas in (white_block((30, 30, 30), 2.0), ragged_atlas((30, 30, 30), (2.0, 1.5, 2.5))):
            for volume in (0.02, 0.1):
                start = seed_density(atlas, (2.2, 1.3, -0.6), replace(DEFAULTS, seed_volume_ml=volume))
                assert start.sum() * atlas.frame.voxel_ml == pytest.approx(volume, rel=1e-6)

    def test_shape_is_a_gaussian_cut_at_three_widths(self, white_block):
        atlas = white_block((40, 40, 40))
        seed = np.array([0.4, -1.3, 2.6])
        start = seed_density(atlas, tuple(seed))
        distance = np.linalg.norm(atlas.frame.world(np.moveaxis(np.indices(start.shape), 0, -1)) - seed, axis=-1)
        gaussian = np.exp(-(distance**2) / (2 * 2.5**2)) * (distance <= 7.5)
        np.testing.assert_allclose(start, gaussian * 100 / gaussian.sum(), rtol=1e-6)

    @pytest.mark.parametrize("axis", range(3))
    def test_moving_it_by_part_of_a_voxel_moves_the_centre_as_much(self, white_block, axis):
        atlas = white_block((32, 32, 32), 2.0)
        for shift in np.linspace(0, 2, 9):
            seed = np.array([0.1, 0.3, -0.4])
            seed[axis] += shift
            centre = moments(seed_density(atlas, tuple(seed)), atlas.frame)[1]
            np.testing.assert_allclose(centre, seed, atol=0.05)

    def test_moving_it_a_little_changes_the_tumour_a_little(self, ragged_atlas):
        solver = FisherKolmogorov(ragged_atlas((28, 28, 28)))
        here, there, far = (
            solver(GrowthParameters((x, 0.5, 0.5), 0.2, 0.03, 150)).astype(np.float64) for x in (0.1, 0.2, 8.1)
        )
        assert 0 < np.abs(here - there).max() < 0.1 * np.abs(here - far).max()

    @pytest.mark.parametrize("seed", [(300, 0, 0), (0, -41, 0), (0, 0, 1e6), (28.1, 28.1, 28.1)])
    def test_outside_the_frame_is_refused(self, white_block, seed):
        atlas = white_block((20, 20, 20), 2.0)
        with pytest.raises(InputError, match="outside"):
            FisherKolmogorov(atlas)(GrowthParameters(seed, 0.1, 0.01, 100))

    def test_outside_the_tissue_is_refused(self, ellipsoid_atlas):
        with pytest.raises(InputError, match="outside the tissue of ellipsoid"):
            FisherKolmogorov(ellipsoid_atlas)(GrowthParameters((58, 0, 0), 0.1, 0.01, 100))

    def test_inside_the_border_but_in_csf_grows_only_in_tissue(self, ellipsoid_atlas):
        start = seed_density(ellipsoid_atlas, (5, 0, 0))
        assert start.any()
        assert not start[~ellipsoid_atlas.tissue].any()

    @pytest.mark.parametrize("beyond", [0.0, 2.0, 4.0, 6.0, 7.0])
    def test_hanging_at_the_border_stays_below_one(self, make_atlas, beyond):
        white = np.zeros((24, 24, 24))
        white[:12, 12, 12] = 1
        atlas = make_atlas(white, spacing=2.0)
        start = seed_density(atlas, (-1.0 + beyond, 1.0, 1.0))
        assert start.max() <= np.float32(0.95)
        assert start.max() == pytest.approx(0.95, rel=1e-6)
        assert start.sum() * atlas.frame.voxel_ml < DEFAULTS.seed_volume_ml
        u = FisherKolmogorov(atlas)(GrowthParameters((-1.0 + beyond, 1.0, 1.0), 0.1, 0.02, 100))
        assert u.max() <= 1
        assert not u[~atlas.tissue].any()

    def test_beside_the_frame_but_near_tissue_grows(self, white_block):
        start = seed_density(white_block((20, 20, 20), 2.0), (22.0, 0, 0))
        assert start[-1].sum() > start[-2].sum() > 0


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


@settings(max_examples=60, deadline=None)
@given(
    place=st.integers(0, 10_000),
    shift=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    diffusivity=st.one_of(st.just(0.0), st.floats(1e-12, 10)),
    proliferation=st.one_of(st.just(0.0), st.floats(1e-12, 2)),
    duration=st.one_of(st.just(0.0), st.floats(1e-6, 2000)),
    face_mean=st.sampled_from(["harmonic", "arithmetic"]),
    tissue_fractions=st.sampled_from(["renormalised", "raw"]),
    growth_per_step=st.sampled_from([0.02, 0.1, 0.5, 200.0]),
)
def test_any_parameters_give_densities(
    ragged_atlas,
    *,
    place,
    shift,
    diffusivity,
    proliferation,
    duration,
    face_mean,
    tissue_fractions,
    growth_per_step,
):
    atlas = ragged_atlas((12, 11, 10), (3.0, 4.0, 3.5))
    solver = FisherKolmogorov(
        atlas,
        replace(DEFAULTS, face_mean=face_mean, tissue_fractions=tissue_fractions, growth_per_step=growth_per_step),
    )
    tissue = np.argwhere(atlas.tissue)
    seed = tuple(atlas.frame.world(tissue[place % len(tissue)] + shift))
    u = solver(GrowthParameters(seed, diffusivity, proliferation, duration))
    assert np.isfinite(u).all()
    assert u.min() >= 0
    assert u.max() <= 1
    assert u.any()
    assert not u[~atlas.tissue].any()


class TestSettings:
    def test_a_sheared_frame_is_refused(self, white_block):
        atlas = white_block((10, 10, 10))
        affine = np.eye(4)
        affine[0, 1] = 0.2
        sheared = Atlas("sheared", Frame((10, 10, 10), affine), atlas.white, atlas.grey, atlas.csf, atlas.t1)
        with pytest.raises(InputError, match="not perpendicular"):
            FisherKolmogorov(sheared)

    def test_record_names_every_choice(self):
        record = FisherKolmogorovSettings(grey_ratio=7).as_record()
        assert record["model"].startswith("fisher-kolmogorov")
        assert record["grey_ratio"] == 7
        assert set(record) == {"model", *FisherKolmogorovSettings.__dataclass_fields__}

    @pytest.mark.parametrize(
        "choice",
        [
            {"face_mean": "harmonc"},
            {"tissue_fractions": "renormalized"},
            {"grey_ratio": 0.0},
            {"grey_ratio": -1.0},
            {"diffusion_number": 0.0},
            {"diffusion_number": 1.5},
            {"growth_per_step": 0.0},
            {"seed_volume_ml": 0.0},
            {"seed_width_mm": 0.0},
            {"seed_width_mm": math.nan},
        ],
        ids=str,
    )
    def test_senseless_choices_are_refused(self, white_block, choice):
        with pytest.raises(InputError):
            FisherKolmogorov(white_block((20, 20, 20), 2.0), FisherKolmogorovSettings(**choice))(
                GrowthParameters((0, 0, 0), 0.3, 0.02, 100)
            )

    @pytest.mark.parametrize("grey_ratio", [0.25, 0.5])
    def test_grey_matter_faster_than_white_stays_stable(self, ellipsoid_atlas, grey_ratio):
        solver = FisherKolmogorov(ellipsoid_atlas, replace(DEFAULTS, grey_ratio=grey_ratio))
        start = solver(GrowthParameters((0, 50, 0), 0, 0, 0)).sum(dtype=np.float64)
        u = solver(GrowthParameters((0, 50, 0), 1.0, 0, 1000))
        assert np.isfinite(u).all()
        assert u.min() >= 0
        assert u.max() <= 1
        assert u.sum(dtype=np.float64) == pytest.approx(start, rel=1e-5)
