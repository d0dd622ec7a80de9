"""Guesses from numbers: right, refused or warned of, never wrong without a word."""

from itertools import permutations
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gliodex
from gliodex.errors import InputError
from gliodex.retrieval import from_labels
from gliodex.retrieval.imaging.label_geometry import measure
from gliodex.retrieval.imaging.label_readings import candidates, choose
from gliodex.retrieval.imaging.label_values import label_map
from gliodex.store.frame import Frame

from ..anatomy import write_nifti
from .nested_tumor import AFFINE, ENHANCING, NECROSIS, SHINE, nested_tumor, relabelled, t1_after_contrast

PATIENTS = Path(gliodex.__file__).parents[1] / "shared" / "data" / "patients"
SEG = Path("seg.nii.gz")
needs_patients = pytest.mark.skipif(not PATIENTS.is_dir(), reason=f"no patients in {PATIENTS}")


def read(labels, t1c=None, path=SEG, affine=AFFINE):
    return choose(label_map(labels, Frame(labels.shape, affine), path), path, t1c)


def refusal(labels, t1c=None, path=SEG):
    with pytest.raises(InputError) as caught:
        read(labels, t1c, path)
    return str(caught.value)


@pytest.fixture
def tissues():
    return nested_tumor()


@pytest.mark.parametrize(
    ("values", "name", "core", "whole"),
    [
        ({"n": 1, "t": 4, "e": 2}, "brats", (1, 4), (1, 2, 4)),
        ({"n": 1, "t": 3, "e": 2}, "brats-2023", (1, 3), (1, 2, 3)),
        ({"e": 1, "n": 2, "t": 3}, "msd", (2, 3), (1, 2, 3)),
        ({"t": 1, "n": 2, "e": 3}, "deepbratumia", (1, 2), (1, 2, 3)),
        ({"t": 1, "n": 2, "e": 4}, "brats-ped", (1, 2), (1, 2, 4)),
        ({"n": 1, "e": 3, "t": 4}, "gliodil", (1, 4), (1, 3, 4)),
    ],
)
def test_a_complete_map_is_read_by_its_convention(tissues, values, name, core, whole):
    found = read(relabelled(tissues, **values)).reading
    assert (found.convention.name, found.core, found.whole) == (name, core, whole)


def test_brats_2013_is_read_where_4_encloses_the_necrosis(tissues):
    labels = relabelled(tissues, n=1, t=4, e=2)
    labels[(labels == 4) & (np.indices(labels.shape)[0] > 35)] = 3
    assert read(labels).reading.core == (1, 3, 4)


def test_hd_glio_leaves_its_necrosis_unlabelled(tissues):
    found = read(relabelled(tissues, e=1, t=2), t1_after_contrast(tissues, SEG))
    assert (found.reading.convention.name, found.reading.core) == ("hd-glio", (2,))


def test_a_cyst_within_an_enhancing_rim_is_no_reason_against_a_childs_tumor(tissues):
    said = refusal(relabelled(tissues, n=3, t=1, e=4))
    assert "brats-ped (core 1+3 " in said


def test_two_labels_that_a_t1c_explains(tissues):
    t1c = t1_after_contrast(tissues, SEG)
    assert read(relabelled(tissues, e=1, t=2), t1c).reading.core == (2,)
    assert read(relabelled(tissues, t=1, n=2), t1c).reading.core == (1, 2)


def test_two_labels_that_could_be_oedema_or_tumor_are_refused_with_both_readings(tissues):
    said = refusal(relabelled(tissues, n=1, t=1, e=2))
    assert "brats (core 1 " in said
    assert "brats-ped (core 1+2 " in said
    assert "labels=brats or labels=brats-ped" in said
    assert " ml" in said
    assert "\n" not in said


def test_no_message_gives_an_example_of_one_edition(tissues):
    labels = relabelled(tissues, n=3, t=3, e=2)
    labels[(labels == 3) & (np.indices(labels.shape)[1] > 28)] = 4
    said = refusal(labels)
    assert "for example" not in said
    assert "brats-2013 (core 3+4 " in said
    assert "brats-2024 (core 3 " in said


class TestCavity:
    def test_4_is_doubted_where_nothing_tells(self, tissues):
        found = read(relabelled(tissues, t=4, n=4, e=2))
        assert found.reading.core == (4,)
        assert [rival.convention.name for rival in found.rivals] == ["brats-2024"]
        assert found.rivals[0].core == ()

    def test_4_shines_in_a_t1c(self, tissues):
        found = read(relabelled(tissues, t=4, e=2), t1_after_contrast(tissues, SEG))
        assert (found.reading.convention.name, found.rivals) == ("brats", ())

    def test_4_is_dark_in_a_t1c(self, tissues):
        dark = SHINE | {NECROSIS: 30.0, ENHANCING: 30.0}
        found = read(relabelled(tissues, n=4, t=4, e=2), t1_after_contrast(tissues, SEG, dark)).reading
        assert (found.convention.name, found.core, found.whole) == ("brats-2024", (), (2,))

    def test_the_name_of_a_file_tells_the_edition(self, tissues):
        path = Path("BraTS-GLI-00001-101-seg.nii.gz")
        found = read(relabelled(tissues, n=4, t=4, e=2), path=path).reading
        assert (found.convention.name, found.core) == ("brats-2024", ())

    def test_a_name_that_the_labels_contradict_is_doubted(self, tissues):
        found = read(relabelled(tissues, n=1, t=4, e=2), path=Path("BraTS-GLI-00001-101-seg.nii.gz"))
        assert found.reading.core == (1, 4)
        assert "brats-2024" in [rival.convention.name for rival in found.rivals]

    def test_no_cavity_is_a_rim_round_necrosis(self, tissues):
        assert read(relabelled(tissues, n=1, t=4, e=2)).rivals == ()

    def test_necrosis_beside_4_leaves_a_doubt(self, tissues):
        labels = relabelled(tissues, n=4, t=4, e=2)
        labels[(labels == 4) & (np.indices(labels.shape)[0] > 33)] = 1
        found = read(labels)
        assert found.reading.core == (1, 4)
        assert "brats-2024" in [rival.convention.name for rival in found.rivals]


def test_the_intensities_of_a_t1c_may_be_scaled_and_shifted(tissues):
    labels = relabelled(tissues, t=4, e=2)
    for scale, offset in ((1.0, 0.0), (0.02, -3.0), (50.0, 1000.0)):
        assert read(labels, t1_after_contrast(tissues, SEG, scale=scale, offset=offset)).rivals == ()


def test_a_t1c_on_another_grid_is_sampled_where_the_labels_are(tissues):
    t1c = t1_after_contrast(tissues, SEG)
    frame = Frame(tissues.shape, AFFINE)
    shifted = t1c.frame.crop((6, 4, 2), tissues.shape)
    other = type(t1c)(t1c.data[6:, 4:, 2:], shifted, SEG)
    labels = label_map(relabelled(tissues, t=4, e=2), frame, SEG)
    assert measure(labels, other).brightness == pytest.approx(measure(labels, t1c).brightness, abs=0.2)


def test_a_t1c_elsewhere_says_nothing(tissues):
    t1c = t1_after_contrast(tissues, SEG)
    moved = type(t1c)(t1c.data, Frame(tissues.shape, AFFINE + np.eye(4, k=3) * 900), SEG)
    assert measure(label_map(relabelled(tissues, t=4, e=2), Frame(tissues.shape, AFFINE), SEG), moved).brightness == {}


@pytest.mark.parametrize("value", [1, 2, 3, 4, 255])
def test_one_label_alone_is_asked_about(tissues, value):
    said = refusal(np.where(tissues > 0, value, 0).astype(np.uint8))
    assert "core_labels=none" in said
    assert f"({value})" in said


@pytest.mark.parametrize("values", [(5, 6, 7), (10, 20, 30), (1, 2, 7)])
def test_labels_of_no_convention_are_refused(tissues, values):
    n, t, e = values
    said = refusal(relabelled(tissues, n=n, t=t, e=e))
    assert "core_labels" in said
    assert "whole_labels" in said
    assert ", ".join(map(str, values)) in said


def test_a_few_stray_voxels_do_not_decide(tissues):
    labels = relabelled(tissues, n=1, e=3, t=4)
    labels[0, 0, :3] = 2
    found = read(labels).reading
    assert (found.convention.name, found.core, found.whole) == ("gliodil", (1, 4), (1, 3, 4))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(list(permutations((1, 2, 3, 4), 3))), st.integers(0, 5), st.booleans())
def test_no_labelling_is_read_wrong_without_a_word(values, seed, rim):
    tissues = nested_tumor(seed, (0.5, 0.6, 0.8) if rim else (0.2, 0.6, 1.0))
    labels = relabelled(tissues, **dict(zip("nte", values, strict=True)))
    try:
        found = read(labels)
    except InputError:
        return
    core, whole = np.isin(labels, found.reading.core), np.isin(labels, found.reading.whole)
    right = np.array_equal(core, np.isin(tissues, (NECROSIS, ENHANCING))) and np.array_equal(whole, tissues > 0)
    assert right or found.rivals, f"read as {found.reading.convention.name}"


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([{"n": 1, "t": 4, "e": 2}, {"e": 1, "t": 2}, {"n": 1, "t": 3, "e": 2}, {"t": 4, "e": 2}]),
    st.permutations([0, 1, 2]),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_turning_the_grid_changes_nothing(values, order, flips):
    labels = relabelled(nested_tumor(1), **values)
    turned = np.flip(labels.transpose(order), [axis for axis, flip in enumerate(flips) if flip])
    path = SEG
    one = candidates(label_map(labels, Frame(labels.shape, AFFINE), path), path)
    two = candidates(label_map(turned, Frame(turned.shape, AFFINE), path), path)
    assert [(r.convention.name, r.verdict) for r in one] == [(r.convention.name, r.verdict) for r in two]


def test_contacts_are_areas_of_faces():
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[1:4, 1:4, 1:3], labels[1:4, 1:4, 3] = 1, 2
    geometry = measure(label_map(labels, Frame(labels.shape, np.diag([1.0, 2.0, 5.0, 1.0])), SEG))
    assert geometry.area([1], [2]) == 9 * 2.0
    assert geometry.exposure([2]) == pytest.approx((9 * 2 + 6 * 10 + 6 * 5) / (18 * 2 + 6 * 10 + 6 * 5))
    assert geometry.thickness(2, [1]) == pytest.approx(5.0)


def _patient(name):
    image = nib.load(PATIENTS / name / "seg.nii.gz")
    labels = np.asarray(image.dataobj).astype(np.uint8)
    if set(np.unique(labels)) == {0, 1, 2, 3}:
        labels[labels == 3] = 4
    labels[labels == 3] = 1
    return labels[tuple(slice(a.min() - 3, a.max() + 4) for a in np.nonzero(labels))], image.affine


@needs_patients
@pytest.mark.parametrize("name", ["BraTS2021_00006", "BraTS2021_01647", "BraTS2021_01659", "brats_2013_pat0005_1"])
def test_real_patients_in_every_convention(tmp_path, name):
    labels, affine = _patient(name)
    core, whole = np.isin(labels, (1, 4)), labels > 0
    for values in ((1, 2, 4), (1, 2, 3), (2, 1, 3), (2, 3, 1), (2, 4, 1), (1, 3, 4), (2, 1, 2)):
        table = np.array([0, values[0], values[1], 0, values[2]], np.uint8)
        path = write_nifti(tmp_path / "seg.nii.gz", table[labels], affine)
        try:
            found = from_labels(path)
        except InputError:
            assert values not in ((1, 2, 4), (1, 2, 3)), f"{name} was refused as BraTS"
            continue
        same = np.array_equal(found.core, core) and np.array_equal(found.whole, whole)
        assert same or found.warnings, f"{values} of {name}: {found.summary}"


@needs_patients
def test_the_recurrence_patient_is_gliodils():
    found = from_labels(PATIENTS.parent / "recurrence_patient" / "segm.nii.gz")
    assert found.understood["convention"] == "gliodil"
    assert found.volumes_ml["core"] == pytest.approx(68.4, abs=0.1)
    assert any("label 2 (8 voxels)" in warning for warning in found.warnings)


def test_the_summary_names_reading_labels_and_volumes(tmp_path, tissues):
    found = from_labels(write_nifti(tmp_path / "seg.nii.gz", relabelled(tissues, n=1, t=4, e=2), AFFINE))
    ml = {name: f"{volume:.1f} ml" for name, volume in found.volumes_ml.items()}
    assert found.summary == (
        f"labels read as BraTS 2017-2021 (brats), by how they lie: core 1+4 {ml['core']}, whole 1+2+4 {ml['whole']}"
    )
    assert found.understood["meanings"] == {
        "1": "necrotic and non-enhancing core",
        "2": "oedema",
        "4": "enhancing tumor",
    }
