from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gliodex.errors import InputError
from gliodex.retrieval.imaging.intensities import above_background, background_value, evenly_lit
from gliodex.store import Frame
from gliodex.store.nifti import Image

SIZE = 24
FRAME = Frame((SIZE, SIZE, SIZE), np.diag([3.0, 3, 3, 1]))
BALL = np.linalg.norm(np.indices(FRAME.shape) - 11.5, axis=0) < 9
TISSUE = np.random.default_rng(0).normal(300, 60, FRAME.shape)


def image(values):
    return Image(np.asarray(values, np.float32), FRAME, Path("t1.nii.gz"))


BACKGROUNDS = {
    "0": np.where(BALL, TISSUE, 0),
    "z-scores": np.where(BALL, (TISSUE - 300) / 60, 0),
    "lowest z-score": np.where(BALL, (TISSUE - 300) / 60, -9.0),
    "-1024": np.where(BALL, TISSUE, -1024),
    "brighter than tissue": np.where(BALL, TISSUE, 1000),
    "not a number": np.where(BALL, TISSUE, np.nan),
    "infinite": np.where(BALL, TISSUE, np.inf),
    "negative tissue": np.where(BALL, TISSUE - 2000, 0),
}


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_the_background_is_0_and_all_else_above(name):
    found = above_background(image(BACKGROUNDS[name]))
    assert found.data.dtype == np.float32
    np.testing.assert_array_equal(found.data > 0, BALL)
    assert stats.spearmanr(found.data[BALL], TISSUE[BALL]).statistic > 0.999
    assert 0.9 < np.quantile(found.data[BALL], 0.99) < 1.1
    assert found.frame is FRAME


@pytest.mark.parametrize("name", ["brighter than tissue", "not a number", "infinite"])
def test_black_is_0_where_tissue_is_positive(name):
    expected = np.where(BALL, BACKGROUNDS["0"] / np.percentile(TISSUE[BALL], 99), 0)
    np.testing.assert_allclose(above_background(image(BACKGROUNDS[name])).data, expected, atol=2e-3)
    np.testing.assert_allclose(above_background(image(BACKGROUNDS["0"])).data, expected, atol=2e-3)


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_the_darkest_tissue_stays_apart_from_black(name):
    found = above_background(image(BACKGROUNDS[name])).data
    assert 0.1 < np.quantile(found[BALL], 0.01) < 0.7
    assert np.ptp(np.quantile(found[BALL], [0.05, 0.95])) > 0.3


def test_noise_around_a_head_stays_low():
    noise = np.abs(np.random.default_rng(1).normal(0, 8, FRAME.shape))
    found = above_background(image(np.where(BALL, TISSUE, noise)))
    assert np.quantile(found.data[~BALL], 0.99) < 0.15
    assert np.median(found.data[BALL]) > 0.5


@pytest.mark.parametrize("value", [0.0, 700.0, np.nan])
def test_an_image_with_one_value_is_refused(value):
    with pytest.raises(InputError, match=r"t1\.nii\.gz has the same value everywhere"):
        above_background(image(np.full(FRAME.shape, value)))


@given(st.floats(-5e3, 5e3, width=32), st.floats(0.1, 0.9), st.integers(0, 2**32 - 1))
def test_a_value_that_many_voxels_share_is_the_background(value, share, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1000, 3000).astype(np.float32)
    values[rng.permutation(3000)[: int(share * 3000)]] = value
    assert background_value(values) == np.float32(value)


def test_intensities_that_nothing_repeats_have_no_background():
    assert background_value(np.random.default_rng(2).normal(size=5000).astype(np.float32)) is None
    assert background_value(np.zeros(0, np.float32)) is None


def test_n4_evens_out_the_brightness():
    """Two tissues in shells, under a field that falls by e across the head."""
    tissue = np.where((np.linalg.norm(np.indices(FRAME.shape) - 11.5, axis=0) // 2) % 2, 300, 200)
    field = np.exp(np.linspace(-0.5, 0.5, SIZE))[:, None, None]
    lit = np.where(BALL, tissue * field, 0)
    even = evenly_lit(image(lit))
    np.testing.assert_array_equal(even.data > 0, BALL)
    before, after = (np.std(np.log(one[BALL] / tissue[BALL])) for one in (lit, even.data))
    assert after < 0.4 * before
