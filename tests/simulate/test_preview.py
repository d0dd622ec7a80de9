import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters, Prior
from gliodex.simulate.preview import SizePreview, _halved
from gliodex.simulate.prior import tissue_voxels
from gliodex.store.density import EncodedTumour
from gliodex.store.manifest import THRESHOLDS

SETTINGS = FisherKolmogorovSettings()
PRIOR = Prior()


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
    hopeless = np.array([preview.hopeless(draw) for draw in draws])
    kept = np.array([kept_by_full_run(solver, draw, prior) for draw in draws])
    return hopeless, kept


class TestNothingIsLost:
    def test_in_the_default_atlas(self, icbm152):
        hopeless, kept = compared(icbm152, PRIOR, seed=2024, count=90)
        assert kept.sum() >= 4
        assert hopeless.mean() > 0.6
        assert not (hopeless & kept).any()

    def test_in_a_folded_atlas_of_the_same_spacing(self, make_atlas):
        """A ball of smooth random fractions with CSF folds, unlike the brain that calibrated the preview."""
        rng = np.random.default_rng(9)
        noise = np.stack([ndimage.gaussian_filter(rng.standard_normal((56, 56, 56)), 2.5) for _ in range(3)])
        fractions = np.exp(noise / noise.std() + np.array([0.5, 0.5, -1.0])[:, None, None, None])
        fractions /= fractions.sum(0)
        fractions[:, np.linalg.norm(np.indices((56, 56, 56)) - 27.5, axis=0) > 23] = 0
        atlas = make_atlas(*fractions, spacing=2.0)
        prior = Prior((0.02, 1.0), (0.01, 0.1), (50, 500), (3, 80), (0.5, 70))
        hopeless, kept = compared(atlas, prior, seed=1, count=120)
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

    def test_growth_alone_cannot_reach_the_smallest_size(self, atlas, monkeypatch):
        """0.1 ml exp(rho T) / 0.2 = 3 ml at rho T = 1.79: below, no simulation is needed."""
        preview = SizePreview(atlas, SETTINGS, PRIOR)
        simulated = []
        monkeypatch.setattr(preview._coarse, "grow", lambda *_, **__: simulated.append(1) or 1 / 0)
        slow = GrowthParameters((0, 0, 0), 0.02, 0.01, 100 * math.log(6) - 1)
        assert preview.hopeless(slow)
        assert not simulated
        with pytest.raises(ZeroDivisionError):
            preview.hopeless(replace(slow, duration=100 * math.log(6) + 1))

    def test_a_front_that_crosses_the_brain_is_hopeless(self, atlas, monkeypatch):
        preview = SizePreview(atlas, SETTINGS, PRIOR)
        monkeypatch.setattr(preview._coarse, "grow", lambda *_, **__: 1 / 0)
        assert preview.hopeless(GrowthParameters((0, 0, 0), 1.0, 0.2, 500))

    def test_coarse_run_tells_ordinary_draws_apart(self, atlas):
        preview = SizePreview(atlas, SETTINGS, PRIOR)
        assert not preview.hopeless(GrowthParameters((0, 0, 0), 0.2, 0.05, 150))
        assert preview.hopeless(GrowthParameters((0, 0, 0), 1.5, 0.01, 300))
        assert preview.hopeless(GrowthParameters((0, 0, 0), 1.0, 0.06, 300))

    def test_a_seed_whose_tissue_vanishes_on_the_coarse_grid_is_given_its_chance(self, make_atlas):
        white, csf = np.zeros((24, 24, 24)), np.ones((24, 24, 24))
        white[:8] = 1
        white[20, 11, 11] = 1
        csf[white > 0] = 0
        atlas = make_atlas(white, None, csf, spacing=2.0)
        seed = tuple(float(v) for v in atlas.frame.world([20, 11, 11]))
        assert not SizePreview(atlas, SETTINGS, PRIOR).hopeless(GrowthParameters(seed, 0.2, 0.05, 150))

    def test_tumours_without_core_are_not_lost_where_the_prior_keeps_them(self, atlas):
        prior = Prior(core_ml=(0.0, 200.0))
        solver, preview = FisherKolmogorov(atlas), SizePreview(atlas, SETTINGS, prior)
        faint = GrowthParameters((0, 0, 0), 0.9, 0.03, 210)
        assert solver(faint).max() < 0.45
        assert kept_by_full_run(solver, faint, prior)
        assert not preview.hopeless(faint)

    def test_tumours_that_fill_the_brain_are_not_lost_where_the_prior_keeps_them(self, atlas):
        prior = Prior(whole_ml=(3.0, 2000.0), core_ml=(0.5, 2000.0))
        solver, preview = FisherKolmogorov(atlas), SizePreview(atlas, SETTINGS, prior)
        filling = GrowthParameters((0, 0, 0), 1.0, 0.1, 700)
        assert kept_by_full_run(solver, filling, prior)
        assert not preview.hopeless(filling)


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
