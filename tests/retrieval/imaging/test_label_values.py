from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from gliodex.errors import InputError
from gliodex.retrieval.imaging.label_values import label_map, shells
from gliodex.store.frame import Frame

from .nested_tumor import nested_tumor, relabelled

PATH = Path("seg.nii.gz")
BRATS = {"n": 1, "t": 4, "e": 2}


def mapped(data):
    return label_map(data, Frame(data.shape[:3], np.diag([1.0, 1.0, 1.0, 1.0])), PATH)


def refusal(data):
    with pytest.raises(InputError) as caught:
        mapped(data)
    return str(caught.value)


@pytest.mark.parametrize(
    ("factor", "dtype"),
    [
        (1.0000153, np.float32),
        (1.0000153, np.float64),
        (0.9999999, np.float32),
        (0.99999999, np.float64),
        (0.998, np.float32),
        (1.0024, np.float64),
    ],
)
def test_values_beside_whole_numbers_are_rounded(factor, dtype):
    labels = relabelled(nested_tumor(), **BRATS)
    found = mapped((labels * dtype(factor)).astype(dtype))
    assert found.rounded
    np.testing.assert_array_equal(found.mask((1, 2, 4)), labels > 0)
    np.testing.assert_array_equal(found.mask((4,)), labels == 4)


@settings(max_examples=25, deadline=None)
@given(st.floats(-0.0024, 0.0024), st.floats(-0.0002, 0.0002))
def test_any_rounding_is_undone(scale, offset):
    labels = relabelled(nested_tumor(), **BRATS)
    np.testing.assert_array_equal(mapped(labels * (1 + scale) + offset).mask((4,)), labels == 4)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64, np.uint64, np.float32, np.float64, bool])
def test_labels_of_any_type_are_counted(dtype):
    data = np.zeros((6, 7, 8), dtype)
    data[1:3, 2, 4:7] = 1
    found = mapped(data)
    assert dict(found.counts) == {1: 6}
    assert not found.rounded
    assert found.box == (slice(1, 3), slice(2, 3), slice(4, 7))
    np.testing.assert_array_equal(found.mask((1,)), data == 1)


def test_negative_and_large_labels_are_kept():
    data = np.zeros((6, 7, 8), np.int32)
    data[0, 0, 0], data[5, 6, 7], data[1, 1, 1] = -7, 2_000_000_000, 3
    assert dict(mapped(data).counts) == {-7: 1, 3: 1, 2_000_000_000: 1}


def test_fractions_are_refused_with_their_cause():
    labels = relabelled(nested_tumor(), **BRATS).astype(np.float32)
    said = refusal(ndimage.zoom(labels, 0.8, order=1))
    assert "nearest neighbour" in said
    assert "linear interpolation" in said
    assert str(PATH) in said


def test_an_example_has_the_digits_that_show_it():
    data = np.zeros((5, 5, 5))
    data[2, 2, :3] = 1, 2, 3.0101
    assert "3.0101" in refusal(data)


def test_probabilities_are_called_so():
    data = np.random.default_rng(0).random((5, 5, 5))
    assert "threshold of 0.5" in refusal(data)


def test_an_image_of_many_values_near_whole_numbers_is_no_segmentation():
    data = np.arange(512.0).reshape(8, 8, 8) + 0.001
    assert "no integers" in refusal(data)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused(bad):
    data = np.ones((4, 4, 4), np.float32)
    data[1, 1, 1] = bad
    assert "1 values that are NaN or infinite" in refusal(data)


@pytest.mark.parametrize("data", [np.zeros((4, 4, 4)), np.full((4, 4, 4), 0.004)])
def test_nothing_but_background_is_empty(data):
    assert "is empty" in refusal(data)


def test_labels_beyond_32_bits_are_refused():
    data = np.zeros((3, 3, 3), np.uint64)
    data[1, 1, 1] = 2**63
    assert "image" in refusal(data)


@pytest.mark.parametrize("top", [3, 4])
def test_linear_interpolation_leaves_shells_of_labels_between(top):
    labels = relabelled(nested_tumor(), n=1, t=top, e=2)
    assert shells(mapped(labels)) == ()
    assert set(range(3, top)) | {1} <= set(shells(mapped(np.rint(ndimage.zoom(labels.astype(float), 1.3, order=1)))))


@pytest.mark.parametrize("values", [{"e": 1, "n": 2, "t": 3}, {"t": 1, "n": 2, "e": 3}, {"e": 1, "t": 2}])
def test_layers_of_other_conventions_are_no_shells(values):
    assert shells(mapped(relabelled(nested_tumor(), **values))) == ()


def test_strays_are_labels_of_hardly_any_voxel():
    data = np.zeros((20, 20, 20), np.uint8)
    data[:10], data[12, 0, :3] = 1, 2
    assert mapped(data).strays == (2,)
