"""The solver held against exact solutions and the symmetries of its equation."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft

from gliodex.errors import InputError
from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters
from gliodex.store.atlas import Atlas
from gliodex.store.frame import Frame

from .tumours import DEFAULTS, moments, random_parameters, seed_density, stage_count


def test_a_mass_effect_is_refused(ellipsoid_atlas):
    pushing = GrowthParameters((20.0, 5.0, 0.0), 0.1, 0.05, 100.0, 500.0)
    with pytest.raises(InputError, match="a mass effect of 500 Pa is given, the Fisher-Kolmogorov model has none"):
        FisherKolmogorov(ellipsoid_atlas)(pushing)


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


class TestRescaling:
    """mu1 = sqrt(D T) and mu2 = sqrt(rho T) fix the result (Ezhov et al. 2023, section 2)."""

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
