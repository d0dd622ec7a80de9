import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval.imaging.readers import read_volume

from .dicom_writer import write_segmentation
from .grids import at_world, oblique

pytest.importorskip("highdicom", reason="the extra dicom is not installed")

SHAPE = (12, 10, 8)
NAMES = ["Enhancing tumour", "Oedema"]


def masks(overlap):
    found = np.zeros((*SHAPE, 2), bool)
    found[2:5, 3:6, 2:5, 0] = True
    found[(4 if overlap else 5) : 8, 3:7, 4:7, 1] = True
    return found


def shifted(first):
    affine = oblique()
    affine[:3, 3] = affine[:3] @ [0, 0, first, 1]
    return affine


@pytest.mark.parametrize("omit_empty", [True, False])
def test_segments_apart_are_a_label_map_with_names(tmp_path, omit_empty):
    write_segmentation(tmp_path / "a.dcm", masks(False), oblique(), NAMES, omit_empty=omit_empty)
    volume = read_volume(tmp_path / "a.dcm")
    written = slice(2, 7) if omit_empty else slice(None)
    expected = (masks(False) * [1, 2]).sum(3)[:, :, written]
    found, off = at_world(volume, expected, shifted(written.start or 0))
    np.testing.assert_array_equal(found, expected)
    assert off < 1e-4
    assert volume.names == {1: NAMES[0], 2: NAMES[1]}
    assert volume.format == "DICOM-SEG"


def test_segments_that_overlap_are_channels_with_names(tmp_path):
    write_segmentation(tmp_path / "a.dcm", masks(True), oblique(), NAMES)
    volume = read_volume(tmp_path / "a.dcm")
    found, _ = at_world(volume, masks(True)[:, :, 2:7], shifted(2))
    np.testing.assert_array_equal(found, masks(True)[:, :, 2:7])
    assert volume.names == {0: NAMES[0], 1: NAMES[1]}


def test_slices_left_out_in_the_middle_are_empty(tmp_path):
    apart = masks(False)
    apart[:, :, 4] = False
    write_segmentation(tmp_path / "a.dcm", apart, oblique(), NAMES)
    found, _ = at_world(read_volume(tmp_path / "a.dcm"), apart[:, :, 2:7, 0], shifted(2))
    np.testing.assert_array_equal(found, (apart * [1, 2]).sum(3)[:, :, 2:7])


def test_fractions_are_channels_of_floats(tmp_path):
    write_segmentation(tmp_path / "a.dcm", masks(True) * 0.5, oblique(), NAMES, kind="FRACTIONAL")
    found, _ = at_world(read_volume(tmp_path / "a.dcm"), masks(True)[:, :, 2:7], shifted(2))
    np.testing.assert_allclose(found, masks(True)[:, :, 2:7] * 0.5, atol=1 / 255)


def test_a_segmentation_may_be_named_by_its_folder(tmp_path):
    (tmp_path / "seg").mkdir()
    write_segmentation(tmp_path / "seg" / "a.dcm", masks(False), oblique(), NAMES)
    assert read_volume(tmp_path / "seg").format == "DICOM-SEG"


def test_a_damaged_segmentation_is_refused_by_name(tmp_path):
    write_segmentation(tmp_path / "a.dcm", masks(False), oblique(), NAMES)
    content = (tmp_path / "a.dcm").read_bytes()
    for length in range(200, len(content) - 4, len(content) // 25):
        (tmp_path / "a.dcm").write_bytes(content[:length])
        with pytest.raises(InputError) as caught:
            read_volume(tmp_path / "a.dcm")
        assert str(tmp_path / "a.dcm") in str(caught.value)
