import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gliodex.errors import InputError
from gliodex.retrieval import from_labels
from gliodex.retrieval.imaging.ants_transform import affine_matrix, load_transform
from gliodex.retrieval.imaging.registration import align, register
from gliodex.retrieval.imaging.reuse import cells_of
from gliodex.store import Frame, creating
from gliodex.store.nifti import Image, load_image

from ..anatomy import (
    LANDMARKS,
    LPS_AXES,
    PATIENT_FROM_ATLAS,
    around,
    centre_of_mass,
    coarse_atlas,
    in_patient,
    points_of,
    sampled,
)

TOLERANCE_MM = 2.0


@pytest.fixture(scope="module")
def patient(patient_files):
    """T1 and segmentation."""
    return load_image(patient_files[0]), from_labels(patient_files[1])


@pytest.fixture(scope="module")
def atlas(brain_store):
    return coarse_atlas(brain_store)


@pytest.fixture(scope="module")
def registered(atlas, patient, tmp_path_factory):
    """Affine registration of the patient, and its folder."""
    folder = tmp_path_factory.mktemp("affine") / "transform"
    return register(*patient, atlas, folder, method="affine"), folder


@pytest.fixture
def kept(registered, tmp_path):
    """A copy of the transform's folder, to be damaged."""
    return Path(shutil.copytree(registered[1], tmp_path / "transform"))


def spot(frame, point):
    distance = np.linalg.norm(points_of(frame.shape, frame.affine) - point, axis=-1)
    return np.exp(-(distance**2) / (2 * 5.0**2)).astype(np.float32)


def landmark_errors(found, atlas, patient_frame):
    """How far from its true place each landmark lands, mm: to the patient, and to the atlas."""
    errors = []
    for point in LANDMARKS:
        there = found.to_patient(spot(atlas.frame, point), atlas.frame, patient_frame)
        back = found.to_atlas(spot(patient_frame, in_patient(point)), patient_frame, atlas.frame)
        errors.append(
            [
                np.linalg.norm(centre_of_mass(there, patient_frame.affine) - in_patient(point)),
                np.linalg.norm(centre_of_mass(back, atlas.frame.affine) - point),
            ]
        )
    return np.array(errors)


def test_affine_landmarks_come_to_their_places(atlas, patient, registered):
    assert landmark_errors(registered[0], atlas, patient[0].frame).max() < TOLERANCE_MM


def test_fast_landmarks_come_to_their_places(atlas, patient, tmp_path):
    found = register(*patient, atlas, tmp_path / "transform", method="fast")
    assert {p.name for p in (tmp_path / "transform").iterdir()} == {
        "affine.mat",
        "warp.nii.gz",
        "inverse_warp.nii.gz",
        "transform.json",
    }
    assert landmark_errors(found, atlas, patient[0].frame).max() < TOLERANCE_MM
    again = load_transform(tmp_path / "transform", atlas)
    image = spot(atlas.frame, LANDMARKS[0])
    np.testing.assert_array_equal(
        again.to_patient(image, atlas.frame, patient[1].frame),
        found.to_patient(image, atlas.frame, patient[1].frame),
    )
    (tmp_path / "transform" / "inverse_warp.nii.gz").unlink()
    with pytest.raises(InputError, match=r"inverse_warp\.nii\.gz is missing"):
        load_transform(tmp_path / "transform", atlas)


@pytest.mark.slow
def test_syn_landmarks_come_to_their_places(atlas, patient, tmp_path):
    found = register(*patient, atlas, tmp_path / "transform", method="syn")
    assert landmark_errors(found, atlas, patient[0].frame).max() < TOLERANCE_MM


def test_the_affine_part_is_readable(registered):
    matrix = affine_matrix(registered[0])
    there = LANDMARKS @ matrix[:3, :3].T + matrix[:3, 3]
    assert np.linalg.norm(there - in_patient(LANDMARKS), axis=1).max() < TOLERANCE_MM
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(np.linalg.det(PATIENT_FROM_ATLAS[:3, :3]), rel=0.03)


@pytest.mark.parametrize("grid", ["the T1's", "RAS", "sheared"])
def test_any_grid_of_the_patient_can_be_asked_for(atlas, patient, registered, grid):
    centre = in_patient(LANDMARKS[0])
    sheared = LPS_AXES.copy()
    sheared[0, 2] = 0.3
    frame = {
        "the T1's": patient[0].frame,
        "RAS": around(centre, np.eye(3), (2, 3, 2.5), (60, 60, 60)),
        "sheared": around(centre, sheared, (2, 2, 2), (60, 60, 60)),
    }[grid]
    found = registered[0].to_patient(spot(atlas.frame, LANDMARKS[0]), atlas.frame, frame)
    back = in_patient(points_of(frame.shape, frame.affine), np.linalg.inv(affine_matrix(registered[0])))
    expected = sampled(spot(atlas.frame, LANDMARKS[0]), atlas.frame.affine, back)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_the_record_says_how_it_was_made(atlas, patient, registered):
    found, folder = registered
    assert {p.name for p in folder.iterdir()} == {"affine.mat", "transform.json"}
    said = found.describe()
    assert said["kind"] == "ants"
    assert said["method"] == "affine"
    assert said["moving"] == str(patient[0].path)
    assert said["atlas"] == {"name": "coarse", "digest": atlas.digest}
    assert said["seed"] == 1
    assert 0.9 < said["correlation"] <= 1
    assert said["versions"]["antspyx"]
    assert said["pose"]["tilt_degrees"] < 20
    assert said["pose"]["similarity"] > said["pose"]["next_orientation"] + 0.05
    assert not said["doubts"]
    kept = json.loads((folder / "transform.json").read_text())
    assert kept.pop("made_for") == {"tumor_cells": cells_of(patient[1])}
    assert {"kind": "ants"} | kept == json.loads(json.dumps(said))


def test_a_kept_transform_gives_the_identical_result(atlas, patient, registered):
    found, folder = registered
    again = load_transform(folder, atlas)
    assert again.record == found.record
    image = spot(atlas.frame, LANDMARKS[1])
    one, two = (m.to_patient(image, atlas.frame, patient[1].frame) for m in (found, again))
    np.testing.assert_array_equal(one, two)
    assert one.shape == patient[1].frame.shape
    mask = patient[1].whole.astype(np.float32)
    one, two = (m.to_atlas(mask, patient[1].frame, atlas.frame) for m in (found, again))
    np.testing.assert_array_equal(one, two)
    assert one.any()


def test_the_same_seed_gives_the_same_transform_to_a_fraction_of_a_voxel(atlas, patient, tmp_path):
    matrices = [
        affine_matrix(register(*patient, atlas, tmp_path / name, method="affine", seed=7, threads=2))
        for name in ("one", "two")
    ]
    one, two = (in_patient(LANDMARKS, matrix) for matrix in matrices)
    assert np.abs(one - two).max() < 0.8


ONE_THREAD = """
import sys
from pathlib import Path

from gliodex.retrieval.imaging.ants_transform import affine_matrix
from gliodex.retrieval.imaging.registration import register
from gliodex.store import open_store
from gliodex.store.nifti import load_image

folder = Path(sys.argv[1])
t1, atlas = load_image(sys.argv[2]), open_store(folder / "store").atlas
one, two = (
    affine_matrix(register(t1, None, atlas, folder / name, method="affine", seed=7, threads=1)) for name in "ab"
)
assert (one == two).all(), abs(one - two).max()
"""


@pytest.mark.slow
def test_one_thread_and_the_same_seed_give_the_identical_transform(atlas, patient_files, tmp_path):
    """In a process of its own: ITK asks once, at its first use, how many threads there shall be."""
    with creating(tmp_path / "store", atlas, {"model": "test"}, "test"):
        pass
    ran = subprocess.run(
        [sys.executable, "-c", ONE_THREAD, tmp_path, patient_files[0]], check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_noise_is_refused(atlas, patient, tmp_path):
    t1, _ = patient
    noise = np.where(t1.data > 0, np.random.default_rng(5).uniform(0.1, 1, t1.data.shape), 0).astype(np.float32)
    with pytest.raises(InputError, match="resemble"):
        register(Image(noise, t1.frame, Path("noise.nii.gz")), None, atlas, tmp_path / "transform", method="affine")


def test_a_brain_that_is_cut_off_is_doubted(atlas, patient, tmp_path):
    t1, _ = patient
    slices = np.flatnonzero(t1.data.any(axis=(0, 1)))
    cut = np.array(t1.data)
    cut[:, :, slices[-1] - int(0.4 * slices.size) :] = 0
    found = register(Image(cut, t1.frame, Path("cut.nii.gz")), None, atlas, tmp_path / "transform", method="affine")
    assert any("whole brain" in doubt or "not certain" in doubt for doubt in found.record.doubts)


def test_a_head_upside_down_is_refused(atlas, patient, tmp_path):
    t1, _ = patient
    image = Image(np.ascontiguousarray(t1.data[:, :, ::-1]), t1.frame, Path("upside_down.nii.gz"))
    with pytest.raises(InputError, match=r"oriented in another way.*reorient=RPI"):
        register(image, None, atlas, tmp_path / "transform", method="affine")


def test_a_wrong_header_is_named_and_the_right_one_taken(atlas, patient, tmp_path):
    """The axes of an LPS image called RAS: refused with the right codes, and right with them."""
    t1, _ = patient
    wrong = np.diag([2.5, 2.5, 2.5, 1.0])
    image = Image(t1.data, Frame(t1.frame.shape, wrong), Path("t1.nii.gz"))
    with pytest.raises(InputError, match=r"voxel axes run RAS, but the brain fits as LPS .*reorient=LPS"):
        register(image, None, atlas, tmp_path / "transform", method="affine")
    turned = Image(t1.data, image.frame.in_world(image.frame.turn_to("LPS")), Path("t1.nii.gz"))
    found = register(turned, None, atlas, tmp_path / "transform", method="affine")
    there = affine_matrix(found)
    expected = t1.frame.voxel(in_patient(LANDMARKS))
    voxels = turned.frame.voxel(LANDMARKS @ there[:3, :3].T + there[:3, 3])
    assert np.linalg.norm((voxels - expected) * 2.5, axis=1).max() < TOLERANCE_MM


def test_two_scans_of_a_patient_are_brought_together(atlas, patient):
    """The same head in another pose and with other contrast, its header knowing nothing of the first."""
    t1, _ = patient
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", [25, -10, 15], degrees=True).as_matrix()
    turn[:3, 3] = (30, -20, 45)
    data = np.where(t1.data > 0, np.sqrt(t1.data), 0).astype(np.float32)
    other = Image(data, t1.frame.in_world(turn), Path("flair.nii.gz"))
    found = align(t1, other, atlas)
    points = in_patient(LANDMARKS)
    expected = points @ turn[:3, :3].T + turn[:3, 3]
    assert np.linalg.norm(points @ found[:3, :3].T + found[:3, 3] - expected, axis=1).max() < TOLERANCE_MM


def test_another_atlas_is_refused(registered, small_atlas):
    with pytest.raises(InputError, match="coarse") as caught:
        load_transform(registered[1], small_atlas)
    assert str(registered[1]) in str(caught.value)


@pytest.mark.parametrize("where", ["nothing", "empty", "a file"])
def test_a_place_without_transform_is_refused(atlas, kept, tmp_path, where):
    (tmp_path / "empty").mkdir()
    place = {"nothing": tmp_path / "no", "empty": tmp_path / "empty", "a file": kept / "transform.json"}[where]
    with pytest.raises(InputError) as caught:
        load_transform(place, atlas)
    assert str(place) in str(caught.value)


def test_a_missing_file_is_named(atlas, kept):
    (kept / "affine.mat").unlink()
    with pytest.raises(InputError, match=r"affine\.mat is missing"):
        load_transform(kept, atlas)


RECORDS = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "list": lambda _: "[]",
    "object": lambda _: "{}",
    "extra": lambda text: text.replace('"seed"', '"seeds"'),
    "atlas is text": lambda text: json.dumps(json.loads(text) | {"atlas": "coarse"}),
    "atlas without digest": lambda text: json.dumps(json.loads(text) | {"atlas": {"name": "coarse"}}),
    "unknown method": lambda text: json.dumps(json.loads(text) | {"method": "magic"}),
}


@pytest.mark.parametrize("damage", RECORDS)
def test_a_damaged_record_is_refused(atlas, kept, damage):
    path = kept / "transform.json"
    path.write_text(RECORDS[damage](path.read_text()))
    with pytest.raises(InputError) as caught:
        load_transform(kept, atlas)
    assert str(kept) in str(caught.value)


def test_a_damaged_transform_is_refused(atlas, kept, patient):
    path = kept / "affine.mat"
    path.write_bytes(path.read_bytes()[:40])
    image = spot(atlas.frame, LANDMARKS[0])
    with pytest.raises(InputError, match=r"affine\.mat"):
        load_transform(kept, atlas).to_patient(image, atlas.frame, patient[1].frame)


def refused(t1, frame, segmentation, atlas, folder):
    with pytest.raises(InputError) as caught:
        register(Image(t1, frame, Path("patient_t1.nii.gz")), segmentation, atlas, folder, method="affine")
    assert not folder.exists()
    assert "patient_t1.nii.gz" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("value", [0.0, 700.0])
def test_a_constant_image_is_refused(atlas, patient, tmp_path, value):
    t1 = np.full(patient[0].frame.shape, value, np.float32)
    assert "same value" in refused(t1, patient[0].frame, patient[1], atlas, tmp_path / "transform")


@pytest.mark.parametrize("shift", [(400, 0, 0), (0, 0, -130)])
def test_an_image_that_does_not_cover_the_tumour_is_refused(atlas, patient, tmp_path, shift):
    affine = patient[0].frame.affine.copy()
    affine[:3, 3] += shift
    frame = Frame(patient[0].frame.shape, affine)
    said = refused(patient[0].data, frame, patient[1], atlas, tmp_path / "transform")
    assert "of the tumour" in said


def test_a_sheared_image_is_refused(atlas, patient, tmp_path):
    affine = patient[0].frame.affine.copy()
    affine[0, 2] = 0.6
    frame = Frame(patient[0].frame.shape, affine)
    assert "shear" in refused(patient[0].data, frame, None, atlas, tmp_path / "transform")


def test_bright_vessels_do_not_refuse_a_contrast_enhanced_t1(atlas, patient, tmp_path):
    t1, _ = patient
    vessels = (t1.data > 0) & (np.random.default_rng(6).random(t1.data.shape) < 0.02)
    enhanced = Image(np.where(vessels, 20 * t1.data.max(), t1.data).astype(np.float32), t1.frame, Path("t1c.nii.gz"))
    found = register(enhanced, None, atlas, tmp_path / "transform", method="affine")
    assert landmark_errors(found, atlas, t1.frame).max() < 3 * TOLERANCE_MM
