import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters, Prior
from gliodex.simulate.active_rows import TAIL
from gliodex.simulate.early_rejection import FARTHEST_FRONT_MM, Preview, SizePreview, _halved
from gliodex.simulate.prior import tissue_voxels
from gliodex.store.density import EncodedTumour
from gliodex.store.manifest import THRESHOLDS

SETTINGS = FisherKolmogorovSettings()
PRIOR = Prior()
FOLDED_PRIOR = Prior((0.02, 1.0), (0.01, 0.1), (50, 500), (3, 80), (0.5, 70))


@pytest.fixture(scope="module")
def folded_atlas(make_atlas):
    """A ball of smooth random fractions with CSF folds."""
    rng = np.random.default_rng(9)
    noise = np.stack([ndimage.gaussian_filter(rng.standard_normal((56, 56, 56)), 2.5) for _ in range(3)])
    fractions = np.exp(noise / noise.std() + np.array([0.5, 0.5, -1.0])[:, None, None, None])
    fractions /= fractions.sum(0)
    fractions[:, np.linalg.norm(np.indices((56, 56, 56)) - 27.5, axis=0) > 23] = 0
    return make_atlas(*fractions, spacing=2.0)


def kept_by_full_run(solver, parameters, prior):
    run = solver.grow(parameters, stop_above_ml=prior.whole_ml[1])
    if run.outgrew:
        return False
    tumour = EncodedTumour.from_density(run.full(), solver.atlas.frame, parameters, THRESHOLDS)
    return prior.keeps(tumour.whole_ml, tumour.core_ml)


def compared(atlas, prior, seed, count):
    """For each draw whether the preview calls it hopeless and whether the full simulation keeps it."""
    preview, solver, tissue = (
        SizePreview(atlas, SETTINGS, prior),
        FisherKolmogorov(atlas),
        tissue_voxels(atlas),
    )
    draws = [prior.draw(atlas, tissue, seed, index) for index in range(count)]
    hopeless = np.array([preview(draw).hopeless for draw in draws])
    kept = np.array([kept_by_full_run(solver, draw, prior) for draw in draws])
    return hopeless, kept


class TestNothingIsLost:
    def test_in_the_default_atlas(self, icbm152):
        hopeless, kept = compared(icbm152, PRIOR, seed=2024, count=90)
        assert kept.sum() >= 4
        assert hopeless.mean() > 0.6
        assert not (hopeless & kept).any()

    def test_in_a_folded_atlas_of_the_same_spacing(self, folded_atlas):
        """Unlike the brain that calibrated the preview."""
        hopeless, kept = compared(folded_atlas, FOLDED_PRIOR, seed=1, count=120)
        assert kept.sum() >= 15
        assert hopeless.sum() >= 15
        assert not (hopeless & kept).any()

    @pytest.mark.slow
    def test_in_many_draws_of_the_default_atlas(self, icbm152):
        hopeless, kept = compared(icbm152, PRIOR, seed=7, count=1500)
        assert kept.sum() >= 80
        assert not (hopeless & kept).any()


class TestLooks:
    @pytest.fixture(scope="class")
    def atlas(self, white_block):
        return white_block((48, 48, 48), 2.0)

    @pytest.fixture
    def unsimulated(self, monkeypatch):
        """Preview whose third look, the coarse run, raises ZeroDivisionError."""

        def make(atlas, prior=PRIOR):
            preview = SizePreview(atlas, SETTINGS, prior)
            monkeypatch.setattr(preview.coarse, "grow", lambda *_, **__: 1 / 0)
            return preview

        return make

    def test_growth_alone_cannot_reach_the_smallest_size(self, atlas, unsimulated):
        """0.1 ml exp(rho T) / 0.2 = 3 ml at rho T = 1.79: below, no simulation is needed."""
        preview = unsimulated(atlas)
        slow = GrowthParameters((0, 0, 0), 0.02, 0.01, 100 * math.log(6) - 1)
        assert preview(slow) == Preview(hopeless=True)
        with pytest.raises(ZeroDivisionError):
            preview(replace(slow, duration=100 * math.log(6) + 1))

    def test_a_front_that_crosses_the_brain_is_hopeless(self, atlas, unsimulated):
        preview = unsimulated(atlas)
        assert preview(GrowthParameters((0, 0, 0), 1.0, 0.2, 500)) == Preview(hopeless=True)

    @pytest.mark.parametrize(
        ("mu2", "farthest_mm"),
        [(1.5, 390), (3.0, 390), (3.01, 340), (4.5, 210), (5.5, 185), (8.0, 155), (8.1, 115), (17.0, 115)],
    )
    def test_how_far_a_front_may_come_depends_on_how_much_it_grows(self, atlas, unsimulated, mu2, farthest_mm):
        """It travels 2 mu1 mu2 at most; farther, by radius, where the prior keeps larger tumours."""
        for whole_ml, scale in ((250.0, 1.0), (100.0, 1.0), (400.0, (400 / 250) ** (1 / 3))):
            preview = unsimulated(atlas, Prior(whole_ml=(3.0, whole_ml), core_ml=(0.5, whole_ml)))
            near, far = (
                GrowthParameters.from_mu((0, 0, 0), share * scale * farthest_mm / (2 * mu2), mu2)
                for share in (0.99, 1.01)
            )
            assert preview(far) == Preview(hopeless=True)
            with pytest.raises(ZeroDivisionError):
                preview(near)

    def test_no_front_is_too_far_where_the_prior_keeps_what_fills_the_brain(self, atlas, unsimulated):
        preview = unsimulated(atlas, Prior(whole_ml=(3.0, 500.0), core_ml=(0.5, 500.0)))  # of 885 ml
        with pytest.raises(ZeroDivisionError):
            preview(GrowthParameters.from_mu((0, 0, 0), 60, 10))

    def test_the_more_it_grows_the_less_far_a_front_may_come(self):
        limits, farthest = zip(*FARTHEST_FRONT_MM, strict=True)
        assert list(limits) == sorted(set(limits))
        assert limits[-1] == math.inf
        assert list(farthest) == sorted(farthest, reverse=True)
        assert min(farthest) > 39  # the radius of a ball of 250 ml, as far as a front comes that nothing slows

    def test_coarse_run_tells_ordinary_draws_apart(self, atlas):
        preview = SizePreview(atlas, SETTINGS, PRIOR)
        ordinary = preview(GrowthParameters((0, 0, 0), 0.2, 0.05, 150))
        assert not ordinary.hopeless
        assert ordinary.reach is not None
        assert preview(GrowthParameters((0, 0, 0), 1.5, 0.01, 300)) == Preview(hopeless=True)
        assert preview(GrowthParameters((0, 0, 0), 1.0, 0.06, 300)) == Preview(hopeless=True)

    def test_a_tumour_that_pushes_is_looked_at_as_if_it_did_not(self, atlas):
        preview = SizePreview(atlas, SETTINGS, PRIOR)
        for still in (
            GrowthParameters((0, 0, 0), 0.2, 0.05, 150),
            GrowthParameters((0, 0, 0), 1.5, 0.01, 300),
            GrowthParameters((0, 0, 0), 1.0, 0.06, 300),
        ):
            assert preview(replace(still, mass_effect=8000.0)) == preview(still)

    def test_a_seed_whose_tissue_vanishes_on_the_coarse_grid_is_given_its_chance(self, make_atlas):
        white, csf = np.zeros((24, 24, 24)), np.ones((24, 24, 24))
        white[:8] = 1
        white[20, 11, 11] = 1
        csf[white > 0] = 0
        atlas = make_atlas(white, None, csf, spacing=2.0)
        seed = tuple(float(v) for v in atlas.frame.world([20, 11, 11]))
        preview = SizePreview(atlas, SETTINGS, PRIOR)
        assert preview(GrowthParameters(seed, 0.2, 0.05, 150)) == Preview(hopeless=False, reach=None)

    def test_a_tumour_too_thin_to_have_a_place_is_not_lost_where_the_prior_keeps_it(self, atlas):
        """It spreads until no cell holds as much as counts for living."""
        prior = Prior(whole_ml=(0.0, 100.0), core_ml=(0.0, 100.0))
        preview = SizePreview(atlas, replace(SETTINGS, seed_volume_ml=1e-7), prior)
        assert not preview(GrowthParameters((0, 0, 0), 1.0, 0.0, 300)).hopeless

    def test_tumours_without_core_are_not_lost_where_the_prior_keeps_them(self, atlas):
        prior = Prior(core_ml=(0.0, 200.0))
        solver, preview = FisherKolmogorov(atlas), SizePreview(atlas, SETTINGS, prior)
        faint = GrowthParameters((0, 0, 0), 0.9, 0.03, 210)
        assert solver(faint).max() < 0.45
        assert kept_by_full_run(solver, faint, prior)
        assert not preview(faint).hopeless

    def test_tumours_that_fill_the_brain_are_not_lost_where_the_prior_keeps_them(self, atlas):
        prior = Prior(whole_ml=(3.0, 2000.0), core_ml=(0.5, 2000.0))
        solver, preview = FisherKolmogorov(atlas), SizePreview(atlas, SETTINGS, prior)
        filling = GrowthParameters((0, 0, 0), 1.0, 0.1, 700)
        assert kept_by_full_run(solver, filling, prior)
        assert not preview(filling).hopeless


class TestReach:
    """Where a preview expects a tumour. It is a hint: what sticks out costs time, and changes nothing."""

    STICKS_OUT = 0.001
    """Share of a tumour's voxels >= 1e-8 that may; none of 109 in the default atlas had any."""

    def judged(self, atlas, prior, seed, draws):
        """For each draw that a full simulation finishes: reach, lowest and highest living voxel, share sticking out."""
        preview, solver, tissue = SizePreview(atlas, SETTINGS, prior), FisherKolmogorov(atlas), tissue_voxels(atlas)
        judged = []
        for index in range(draws):
            parameters = prior.draw(atlas, tissue, seed, index)
            look = preview(parameters)
            assert look.reach is None or not look.hopeless
            if look.reach is None:
                continue
            run = solver.grow(parameters, prior.whole_ml[1], look.reach)
            unhinted = solver.grow(parameters, prior.whole_ml[1])
            assert (run.low, run.steps, run.voxel_updates) == (unhinted.low, unhinted.steps, unhinted.voxel_updates)
            np.testing.assert_array_equal(run.density, unhinted.density)
            if not run.outgrew:
                alive, (low, high) = np.argwhere(run.full() >= TAIL), np.array(look.reach)
                outside = ((alive < low) | (alive >= high)).any(axis=1).mean()
                judged.append((look.reach, alive.min(0), alive.max(0) + 1, outside))
        return judged

    def assert_fits(self, judged):
        for (low, high), alive_low, alive_high, outside in judged:
            assert outside <= self.STICKS_OUT
            assert all(type(v) is int for v in (*low, *high))
            room = np.stack([alive_low - low, high - alive_high])
            assert room.max() <= 18  # 8 to compute ahead; a coarse front is a few coarse voxels ahead of a fine one
        assert np.mean([outside > 0 for *_, outside in judged]) <= 0.1

    def test_it_holds_tumours_in_the_default_atlas(self, icbm152):
        judged = self.judged(icbm152, PRIOR, seed=31, draws=150)
        assert len(judged) >= 10
        self.assert_fits(judged)

    def test_it_holds_tumours_in_a_folded_atlas(self, folded_atlas):
        judged = self.judged(folded_atlas, FOLDED_PRIOR, seed=2, draws=100)
        assert len(judged) >= 15
        self.assert_fits(judged)

    def test_it_holds_tumours_on_grids_of_odd_shape(self, white_block):
        atlas, prior = white_block((51, 47, 43), 2.0), Prior((0.02, 1.0), (0.01, 0.1), (50, 500), (3, 80), (0.5, 70))
        judged = self.judged(atlas, prior, seed=3, draws=60)
        assert len(judged) >= 8
        self.assert_fits(judged)


class TestHalvedAtlas:
    def test_blocks_of_eight_are_averaged_in_place(self, ragged_atlas):
        atlas = ragged_atlas((12, 10, 8), (2.0, 1.5, 3.0))
        coarse = _halved(atlas)
        assert coarse.frame.shape == (6, 5, 4)
        assert coarse.frame.spacing == pytest.approx((4, 3, 6))
        np.testing.assert_allclose(coarse.frame.world([2, 1, 3]), atlas.frame.world([4.5, 2.5, 6.5]))
        for name in ("white", "grey", "csf", "t1"):
            block = getattr(atlas, name)[4:6, 2:4, 6:8]
            assert getattr(coarse, name)[2, 1, 3] == pytest.approx(block.mean(), rel=1e-5)

    def test_odd_shapes_lose_their_last_layer_only(self, ragged_atlas):
        atlas = ragged_atlas((13, 11, 9))
        coarse = _halved(atlas)
        assert coarse.frame.shape == (6, 5, 4)
        assert coarse.white[0, 0, 0] == pytest.approx(atlas.white[:2, :2, :2].mean(), abs=1e-6)
        np.testing.assert_allclose(coarse.frame.world([0, 0, 0]), atlas.frame.world([0.5, 0.5, 0.5]))
