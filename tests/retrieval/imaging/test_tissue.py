"""Where CSF ends in a patient's own tissue."""

from pathlib import Path

import numpy as np
import pytest

from gliodex.retrieval.imaging.tissue import Tissue
from gliodex.store import Frame


@pytest.fixture(scope="module")
def head():
    """A ball of tissue of 80 mm with a ventricle and a sulcus, far from the border of its frame."""
    frame = Frame((60, 60, 60), np.diag([2.0, 2.0, 2.0, 1.0]))
    x, y, z = 2.0 * (np.indices(frame.shape) - 29.5)
    radius = np.sqrt(x**2 + y**2 + z**2)
    ball = radius < 40
    ventricle = (np.abs(x) < 4) & (np.abs(y) < 10) & (np.abs(z) < 6)
    sulcus = (np.abs(z) < 3) & (x > 24)
    tissue = ball & ~ventricle & ~sulcus
    white = np.where(radius < 28, tissue, 0).astype(np.float32)
    grey = np.where(radius >= 28, tissue, 0).astype(np.float32)
    return Tissue(white, grey, frame, Path("wm.nii.gz")), ball, ventricle, sulcus & ball, radius


def test_ventricles_and_sulci_hold_csf_and_air_does_not(head):
    tissue, ball, ventricle, sulcus, radius = head
    atlas = tissue.on(tissue.frame)
    assert (atlas.csf[ventricle] == 1).all()
    assert atlas.csf[sulcus].mean() > 0.7, "but for its mouth"
    assert not atlas.csf[radius > 48].any()
    assert not atlas.brain[radius > 48].any()
    assert atlas.brain.sum() == pytest.approx(ball.sum(), rel=0.05)


def test_where_tumours_grow_is_what_it_was_with_csf_everywhere(head):
    tissue = head[0]
    assert (tissue.on(tissue.frame).tissue == (tissue.white + tissue.grey > 0.5)).all()


def test_partial_tissue_at_the_border_keeps_its_csf(head):
    """Or a voxel of a tenth of tissue would be all tissue."""
    plain = head[0]
    white = np.where(plain.white + plain.grey > 0, plain.white, 0).copy()
    white[5, 5, 5] = 0.1
    atlas = Tissue(white, plain.grey, plain.frame, plain.path).on(plain.frame)
    assert atlas.csf[5, 5, 5] == pytest.approx(0.9)
    assert not atlas.tissue[5, 5, 5]
