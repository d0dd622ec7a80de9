"""A head loses all but its brain and nothing of its tumour; a brain alone loses nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from gliodex.errors import InputError
from gliodex.retrieval.imaging.head import strip, stripping
from gliodex.store.frame import Frame

from .heads import as_image, head_and_mask, rotated

HEAD, MASK, FRAME = head_and_mask()
IMAGE = as_image(HEAD, FRAME)


def finds(monkeypatch, *, deepbet=MASK, registration=MASK, installed=True):
    """Let the two ways find given masks, so that what is done with them is seen alone."""
    monkeypatch.setattr(stripping, "deepbet_is_installed", lambda: installed)
    monkeypatch.setattr(stripping, "deepbet_brain", lambda image, threads: deepbet.copy())
    monkeypatch.setattr(stripping, "registered_brain", lambda image, tumour, *, threads, seed: registration.copy())


def ball(centre, radius, shape=HEAD.shape):
    grid = np.indices(shape).astype(np.float32)
    return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2


def rim_of_the_brain():
    """A voxel at the right surface of the brain, half way up."""
    right = np.flatnonzero(MASK[:, 60, 50]).max()
    return (int(right), 60, 50)


def test_outside_is_0_and_inside_unchanged(monkeypatch):
    finds(monkeypatch)
    stripped = strip(IMAGE)
    assert (stripped.image.data[~MASK] == 0).all()
    np.testing.assert_array_equal(stripped.image.data[MASK], HEAD[MASK])
    assert stripped.method == "deepbet"
    assert stripped.doubts == ()
    np.testing.assert_array_equal(stripped.brain, MASK)


def test_what_was_removed_is_told(monkeypatch):
    finds(monkeypatch)
    air = ~ndimage.binary_fill_holes(ndimage.binary_opening(HEAD > 150))
    expected = np.count_nonzero(~air & ~MASK) * FRAME.voxel_ml
    assert strip(IMAGE).removed_ml == pytest.approx(expected, rel=0.15)
    noise = np.random.default_rng(1).normal(0, 20, HEAD.shape)
    assert strip(as_image(np.abs(HEAD + noise).astype(np.float32), FRAME)).removed_ml == pytest.approx(
        expected, rel=0.15
    )


@pytest.mark.parametrize("low", [-1024.0, -3.0, 0.0])
def test_the_brain_is_above_0_and_its_contrasts_are_kept(monkeypatch, low):
    finds(monkeypatch)
    data = HEAD - HEAD[MASK].min() + low
    inside = strip(as_image(data.astype(np.float32), FRAME)).image.data[MASK]
    assert (inside > 0).all()
    np.testing.assert_allclose(np.ptp(inside), np.ptp(data[MASK]), rtol=1e-4)
    np.testing.assert_allclose(inside - inside.min(), data[MASK] - data[MASK].min(), atol=0.01)


def test_what_is_no_number_in_the_brain_becomes_one(monkeypatch):
    finds(monkeypatch)
    data = HEAD.copy()
    data[45:47, 60, 50] = np.nan
    assert np.isfinite(strip(as_image(data, FRAME)).image.data).all()


def test_no_voxel_of_a_tumour_at_the_rim_is_lost(monkeypatch):
    finds(monkeypatch)
    tumour = ball(rim_of_the_brain(), 4)
    assert (tumour & ~MASK).any()
    stripped = strip(IMAGE, (tumour, FRAME))
    assert stripped.brain[tumour].all()
    assert stripped.brain[ndimage.binary_dilation(tumour)].all()  # 2 mm is one voxel
    assert any("of the tumour lie outside the brain" in doubt for doubt in stripped.doubts)


def test_a_tumour_on_a_finer_and_shifted_grid_is_kept_whole(monkeypatch):
    finds(monkeypatch)
    centre = FRAME.world(np.array(rim_of_the_brain()))
    affine = np.diag([-0.7, 0.7, 0.7, 1.0])
    affine[:3, 3] = centre + np.array([13.3, -14.1, -13.7])
    frame = Frame((40, 40, 40), affine)
    tumour = ball((20, 20, 20), 9, frame.shape)
    stripped = strip(IMAGE, (tumour, frame))
    voxels = np.round(FRAME.voxel(frame.world(np.argwhere(tumour)))).astype(int)
    assert stripped.brain[tuple(voxels.T)].all()


def test_a_tumour_inside_raises_no_doubt(monkeypatch):
    finds(monkeypatch)
    stripped = strip(IMAGE, (ball((60, 60, 50), 6), FRAME))
    assert stripped.doubts == ()
    np.testing.assert_array_equal(stripped.brain, MASK)


def test_without_deepbet_the_registration_is_taken_and_said(monkeypatch):
    finds(monkeypatch, installed=False)
    stripped = strip(IMAGE)
    assert stripped.method == "registration"
    assert any("gliodex[head]" in doubt for doubt in stripped.doubts)


def test_a_brain_of_strange_size_is_looked_for_by_registration_instead(monkeypatch):
    finds(monkeypatch, deepbet=ball((49, 58, 47), 12))
    stripped = strip(IMAGE)
    assert stripped.method == "registration"
    assert any("with deepbet" in doubt for doubt in stripped.doubts)
    np.testing.assert_array_equal(stripped.brain, MASK)


def test_a_brain_of_strange_size_is_doubted_where_the_way_was_asked_for(monkeypatch):
    finds(monkeypatch, deepbet=ball((49, 58, 47), 12))
    stripped = strip(IMAGE, method="deepbet")
    assert stripped.method == "deepbet"
    assert any("are usual" in doubt for doubt in stripped.doubts)


@pytest.mark.parametrize("method", ["deepbet", "registration"])
def test_no_brain_found_is_refused_with_a_remedy(monkeypatch, method):
    finds(monkeypatch, deepbet=np.zeros_like(MASK), registration=np.zeros_like(MASK))
    with pytest.raises(InputError, match="no brain"):
        strip(IMAGE, method=method)


@settings(max_examples=15, deadline=None)
@given(
    degrees=st.floats(-40, 40),
    axis=st.sampled_from("xyz"),
    outside=st.sampled_from([0.0, -1.0, 5.0, np.nan]),
    permutation=st.permutations([0, 1, 2]),
    spacing=st.floats(1.6, 2.2),
    method=st.sampled_from(["auto", "deepbet", "registration"]),
)
def test_a_brain_alone_is_never_stripped(degrees, axis, outside, permutation, spacing, method):
    brain = rotated(np.pad(HEAD * MASK, 12), degrees, axis)
    inside = rotated(np.pad(MASK, 12), degrees, axis) > 0.5
    z_scores = (brain - brain[inside].mean()) / brain[inside].std()
    data = np.transpose(np.where(inside, z_scores, outside), permutation).astype(np.float32)
    image = as_image(np.ascontiguousarray(data), spacing=(spacing,) * 3)
    stripped = strip(image, method=method)
    assert stripped.image is image
    assert stripped.method == "none"
    assert stripped.removed_ml == 0
    assert stripped.brain.all()
