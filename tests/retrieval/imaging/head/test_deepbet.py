"""deepbet's networks without deepbet: as exact as the package itself, and never imported."""

import sys
from importlib.metadata import PackageNotFoundError

import nibabel as nib
import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval.imaging.head import deepbet
from gliodex.retrieval.imaging.head.deepbet import deepbet_brain, deepbet_is_installed
from gliodex.store.frame import Frame

from .heads import as_image, dice, head_and_mask

HEAD, MASK, FRAME = head_and_mask()


@pytest.mark.slow
def test_the_networks_agree_with_the_template_and_no_package_of_deepbet_is_imported(monkeypatch):
    for name in ("deepbet", "data", "customtkinter", "cc3d", "fill_voids"):
        monkeypatch.setitem(sys.modules, name, None)  # an import would fail
    assert dice(deepbet_brain(as_image(HEAD, FRAME), threads=1), MASK) >= 0.95


@pytest.mark.slow
def test_the_mask_is_that_of_the_package_in_another_orientation():
    from deepbet.bet import BrainExtraction

    axes = nib.orientations.axcodes2ornt("LIA")
    header = nib.Nifti1Image(HEAD, FRAME.affine).as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(FRAME.affine), axes)
    )
    data = np.ascontiguousarray(header.get_fdata(dtype=np.float32))
    _, expected, _ = BrainExtraction(no_gpu=True).run(nib.Nifti1Image(data, header.affine))
    found = deepbet_brain(as_image(data, Frame(data.shape, header.affine)), threads=1)
    assert dice(found, np.asanyarray(expected.dataobj) > 0) >= 0.999


def test_where_there_is_no_brain_none_is_found():
    assert not deepbet_brain(as_image(np.zeros((30, 30, 30), np.float32)), threads=1).any()


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(deepbet, "distribution", missing)
    assert not deepbet_is_installed()
    with pytest.raises(InputError, match=r"pip install 'gliodex\[head\]'"):
        deepbet_brain(as_image(HEAD, FRAME))


@pytest.mark.parametrize("shape", [(128, 128, 128), (200, 150, 26)])
def test_a_box_holds_the_piece_and_a_tenth_on_each_side(shape):
    coarse = np.zeros((128, 128, 128), bool)
    coarse[40:80, 30:90, 50:100] = True
    coarse[0, 0, 0] = True  # a stray piece does not count
    box = deepbet._box_with_margin(coarse, shape)
    for axis, (low, high) in enumerate([(40, 80), (30, 90), (50, 100)]):
        scale, size = shape[axis] / 128, high - low
        assert box[axis].start == pytest.approx(max(0, scale * (low - 0.1 * size)), abs=1)
        assert box[axis].stop == pytest.approx(min(shape[axis], scale * (high + 0.1 * size)), abs=1)
