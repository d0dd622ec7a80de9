from pathlib import Path

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval.imaging.label_meaning import labels_in, meaning_of
from gliodex.retrieval.imaging.readers import Volume
from gliodex.store.frame import Frame

from .nested_tumor import AFFINE, nested_tumor

PATH = Path("channels.nii.gz")


def masks_of(channels, names=(), core=None, whole=None):
    data = np.stack(channels, -1)
    volume = Volume(data, Frame(data.shape[:3], AFFINE), PATH, "NIfTI", dict(enumerate(names)))
    labels, named = labels_in(volume)
    meaning = meaning_of(labels, named, PATH, core, whole)
    return labels.mask(meaning.core), labels.mask(meaning.whole), meaning


@pytest.fixture
def parts():
    tissues = nested_tumor()
    return {"N": tissues == 1, "T": tissues == 2, "E": tissues == 3, "bg": tissues == 0}


@pytest.fixture
def regions(parts):
    return {"WT": ~parts["bg"], "TC": parts["N"] | parts["T"], "ET": parts["T"]}


@pytest.mark.parametrize("order", [("TC", "WT", "ET"), ("WT", "TC", "ET"), ("ET", "TC", "WT")])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_nested_channels_are_whole_core_and_enhancing(regions, order, dtype):
    core, whole, meaning = masks_of([regions[name].astype(dtype) for name in order])
    np.testing.assert_array_equal(core, regions["TC"])
    np.testing.assert_array_equal(whole, regions["WT"])
    assert meaning.warnings == ()


def test_an_empty_enhancing_channel_leaves_two(regions):
    core, whole, _ = masks_of([regions["TC"], regions["WT"], regions["ET"] & False])
    np.testing.assert_array_equal(core, regions["TC"])
    np.testing.assert_array_equal(whole, regions["WT"])


def test_two_nested_channels_are_said(regions):
    core, whole, meaning = masks_of([regions["TC"], regions["WT"]])
    assert (core.sum(), whole.sum()) == (regions["TC"].sum(), regions["WT"].sum())
    assert "larger" in meaning.warnings[0]


@pytest.mark.parametrize("order", [("bg", "N", "E", "T"), ("N", "E", "T"), ("bg", "E", "N", "T"), ("T", "N", "E")])
def test_one_channel_a_label_is_read_by_geometry(parts, order):
    core, whole, _ = masks_of([parts[name].astype(np.uint8) for name in order])
    np.testing.assert_array_equal(core, parts["N"] | parts["T"])
    np.testing.assert_array_equal(whole, ~parts["bg"])


def test_the_background_of_a_closely_cut_file_is_found(parts):
    whole = ~parts["bg"]
    box = tuple(slice(n.min() + 4, n.max() - 3) for n in np.nonzero(whole))  # closer than the tumour
    order = ("bg", "N", "E", "T")
    channels = [parts[name][box].astype(np.uint8) for name in order]
    assert channels[0].mean() < 0.5
    core, found, _ = masks_of(channels)
    np.testing.assert_array_equal(core, (parts["N"] | parts["T"])[box])
    np.testing.assert_array_equal(found, whole[box])


def test_names_of_channels_decide(parts):
    core, whole, _ = masks_of([parts["E"], parts["T"], parts["N"]], ["edema", "enhancing", "necrosis"])
    np.testing.assert_array_equal(core, parts["N"] | parts["T"])
    np.testing.assert_array_equal(whole, ~parts["bg"])


def test_overlapping_segments_with_names(regions):
    core, whole, _ = masks_of([regions["WT"], regions["TC"]], ["whole tumor", "GTV"])
    np.testing.assert_array_equal(core, regions["TC"])
    np.testing.assert_array_equal(whole, regions["WT"])


@pytest.mark.parametrize("names", [["Tumor", "Necrosis"], ["GTV", "CTV"], ["edema", "CTV"]])
def test_names_that_leave_the_core_open_are_refused(regions, names):
    with pytest.raises(InputError, match="core_labels"):
        masks_of([regions["TC"], regions["ET"]], names)


def test_what_is_no_tumor_is_left_out_with_a_word(parts):
    core, whole, meaning = masks_of([parts["E"], parts["T"], parts["bg"]], ["edema", "enhancing", "brain"])
    np.testing.assert_array_equal(whole, parts["E"] | parts["T"])
    assert core.sum() == parts["T"].sum()
    assert "`brain` was left out" in meaning.warnings[0]


def test_channels_that_overlap_in_part_are_refused(parts):
    other = np.roll(parts["T"] | parts["N"], 6, 0)
    with pytest.raises(InputError, match="overlaps") as caught:
        masks_of([parts["T"] | parts["N"], other])
    assert "core_labels" in str(caught.value)


def test_channels_can_be_said_by_name_and_number(parts):
    names = ["blob", "thing", "stuff"]
    channels = [parts["E"], parts["T"], parts["N"]]
    with pytest.raises(InputError, match="`blob`"):
        masks_of(channels, names)
    for core, whole in (((2, 3), None), (("thing", "Stuff"), ("blob", "thing", "stuff"))):
        found = masks_of(channels, names, core, whole)
        np.testing.assert_array_equal(found[0], parts["N"] | parts["T"])
        np.testing.assert_array_equal(found[1], ~parts["bg"])


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        (lambda p: [p["E"] * 2 + p["T"] * 4, p["E"] * 1], "labels 2, 4"),
        (lambda p: [p["E"] * 0.4, p["T"] * 0.7], "threshold of 0.5"),
        (lambda p: [p["E"] & False, p["E"] & False], "is empty"),
        (lambda p: [p["E"] & False, p["E"]], "core_labels=none"),
    ],
)
def test_other_channels_are_refused(parts, channels, said):
    with pytest.raises(InputError, match=said):
        masks_of(channels(parts))
