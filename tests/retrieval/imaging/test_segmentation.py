import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from gliodex.errors import InputError
from gliodex.retrieval import from_labels
from gliodex.retrieval.imaging.choices import labels_of

from ..anatomy import write_nifti
from .nested_tumor import AFFINE as TUMOR_AFFINE
from .nested_tumor import ENHANCING, SHINE, nested_tumor, relabelled, t1_after_contrast

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


@pytest.fixture
def label_file(tmp_path):
    """Write a label map with 8 voxels of each label, or any array."""

    def write(*labels, dtype=np.uint8, data=None, name="seg.nii.gz", affine=AFFINE):
        if data is None:
            data = np.zeros((8, 8, 8), dtype)
            for n, label in enumerate(labels):
                data[n, 0] = label
        return write_nifti(tmp_path / name, data, affine)

    return write


def refusal(path, *args):
    with pytest.raises(InputError) as caught:
        from_labels(path, *args)
    return str(caught.value)


@pytest.fixture
def tumor_file(tmp_path):
    """Write a label map of a tumour, with the values of necrosis, enhancing tumour and oedema."""

    def write(scale=1.0, name="seg.nii.gz", **values):
        data = relabelled(nested_tumor(), **values)
        return write_nifti(tmp_path / name, data if scale == 1.0 else data * scale, TUMOR_AFFINE)

    return write


@pytest.mark.parametrize(
    ("values", "core"),
    [
        ({"n": 1, "t": 4, "e": 2}, [1, 4]),
        ({"n": 1, "t": 3, "e": 2}, [1, 3]),
        ({"e": 1, "n": 2, "t": 3}, [2, 3]),
        ({"t": 1, "n": 2, "e": 4}, [1, 2]),
    ],
)
def test_conventions_are_understood(tumor_file, values, core):
    found = from_labels(tumor_file(**values))
    tissues = nested_tumor()
    np.testing.assert_array_equal(found.core, np.isin(tissues, (1, 2)))
    np.testing.assert_array_equal(found.whole, tissues > 0)
    assert found.understood["core_labels"] == core
    assert set(found.understood["whole_labels"]) == set(values.values())
    assert found.understood["labels"] == {str(v): int((tissues == "nte".index(k) + 1).sum()) for k, v in values.items()}
    assert found.warnings == ()
    json.dumps(found.understood)


@pytest.mark.parametrize("scale", [1.0000153, 0.9999999])
def test_rounding_changes_nothing(tumor_file, scale):
    plain, rounded = (from_labels(tumor_file(s, f"{s}.nii.gz", n=1, t=4, e=2)) for s in (1.0, np.float32(scale)))
    np.testing.assert_array_equal(plain.core, rounded.core)
    np.testing.assert_array_equal(plain.whole, rounded.whole)
    assert (plain.understood["rounded"], rounded.understood["rounded"]) == (False, True)


def test_a_linearly_interpolated_map_is_refused_with_the_cause(tmp_path):
    labels = relabelled(nested_tumor(), n=1, t=3, e=2).astype(float)
    path = write_nifti(
        tmp_path / "seg.nii.gz", np.rint(ndimage.zoom(labels, 1.2, order=1)).astype(np.uint8), TUMOR_AFFINE
    )
    said = refusal(path)
    assert "nearest neighbour" in said
    assert "shell of one voxel" in said
    found = from_labels(path, labels="brats-2023")
    assert any("shell of one voxel" in warning for warning in found.warnings)


def test_a_convention_can_be_said(tumor_file):
    found = from_labels(tumor_file(e=1, t=2, n=2), labels="HD-GLIO")
    assert found.understood["core_labels"] == [2]
    assert found.understood["convention"] == "hd-glio"
    assert found.warnings == ()
    assert found.summary.startswith("labels read as HD-GLIO (hd-glio), as said: core 2 ")


def test_a_convention_that_does_not_fit_is_doubted(tumor_file):
    found = from_labels(tumor_file(e=1, n=2, t=3), labels="brats-2023")
    assert found.understood["core_labels"] == [1, 3]
    assert any("do not lie as brats-2023" in warning for warning in found.warnings)


def test_a_cavity_belongs_to_no_mask(tumor_file):
    found = from_labels(tumor_file(n=4, t=3, e=2), labels="brats-2024")
    assert found.whole.sum() == (nested_tumor() > 1).sum()
    assert found.core.sum() == (nested_tumor() == 2).sum()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"labels": "brats-1999"}, "knows no convention"),
        ({"labels": "hd-glio"}, "holds label 4, which hd-glio has not"),
        ({"labels": "brats", "core": (4,)}, "leave out"),
        ({"core": ("oedema",)}, "have no names"),
    ],
)
def test_what_is_said_must_fit(tumor_file, arguments, said):
    with pytest.raises(InputError, match=said):
        from_labels(tumor_file(n=1, t=4, e=2), **arguments)


def test_the_core_of_a_whole_that_is_said_is_found(tumor_file):
    found = from_labels(tumor_file(n=1, t=4, e=2), whole=(2, 4))
    assert found.understood["core_labels"] == [4]
    assert found.whole.sum() == (nested_tumor() > 1).sum()


def test_one_mask_is_asked_about(tumor_file):
    path = tumor_file(n=1, t=1, e=1)
    assert "core_labels=none" in refusal(path)
    found = from_labels(path, ())
    assert found.whole.sum() == (nested_tumor() > 0).sum()
    assert "core none" in found.summary


def test_unlabelled_necrosis_is_said(tumor_file):
    found = from_labels(tumor_file(t=2, e=1), labels="hd-glio")
    hole = (nested_tumor() == 1).sum() * found.frame.voxel_ml
    assert any(f"{hole:.1f} ml without a label" in warning for warning in found.warnings)


def test_the_names_of_slicers_segments_decide(tmp_path):
    tissues = nested_tumor()
    fields = {
        "space": "left-posterior-superior",
        "space directions": np.diag([1.5, 1.5, 1.5]),
        "space origin": np.zeros(3),
    }
    lines = [f"{k}: {v}" for k, v in (("type", "uint8"), ("dimension", 3), ("encoding", "raw"))]
    lines += [f"sizes: {' '.join(map(str, tissues.shape))}", f"space: {fields['space']}"]
    lines += ["space directions: (1.5,0,0) (0,1.5,0) (0,0,1.5)", "space origin: (0,0,0)", "kinds: domain domain domain"]
    for n, (value, name) in enumerate(((3, "Necrosis"), (1, "enhancing tumor"), (2, "Edema"))):
        lines += [f"Segment{n}_LabelValue:={value}", f"Segment{n}_Name:={name}", f"Segment{n}_Layer:=0"]
        lines += [f"Segment{n}_ID:=Segment_{n}", f"Segment{n}_Extent:=0 59 0 55 0 51"]
    values = np.array([0, 3, 1, 2], np.uint8)[tissues]
    path = tmp_path / "tumor.seg.nrrd"
    path.write_bytes(("NRRD0004\n" + "\n".join(lines) + "\n\n").encode() + values.tobytes("F"))
    found = from_labels(path)
    assert found.core.sum() == np.isin(tissues, (1, 2)).sum()
    assert found.whole.sum() == (tissues > 0).sum()
    assert "Necrosis" in found.summary
    by_name = from_labels(path, ("necrosis",), ("Edema", "necrosis"))
    assert by_name.core.sum() == (tissues == 1).sum()
    path.write_bytes(path.read_bytes().replace(b":=Edema", b":=Resection cavity"))
    without = from_labels(path, ("necrosis", "enhancing tumor"))
    assert without.whole.sum() == np.isin(tissues, (1, 2)).sum()
    assert any("label 2 is in neither mask" in warning for warning in without.warnings)


def test_a_label_that_may_be_a_cavity_is_doubted_where_only_the_core_is_said(tumor_file):
    path = tumor_file(n=4, t=3, e=2)
    found = from_labels(path, (3,))
    assert found.whole.sum() == (nested_tumor() > 0).sum()
    assert any("label 4 was taken into the whole tumour" in warning for warning in found.warnings)
    assert not any("taken into" in warning for warning in from_labels(path, (3, 4)).warnings)
    assert not any("taken into" in warning for warning in from_labels(path, (3,), (2, 3, 4)).warnings)


@pytest.mark.parametrize("labels", [(1, 2, 3, 4), (3, 4), (1, 2, 5), (10, 20)])
def test_ambiguous_labels_are_refused_with_advice(label_file, labels):
    path = label_file(*labels)
    said = refusal(path)
    assert str(path) in said
    assert "core_labels" in said
    assert "whole_labels" in said
    assert "for example" not in said


def test_ambiguous_labels_are_taken_as_told(label_file):
    found = from_labels(label_file(1, 2, 3, 4), (1, 3, 4), (1, 2, 3, 4))
    assert (found.core.sum(), found.whole.sum()) == (24, 32)


def test_oedema_alone_asks_what_core_is(label_file):
    said = refusal(label_file(2))
    assert "core_labels=none" in said


def test_no_core_is_possible_when_said(label_file):
    found = from_labels(label_file(2), ())
    assert not found.core.any()
    assert found.whole.sum() == 8
    assert any("core" in w for w in found.warnings)


def test_no_core_of_a_map_that_has_one(label_file):
    found = from_labels(label_file(1, 2, 4), ())
    assert not found.core.any()
    assert found.whole.sum() == 24


def test_volumes_are_in_ml(label_file):
    found = from_labels(label_file(1, 2, 4), (1, 4))
    assert found.volumes_ml == pytest.approx({"core": 16 * 0.008, "whole": 24 * 0.008})


def test_the_grid_is_the_segmentations(label_file):
    affine = np.array([[-1.5, 0, 0, 10], [0, 0, 2, -4], [0, -3, 0, 7], [0, 0, 0, 1.0]])
    found = from_labels(label_file(1, 2, 4, affine=affine), (1, 4))
    assert found.frame.shape == (8, 8, 8)
    np.testing.assert_array_equal(found.frame.affine, affine)


def test_labels_that_do_not_exist_are_refused(label_file):
    path = label_file(1, 2, 4)
    said = refusal(path, (7,))
    assert str(path) in said
    assert "core" in said
    assert "1, 2, 4" in said
    assert "whole" in refusal(path, (), (9, 11))


def test_one_missing_label_of_several_is_only_said(label_file):
    found = from_labels(label_file(2, 4), (1, 4), (1, 2, 4))
    assert found.core.sum() == 8
    assert any("core label 1" in w for w in found.warnings)
    assert any("whole label 1" in w for w in found.warnings)


def test_a_label_in_neither_mask_is_said(label_file):
    found = from_labels(label_file(1, 2, 4), (4,), (2, 4))
    assert found.whole.sum() == 16
    assert any("label 1" in w for w in found.warnings)


@pytest.mark.parametrize(("core", "whole"), [((0, 4), None), ((4,), (0, 2, 4)), ((0,), None)])
def test_background_is_no_label(label_file, core, whole):
    assert "0" in refusal(label_file(1, 2, 4), core, whole)


def test_core_labels_outside_the_whole_are_refused(label_file):
    path = label_file(1, 2, 4)
    said = refusal(path, (1, 4), (2, 4))
    assert "core_labels has 1, which whole_labels has not" in said
    assert str(path) in said or "core_labels" in said, said


def test_fractions_are_refused(label_file):
    data = np.zeros((8, 8, 8), np.float32)
    data[0, 0], data[1, 0] = 1, 2
    data[1, 1, :3] = 1.5
    path = label_file(data=data)
    said = refusal(path)
    assert str(path) in said
    assert "\n" not in said
    assert "3 values" in said
    assert "1.5" in said


def test_whole_numbers_in_a_float_file_are_labels(label_file):
    found = from_labels(label_file(1, 2, 4, dtype=np.float32), (1, 4))
    assert (found.core.sum(), found.whole.sum()) == (16, 24)


def test_an_empty_map_is_refused(label_file):
    path = label_file()
    said = refusal(path)
    assert str(path) in said
    assert "empty" in said


def test_an_mri_given_as_segmentation_is_refused_briefly(label_file):
    data = np.arange(2000, dtype=np.int16).reshape(20, 10, 10)
    path = label_file(data=data)
    said = refusal(path)
    assert str(path) in said
    assert len(said) - len(str(path)) < 300, f"{len(said)} characters of labels"


def test_a_tumour_that_fills_the_image_is_doubted(label_file):
    found = from_labels(label_file(data=np.ones((6, 6, 6), np.uint8)), (1,))
    assert any("100%" in w for w in found.warnings)


@pytest.mark.parametrize(
    ("text", "labels"),
    [("1,4", (1, 4)), (" 2 , 4 ", (2, 4)), ("none", ()), ("NONE", ()), ("edema", ("edema",)), ("1, WT", (1, "WT"))],
)
def test_labels_are_numbers_or_names(text, labels):
    assert labels_of("core_labels", text) == labels


def test_none_is_no_whole_tumor():
    assert labels_of("whole_labels", "none") == ("none",)
    assert labels_of("whole_labels", None) is None


@pytest.mark.parametrize("text", ["", "1,,4", ","])
def test_labels_left_out_are_refused(text):
    with pytest.raises(InputError, match="core_labels"):
        labels_of("core_labels", text)


def t1c_of(tissues, shine):
    return t1_after_contrast(tissues, Path("t1c.nii.gz"), {**SHINE, ENHANCING: shine})


@pytest.mark.parametrize("said", [{}, {"labels": "brats"}])
def test_enhancing_tumor_that_does_not_shine_in_the_t1c_is_doubted(tumor_file, said):
    path = tumor_file(n=1, t=4, e=2)
    assert from_labels(path, t1c=t1c_of(nested_tumor(), 190.0), **said).warnings == ()
    found = from_labels(path, t1c=t1c_of(nested_tumor(), 101.0), **said)
    assert [text for text in found.warnings if "not bright in t1c.nii.gz" in text and "of this patient" in text]


def test_a_t1c_of_another_patient_is_doubted(tumor_file):
    other = np.roll(nested_tumor(5)[::-1], (14, -12, 9), axis=(0, 1, 2))
    found = from_labels(tumor_file(n=1, t=4, e=2), labels="brats", t1c=t1c_of(other, 190.0))
    assert any("not bright" in text for text in found.warnings)


def test_what_is_said_by_numbers_is_not_tested_for_brightness(tumor_file):
    found = from_labels(tumor_file(n=1, t=4, e=2), (1, 4), (1, 2, 4), t1c=t1c_of(nested_tumor(), 101.0))
    assert found.warnings == ()


@pytest.mark.parametrize("wild", [300_000_000, 2**31 - 1, -7])
@pytest.mark.parametrize("said", [{"labels": "brats"}, {"core": (1, 4), "whole": (1, 2, 4)}])
def test_a_wild_label_costs_no_memory(tmp_path, wild, said):
    data = relabelled(nested_tumor(), n=1, t=4, e=2).astype(np.int32)
    data[0, 0, 0] = wild
    path = write_nifti(tmp_path / "seg.nii.gz", data, TUMOR_AFFINE)
    tracemalloc.start()
    try:
        found = from_labels(path, **said)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
    assert np.count_nonzero(found.whole) == np.count_nonzero(nested_tumor())
    assert any(str(wild) in text for text in found.warnings)


def test_hundreds_of_stray_labels_are_left_out(tmp_path):
    data = relabelled(nested_tumor(), n=1, t=4, e=2).astype(np.int32)
    data[0].flat[:300] = np.arange(1000, 1300)
    found = from_labels(write_nifti(tmp_path / "seg.nii.gz", data, TUMOR_AFFINE), labels="brats")
    assert np.count_nonzero(found.whole) == np.count_nonzero(nested_tumor())
    assert sum("none of brats" in text for text in found.warnings) == 300


def test_a_label_that_is_said_twice_is_counted_once(tumor_file):
    path = tumor_file(n=1, t=4, e=2)
    twice, once = from_labels(path, (1, 1, 4), (1, 2, 2, 4)), from_labels(path, (1, 4), (1, 2, 4))
    assert twice.summary == once.summary
