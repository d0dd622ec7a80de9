from dataclasses import replace

import numpy as np
import pytest

from gliodex.learn.lmi.mask_features import CHANNELS, MOMENTS, Viewer, is_symmetric
from gliodex.learn.training.density_crops import CORE_LEVELS, WHOLE_LEVELS

from .masks import outlines


def by_hand(mask, centre, white):
    """Moments of a mask, in plain NumPy: logarithm of voxels, centre, spreads, correlations, share of white."""
    at = np.argwhere(mask).astype(float)
    spread = np.sqrt(at.var(axis=0) + 0.1)
    covariance = np.cov(at.T, bias=True)
    correlations = [covariance[a, b] / spread[a] / spread[b] for a, b in ((0, 1), (0, 2), (1, 2))]
    return [np.log(len(at)), *(at.mean(axis=0) - centre), *np.log(spread), *correlations, white[mask].mean()]


def pooled(values, first, pool, count):
    """Mean of cells; what lies beyond the frame is 0."""
    wide = 64
    padded = np.pad(values.astype(float), wide)
    low = np.asarray(first) + wide
    box = padded[tuple(slice(a, a + pool * count) for a in low)]
    return box.reshape(count, pool, count, pool, count, pool).mean(axis=(1, 3, 5))


@pytest.mark.parametrize("n", range(4))
def test_views_are_what_numpy_makes_of_the_masks(grown, small_atlas, n):
    core, whole = outlines(grown, grown.ids[n], 40, 140)
    views = Viewer(small_atlas, 8).of_masks(core, whole)
    white, grey = small_atlas.white, small_atlas.grey
    if views.mirrored[0]:
        core, whole, white, grey = core[::-1], whole[::-1], white[::-1], grey[::-1]
    centre = np.argwhere(whole).mean(axis=0)
    np.testing.assert_allclose(views.centre[0], centre, atol=1e-9)
    moments = [*by_hand(whole, 0.0, white), *(by_hand(core, centre, white) if core.any() else [0.0] * 11)]
    np.testing.assert_allclose(views.moments[0][:22], moments, rtol=1e-5, atol=1e-5)
    first, pool = np.round(views.moments[0][22:25] + centre).astype(int), int(views.moments[0][25])
    extent = np.ptp(np.argwhere(whole), axis=0).max() + 1
    assert 8 * (pool - 1) < 1.25 * extent + 4 <= 8 * pool
    for channel, values in enumerate((whole, core, white, grey)):
        np.testing.assert_allclose(views.cells[0, channel], pooled(values, first, pool, 8), atol=1e-6)
    assert views.cells[0, 0].sum() * pool**3 == pytest.approx(whole.sum(), rel=1e-5), "the crop holds all of it"


def test_boxes_and_masks_give_the_same_views(grown, boxes, small_atlas):
    viewer, rng = Viewer(small_atlas, 8), np.random.default_rng(0)
    whole, core = (rng.integers(low, high + 1, 12) for low, high in (WHOLE_LEVELS, CORE_LEVELS))
    together = viewer.of_boxes(boxes, np.arange(12), whole, core)
    for n, tumour in enumerate(grown.ids[:12]):
        alone = viewer.of_masks(*outlines(grown, tumour, whole[n], core[n]))
        for name in alone._fields:
            np.testing.assert_allclose(getattr(together, name)[n], getattr(alone, name)[0], atol=1e-5, err_msg=name)


def test_a_tumour_and_its_mirror_image_look_alike(grown, small_atlas):
    assert is_symmetric(small_atlas)
    viewer = Viewer(small_atlas, 8)
    for tumour in grown.ids[:6]:
        core, whole = outlines(grown, tumour, 40, 140)
        one, other = viewer.of_masks(core, whole), viewer.of_masks(core[::-1], whole[::-1])
        assert one.mirrored[0] != other.mirrored[0]
        np.testing.assert_allclose(one.cells, other.cells, atol=1e-6)
        np.testing.assert_allclose(one.moments, other.moments, atol=1e-4)
        np.testing.assert_allclose(one.centre, other.centre, atol=1e-9)


def test_an_atlas_that_is_no_mirror_image_of_itself_is_never_mirrored(grown, small_atlas):
    white = small_atlas.white.copy()
    white[12:15] = 0.0
    lopsided = replace(small_atlas, white=white)
    assert not is_symmetric(lopsided)
    masks = outlines(grown, grown.ids[0], 40, 140)
    for core, whole in (masks, tuple(mask[::-1] for mask in masks)):
        assert not Viewer(lopsided, 8).of_masks(core, whole).mirrored[0]


def test_moving_tumour_and_tissue_moves_nothing_but_the_centre(make_atlas):
    """The crop goes with the tumour: a network sees the same wherever in its frame a brain lies."""
    small = make_atlas(shape=(24, 24, 24))
    wide = make_atlas(shape=(40, 40, 40))
    maps = {name: np.zeros(wide.frame.shape, np.float32) for name in ("white", "grey", "csf", "t1")}
    at = (5, 9, 2)
    inside = tuple(slice(a, a + 24) for a in at)
    for name, values in maps.items():
        values[inside] = getattr(small, name)
    moved = replace(wide, **maps)
    core, whole = np.zeros((2, *small.frame.shape), bool)
    whole[6:10, 8:14, 9:12] = True
    core[7:9, 9:12, 10:11] = True
    masks = []
    for mask in (core, whole):
        put = np.zeros(wide.frame.shape, bool)
        put[inside] = mask
        masks.append(put)
    viewers = [Viewer(replace(small, white=small.white.copy()), 8), Viewer(moved, 8)]
    viewers[0].symmetric = False
    one, other = viewers[0].of_masks(core, whole), viewers[1].of_masks(*masks)
    np.testing.assert_allclose(one.cells, other.cells, atol=1e-6)
    np.testing.assert_allclose(other.centre - one.centre, [at], atol=1e-9)
    same = np.r_[0, 4:26]
    np.testing.assert_allclose(one.moments[0, same], other.moments[0, same], atol=1e-4)


@pytest.mark.parametrize("cells", [8, 0])
def test_an_empty_core_and_a_whole_of_one_voxel_are_seen(small_atlas, cells):
    core, whole = np.zeros((2, *small_atlas.frame.shape), bool)
    whole[12, 20, 15] = True
    views = Viewer(small_atlas, cells).of_masks(core, whole)
    assert np.isfinite(views.moments).all()
    assert (views.moments[0, 11:22] == 0).all()
    assert views.moments[0, 0] == 0
    assert views.moments.shape == (1, MOMENTS)


def test_the_whole_frame_is_seen_as_in_the_paper(grown, boxes, small_atlas):
    viewer = Viewer(small_atlas, 0)
    views = viewer.of_boxes(boxes, np.arange(3), np.full(3, 40), np.full(3, 140))
    for n in range(3):
        core, whole = outlines(grown, grown.ids[n], 40, 140)
        np.testing.assert_allclose(views.cells[n, 0], 0.666 * core + 0.333 * whole, atol=1e-6)
        np.testing.assert_allclose(views.centre[n], (np.array(small_atlas.frame.shape) - 1) / 2)
    assert not views.mirrored.any()
    assert views.cells.shape[1] != CHANNELS
