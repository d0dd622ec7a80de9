"""The solver held against exact solutions, a plain float64 solver, and the symmetries of its equation."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft

from gliodex.errors import InputError
from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters, stencil
from gliodex.simulate.active_box import ActiveBox
from gliodex.simulate.super_steps import Phase, scheme
from gliodex.store.atlas import Atlas
from gliodex.store.frame import Frame

from .chebyshev import solve

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

    @pytest.fixture(scope="class", params=[DEFAULTS, replace(DEFAULTS, diffusion_number=0.1)], ids=["default", "finer"])
    def fine(self, request):
        return request.param

    @pytest.fixture(scope="class")
    def spread(self, atlas, fine):
        parameters = GrowthParameters(self.SEED, self.DIFFUSIVITY, 0, self.DAYS)
        return FisherKolmogorov(atlas, fine)(parameters).astype(np.float64)

    def test_variance_grows_by_two_dt_and_the_centre_stays(self, atlas, spread):
        volume, centre, variance = moments(spread, atlas.frame)
        volume_before, centre_before, variance_before = moments(seed_density(atlas, self.SEED), atlas.frame)
        assert volume == pytest.approx(volume_before, rel=1e-6)
        np.testing.assert_allclose(centre, centre_before, atol=1e-5)
        np.testing.assert_allclose(variance - variance_before, 2 * self.DIFFUSIVITY * self.DAYS, rtol=1e-5)

    def test_density_is_the_seed_convolved_with_the_heat_kernel(self, atlas, spread, fine):
        """The grid alone costs 0.9 % of the peak; long steps forget the seed's sharp rim late and cost 1.3 %."""
        start = seed_density(atlas, self.SEED)
        waves = [2 * np.pi * fft.fftfreq(n) for n in start.shape]

        def after(squares):
            squared_wave = squares[0][:, None, None] + squares[1][:, None] + squares[2]
            return fft.ifftn(fft.fftn(start) * np.exp(-self.DIFFUSIVITY * self.DAYS * squared_wave)).real

        continuous, on_the_grid = (after([f(w) for w in waves]) for f in (np.square, lambda w: 2 - 2 * np.cos(w)))
        peak, default = continuous.max(), fine is DEFAULTS
        assert np.abs(spread - continuous).max() < (0.025 if default else 0.01) * peak
        assert np.abs(spread - on_the_grid).max() < (0.015 if default else 0.0005) * peak

    def test_density_is_the_analytic_gaussian(self, atlas, spread, fine):
        """The seed is cut at three widths, so its Gaussian is reached to about one per cent of the peak."""
        points = atlas.frame.world(np.moveaxis(np.indices(spread.shape), 0, -1))
        variance = DEFAULTS.seed_width_mm**2 + 2 * self.DIFFUSIVITY * self.DAYS
        distance2 = ((points - np.array(self.SEED)) ** 2).sum(-1)
        exact = 1000 * DEFAULTS.seed_volume_ml * np.exp(-distance2 / (2 * variance)) / (2 * np.pi * variance) ** 1.5
        assert np.abs(spread - exact).max() < (0.045 if fine is DEFAULTS else 0.03) * exact.max()

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
        for duration in (20, 600):
            run = solver.grow(GrowthParameters((1, 2, 3), 0.8, 0, duration))
            assert run.density.sum(dtype=np.float64) == pytest.approx(start, rel=1e-6)
        assert stage_count(solver, GrowthParameters((1, 2, 3), 0.8, 0, 600)) > 250

    @pytest.mark.parametrize("face_mean", ["harmonic", "arithmetic"])
    def test_density_stays_in_tissue_and_in_range(self, ragged_atlas, face_mean):
        atlas = ragged_atlas((32, 30, 28), seed=2)
        solver = FisherKolmogorov(atlas, replace(DEFAULTS, face_mean=face_mean))
        rng = np.random.default_rng(1)
        for n in range(16):
            ranges = {"diffusivity": (0.02, 1.5), "proliferation": (0.002, 0.2), "duration": (50, 1500)}
            if n > 11:
                ranges |= {"proliferation": (0, 0), "duration": (5, 100)}
            u = solver(random_parameters(rng, atlas, **ranges))
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

    @pytest.mark.parametrize("spacing", [1.0, 2.0])
    def test_a_seed_that_touches_tissue_by_its_rim_stays_in_range(self, make_atlas, spacing):
        """Its density jumps from 0.95 to 0: steps with many stages overshoot, with and without growth to hide it."""
        white = np.ones((32, 32, 32))
        white[11:22, 11:22, 11:22] = 0
        solver = FisherKolmogorov(make_atlas(white, spacing=spacing))
        seed = (1.5, 1.5, 1.5) if spacing == 1 else (8.0, 0, 0)
        for diffusivity, proliferation in itertools.product((0.01, 0.03, 0.3), (0.0, 1e-9, 0.01)):
            for duration in (20, 60, 150, 400):
                u = solver(GrowthParameters(seed, diffusivity, proliferation, duration))
                assert u.any()
                assert u.min() >= 0
                assert u.max() <= 1

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
        solver_settings = FisherKolmogorovSettings(seed_width_mm=9, seed_volume_ml=5, growth_per_step=0.1)
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
        ("diffusivity", "proliferation", "duration"),
        [(0.5, 0.02, 300), (0.5, 0.02, 150), (0.2, 0.05, 150), (0.1, 0.1, 150), (0.03, 0.1, 150), (0.3, 0.0, 150)],
    )
    def test_halving_every_step_of_a_run_quarters_the_error(
        self, white_block, monkeypatch, diffusivity, proliferation, duration
    ):
        """Of the default's own phases, from one kind of steps to all four."""
        solver = FisherKolmogorov(white_block((40, 40, 40), 2.0))
        parameters = GrowthParameters((1.3, -0.7, 0.4), diffusivity, proliferation, duration)
        phases, results = solver._phases(parameters), {}
        for parts in (1, 2, 4, 32):
            finer = [Phase(parts * phase.steps, phase.days / parts, phase.scheme) for phase in phases]
            monkeypatch.setattr(solver, "_phases", lambda _, finer=finer: finer)
            results[parts] = solver(parameters).astype(np.float64)
        for norm in (np.max, np.mean):
            errors = [norm(np.abs(results[parts] - results[32])) for parts in (1, 2, 4)]
            assert 3.5 < errors[0] / errors[1] < 6
            assert 3.5 < errors[1] / errors[2] < 6
        assert np.abs(results[1] - results[32]).max() < 0.01

    def test_halving_what_a_step_may_grow_quarters_the_error(self, white_block):
        atlas = white_block((32, 32, 32), 2.0)
        parameters = GrowthParameters((1.3, -0.7, 0.4), 0.01, 0.05, 200)

        def run(growth_per_step):
            solver = FisherKolmogorov(atlas, replace(DEFAULTS, growth_per_step=growth_per_step))
            assert {phase.scheme.stages for phase in solver._phases(parameters)} == {2}
            return solver(parameters).astype(np.float64)

        finest = run(0.02)
        errors = [np.abs(run(value) - finest).max() for value in (1.6, 0.8, 0.4, 0.2)]
        for coarse, fine in itertools.pairwise(errors):
            assert 3.4 < coarse / fine < 4.6
        assert errors[0] < 0.005

    def test_halving_the_diffusion_number_quarters_the_error(self, white_block):
        """Steps that only stability limits, from a seed so wide that all have eight stages.

        Its sharp rim is damped by 5 % a step; the coarsest run makes enough of them to forget it.
        """
        atlas = white_block((40, 40, 40), 2.0)
        parameters = GrowthParameters((1.3, -0.7, 0.4), 0.5, 0.02, 600)

        def run(number):
            solver_settings = FisherKolmogorovSettings(
                diffusion_number=number, growth_per_step=9, seed_width_mm=12, seed_volume_ml=8
            )
            solver = FisherKolmogorov(atlas, solver_settings)
            assert {phase.scheme.stages for phase in solver._phases(parameters)} == {8}
            return solver(parameters).astype(np.float64)

        finest = run(0.03)
        errors = [np.abs(run(value) - finest).mean() for value in (0.9, 0.45, 0.225)]
        for coarse, fine in itertools.pairwise(errors):
            assert 3.4 < coarse / fine < 5
        assert errors[0] < 1e-5

    @pytest.mark.parametrize("spacing", [2.0, (1.0, 2.0, 4.0)], ids=["cubic", "anisotropic"])
    @pytest.mark.parametrize(
        ("diffusivity", "proliferation", "duration"),
        [(0.3, 0, 100), (0.3, 0.01, 900), (0.001, 0.15, 103), (0.05, 0.05, 300), (1.5, 0.2, 700), (1e-9, 0, 1000)],
    )
    def test_steps_obey_both_limits(self, ragged_atlas, spacing, diffusivity, proliferation, duration):
        """No diffusion matrix of any tissue has a larger eigenvalue than twice its largest possible diagonal."""
        solver = FisherKolmogorov(ragged_atlas((20, 20, 20), spacing))
        parameters = GrowthParameters((1, 2, 3), diffusivity, proliferation, duration)
        largest = 4 * diffusivity * sum(1 / h**2 for h in solver.atlas.frame.spacing)
        faces = (solver._medium.x, solver._medium.y, solver._medium.z)
        diagonal = sum(face + np.roll(face, 1, axis) for axis, face in enumerate(faces))
        assert 2 * diffusivity * diagonal.max() < largest * (1 + 1e-6)
        phases = solver._phases(parameters)
        for phase in phases:
            assert phase.days * largest <= 2 * phase.scheme.reach * DEFAULTS.diffusion_number * (1 + 1e-9)
            assert phase.days * proliferation <= DEFAULTS.growth_per_step * (1 + 1e-9)
        assert sum(phase.steps * phase.days for phase in phases) == pytest.approx(duration, rel=1e-12)
        assert solver.grow(parameters).steps == sum(phase.steps for phase in phases)

    def test_steps_are_as_few_as_the_limits_allow(self, white_block):
        """Where growth alone limits them they are counted; where diffusion does, eight stages carry 20.6 explicit."""
        solver = FisherKolmogorov(white_block((20, 20, 20), (1.0, 2.0, 4.0)))
        assert solver.grow(GrowthParameters((0, 0, 0), 0.001, 0.15, 103)).steps == math.ceil(0.15 * 103 / 0.6)
        explicit = 2 * 0.3 * 1000 * (1 + 1 / 4 + 1 / 16) / DEFAULTS.diffusion_number
        spreading = GrowthParameters((0, 0, 0), 0.3, 0, 1000)
        assert explicit / 20.6 < solver.grow(spreading).steps < explicit / 20.6 + 25
        assert stage_count(solver, spreading) < 0.5 * explicit

    def test_without_diffusion_one_step_is_exact(self, white_block):
        solver = FisherKolmogorov(white_block((20, 20, 20)))
        assert solver._phases(GrowthParameters((0, 0, 0), 0, 0.1, 900)) == [Phase(1, 900.0, scheme(2))]


REALISTIC = [
    # mu1 in mm, mu2, mean error allowed where there is tumour: steps that only growth limits err most
    (18.7, 2.63, 0.0005),
    (14.0, 2.45, 0.0005),
    (20.0, 3.0, 0.0005),
    (8.0, 3.5, 0.001),
    (12.0, 4.0, 0.002),
    (7.0, 4.5, 0.005),
    (4.0, 6.0, 0.008),
]


class TestDefaultSteps:
    """What the default's long steps cost in the default atlas, against steps five to ten times as short."""

    @pytest.fixture(scope="class")
    def solvers(self, icbm152):
        finer = replace(DEFAULTS, diffusion_number=0.1, growth_per_step=0.05)
        return FisherKolmogorov(icbm152), FisherKolmogorov(icbm152, finer)

    @pytest.mark.parametrize("tissue", ["white", "grey"])
    @pytest.mark.parametrize(("mu1", "mu2", "allowed"), REALISTIC)
    def test_tumours_are_those_of_a_much_finer_run(self, icbm152, solvers, mu1, mu2, allowed, tissue):
        pure = np.argwhere(getattr(icbm152, tissue) > 0.95)
        voxel = pure[np.random.default_rng(int(100 * mu1)).integers(len(pure))]
        parameters = GrowthParameters.from_mu(tuple(icbm152.frame.world(voxel)), mu1, mu2, 300)
        run, fine = (solver.grow(parameters) for solver in solvers)
        assert fine.steps > 3.5 * run.steps
        found, expected = run.full(), fine.full()
        assert (expected >= np.float32(0.2)).sum() > 1000
        for level in (0.2, 0.6):
            a, b = found >= np.float32(level), expected >= np.float32(level)
            if b.sum() > 100:
                assert 2 * (a & b).sum() / (a.sum() + b.sum()) >= 0.99
        apart = np.abs(found.astype(np.float64) - expected)
        assert apart.mean() <= 0.0002
        assert apart[expected >= 0.01].mean() <= allowed


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
    stencil.grow_logistic(u, first, stop, growth(steps[0].days / 2))
    for n, step in enumerate(steps):
        following = steps[n + 1].days if n + 1 < len(steps) else 0
        grown = growth((step.days + following) / 2)
        diffusion = np.float32(parameters.diffusivity * step.days)
        for pair, (half, whole) in enumerate(step.scheme.weights, start=1):
            last = pair == len(step.scheme.weights)
            stencil.spread(u, between, *faces, (0, 0, 0), *rows, diffusion * half, zero, one)
            stencil.spread(between, u, *faces, (0, 0, 0), *rows, diffusion * whole, one, grown if last else one)
    return u[1:-1]


def stage_count(solver, parameters):
    """How often a run applies the stencil to all that lives."""
    return sum(phase.steps * phase.scheme.stages for phase in solver._phases(parameters))


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


def reaches(shape, seed_voxel, alive):
    """Boxes to expect a tumour in: right, too small, too large, beside it, outside, and nonsense."""
    x, y, z = (int(v) for v in seed_voxel)
    half = tuple(n // 2 for n in shape)
    return [
        ((0, 0, 0), tuple(shape)),
        tuple(tuple(int(v) for v in corner) for corner in (alive.min(0), alive.max(0) + 1)),
        ((x, y, z), (x + 1, y + 1, z + 1)),
        ((-20, -9, -33), half),
        (half, tuple(3 * n for n in shape)),
        ((0, y, z), (shape[0], y + 1, z + 1)),
        ((x, y, 0), (x + 1, y + 1, shape[2])),
        ((2, 2, 2), (3, 3, 3)),
        ((1000, 1000, 1000), (-5, -5, -5)),
    ]


def assert_same_run(found, expected):
    assert found.low == expected.low
    np.testing.assert_array_equal(found.density, expected.density)
    assert (found.steps, found.voxel_updates, found.outgrew) == (
        expected.steps,
        expected.voxel_updates,
        expected.outgrew,
    )


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
