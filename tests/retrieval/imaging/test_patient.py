"""A patient from the files to the place in the atlas."""

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gliodex.errors import InputError
from gliodex.retrieval.imaging.patient import Patient
from gliodex.retrieval.imaging.transforms import mask_to_atlas
from gliodex.store import Frame

from ..anatomy import centre_of_mass, coarse_atlas, write_nifti

TOLERANCE_MM = 2.5
AFFINE = {"registration": "affine", "strip": "off"}


@pytest.fixture(scope="module")
def atlas(brain_store):
    return coarse_atlas(brain_store)


@pytest.fixture(scope="module")
def on_one_grid(patient_files, tmp_path_factory):
    """T1 and segmentation of the patient on the T1's grid, as arrays, and the grid's affine."""
    t1, seg = (nib.load(path) for path in patient_files)
    frame = Frame(t1.shape, t1.affine)
    labels = frame.resample(np.asarray(seg.dataobj), Frame(seg.shape, seg.affine), order=0)
    return np.asarray(t1.dataobj), labels.astype(np.uint8), t1.affine


def files(folder, t1, labels, affine, labels_affine=None):
    folder.mkdir(parents=True, exist_ok=True)
    seg = write_nifti(folder / "seg.nii.gz", labels, affine if labels_affine is None else labels_affine)
    return {"t1": write_nifti(folder / "t1.nii.gz", t1, affine), "seg": seg}


def write_nifti_sheared(path, data, affine):
    """Write an image with an sform alone: a qform cannot shear."""
    image = nib.Nifti1Image(data, affine)
    image.set_qform(None, 0)
    nib.save(image, path)
    return path


def place_of(patient, atlas):
    """Middle of the whole tumour in the atlas, mm."""
    frame = patient.segmentation.frame
    return centre_of_mass(
        mask_to_atlas(patient.spatial, patient.segmentation.whole, frame, atlas.frame), atlas.frame.affine
    )


@pytest.fixture(scope="module")
def placed(on_one_grid, atlas, tmp_path_factory):
    folder = tmp_path_factory.mktemp("placed")
    patient = Patient.from_files(**files(folder, *on_one_grid)).register(atlas, folder / "transform", **AFFINE)
    return patient, folder / "transform"


def test_a_registered_tumour_is_where_it_was_grown(placed, atlas, brain_store, right_tumour):
    grown = brain_store.density(right_tumour) >= 0.2
    expected = centre_of_mass(grown, brain_store.frame.affine)
    assert np.linalg.norm(place_of(placed[0], atlas) - expected) < TOLERANCE_MM
    assert placed[0].warnings == placed[0].segmentation.warnings


def test_a_patient_who_is_not_placed_has_no_place(on_one_grid, tmp_path):
    patient = Patient.from_files(**files(tmp_path, *on_one_grid))
    with pytest.raises(InputError, match="not placed in an atlas yet"):
        _ = patient.spatial


def test_a_segmentation_alone_cannot_be_registered(on_one_grid, atlas, tmp_path):
    patient = Patient.from_files(seg=files(tmp_path, *on_one_grid)["seg"])
    with pytest.raises(InputError, match="no image to register"):
        patient.register(atlas, tmp_path / "transform")


def test_headers_that_lie_are_mended_as_they_are_told_and_files_written_as_they_were(
    placed, on_one_grid, atlas, tmp_path
):
    t1, labels, _ = on_one_grid
    wrong = np.diag([2.5, 2.5, 2.5, 1.0])
    given = files(tmp_path, t1, labels, wrong)
    with pytest.raises(InputError, match="reorient=LPS"):
        Patient.from_files(**given).register(atlas, tmp_path / "transform", **AFFINE)
    patient = Patient.from_files(**given, reorient="lps").register(atlas, tmp_path / "transform", **AFFINE)
    assert np.linalg.norm(place_of(patient, atlas) - place_of(placed[0], atlas)) < TOLERANCE_MM
    np.testing.assert_allclose(patient.as_filed(patient.segmentation.frame).affine, wrong, atol=1e-9)
    assert patient.segmentation.frame.axis_codes == "LPS"


def test_a_segmentation_drawn_on_another_scan_is_brought_together_with_the_t1(placed, on_one_grid, atlas, tmp_path):
    """The other scan lies 90 mm and 30 degrees away, by its header, with other contrast."""
    t1, labels, affine = on_one_grid
    world = np.eye(4)
    world[:3, :3] = Rotation.from_euler("xyz", [-20, 15, 20], degrees=True).as_matrix()
    world[:3, 3] = (60, -50, 40)
    given = files(tmp_path, t1, labels, affine, world @ affine)
    with pytest.raises(InputError, match="name that with seg_on"):
        Patient.from_files(**given).register(atlas, tmp_path / "transform", **AFFINE)
    scan = write_nifti(tmp_path / "flair.nii.gz", np.sqrt(np.maximum(t1, 0)), world @ affine)
    patient = Patient.from_files(**given, seg_on=scan).register(atlas, tmp_path / "transform", **AFFINE)
    assert np.linalg.norm(place_of(patient, atlas) - place_of(placed[0], atlas)) < TOLERANCE_MM


def test_a_transform_of_another_tumour_is_doubted(placed, on_one_grid, atlas, tmp_path):
    t1, labels, affine = on_one_grid
    patient, folder = placed
    same = Patient.from_files(seg=files(tmp_path, t1, labels, affine)["seg"]).with_transform(folder, atlas)
    assert same.warnings == patient.segmentation.warnings
    mirrored = files(tmp_path / "other", t1, labels[::-1], affine)["seg"]
    (doubt,) = set(Patient.from_files(seg=mirrored).with_transform(folder, atlas).warnings) - set(same.warnings)
    assert "same patient" in doubt


def test_a_reorientation_needs_an_image(on_one_grid, tmp_path):
    with pytest.raises(InputError, match="t1"):
        Patient.from_files(seg=files(tmp_path, *on_one_grid)["seg"], reorient="LPS")


def test_a_t1c_of_another_place_does_not_say_what_labels_mean(on_one_grid, tmp_path):
    """Beside the segmentation it is refused; beside a second scan that the segmentation was drawn on it is left out."""
    t1, labels, affine = on_one_grid
    given = files(tmp_path, t1, labels, affine)
    moved = affine.copy()
    moved[:3, 3] += 300
    t1c = write_nifti(tmp_path / "t1c.nii.gz", t1, moved)
    with pytest.raises(InputError, match=r"t1c\.nii\.gz"):
        Patient.from_files(**given, t1c=t1c)
    apart = Patient.from_files(**given, t1c=t1c, seg_on=given["t1"])
    alone = Patient.from_files(**given, seg_on=given["t1"])
    assert apart.segmentation.understood == alone.segmentation.understood
    assert apart.image.path == given["t1"]


def test_sheared_scans_are_refused_before_any_work(on_one_grid, atlas, tmp_path):
    t1, labels, affine = on_one_grid
    sheared = affine.copy()
    sheared[0, 2] += 0.8
    scan = write_nifti_sheared(tmp_path / "flair.nii.gz", t1, sheared)
    patient = Patient.from_files(**files(tmp_path, t1, labels, affine), seg_on=scan)
    with pytest.raises(InputError, match=r"flair\.nii\.gz has a sheared affine"):
        patient.register(atlas, tmp_path / "transform", **AFFINE)
