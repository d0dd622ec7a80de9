import nibabel as nib
import numpy as np
import pytest

from gliodex.retrieval import from_labels
from gliodex.retrieval.synthetic_patient import BRATS_FRAME, make_patient
from gliodex.store import Frame
from gliodex.store.atlas import Atlas
from gliodex.store.nifti import load_image

from .anatomy import centre_of_mass, points_of, sampled

LARGEST_MM = 6.0


@pytest.fixture(scope="module")
def lopsided_atlas(small_atlas):
    """A brain whose T1 is brighter at the left, at the back, at the bottom: away from the tumour."""
    points = points_of(small_atlas.frame.shape, small_atlas.frame.affine)
    middle = small_atlas.frame.world((np.array(small_atlas.frame.shape) - 1) / 2)
    bright = 1 + 1.5 * (points < middle).all(axis=-1)
    return Atlas(
        "lopsided",
        small_atlas.frame,
        small_atlas.white,
        small_atlas.grey,
        small_atlas.csf,
        small_atlas.t1 * bright,
    )


@pytest.fixture(scope="module")
def patient(lopsided_atlas):
    return make_patient(lopsided_atlas, seed=3, largest_mm=LARGEST_MM)


def test_the_grid_is_that_of_brats(patient):
    assert patient.frame.shape == (240, 240, 155)
    assert patient.frame.axis_codes == "LPS"
    assert patient.frame.spacing == (1, 1, 1)
    for array in (patient.t1, patient.labels, patient.density, patient.brain):
        assert array.shape == patient.frame.shape


def test_labels_agree_with_the_density(patient):
    u = patient.density
    np.testing.assert_array_equal(patient.labels > 0, u >= np.float32(0.2))
    np.testing.assert_array_equal(np.isin(patient.labels, (1, 4)), u >= np.float32(0.6))
    np.testing.assert_array_equal(patient.labels == 1, u >= np.float32(0.9))
    assert set(np.unique(patient.labels)) == {0, 1, 2, 4}


def test_the_density_is_a_tumour_of_ordinary_size_in_the_brain(patient):
    u = patient.density
    assert u.min() >= 0
    assert u.max() <= 1
    assert 25 < (u >= 0.2).sum() / 1000 < 130
    assert 6 < (u >= 0.6).sum() / 1000 < 65
    assert u[~patient.brain].max() < 0.6
    assert u[~patient.brain].sum() < 0.05 * u.sum()


def test_the_seed_lies_in_the_tumour(patient):
    seed = np.array(patient.parameters.seed_mm)
    assert sampled(patient.density, patient.frame.affine, seed[None])[0] > 0.5
    distance = np.linalg.norm(centre_of_mass(patient.density, patient.frame.affine) - seed)
    assert distance < 25


def test_the_anatomy_moves_but_not_too_far(patient):
    mean, largest = patient.displacement_mm
    assert 0 < mean < largest <= LARGEST_MM


@pytest.fixture
def coarse_grid(monkeypatch):
    """Patients on 3 mm voxels, which take a second."""
    affine = BRATS_FRAME.affine.copy()
    affine[:3, :3] *= 3
    monkeypatch.setattr("gliodex.retrieval.synthetic_patient.BRATS_FRAME", Frame((80, 80, 52), affine))


@pytest.mark.usefixtures("coarse_grid")
def test_another_seed_that_may_not_move_has_another_tumour_in_the_atlass_anatomy(patient, lopsided_atlas):
    still = make_patient(lopsided_atlas, seed=2, largest_mm=0.0)
    assert still.displacement_mm == (0.0, 0.0)
    assert still.parameters != patient.parameters
    points = points_of(still.frame.shape, still.frame.affine)
    maps = [
        sampled(m, lopsided_atlas.frame.affine, points)
        for m in (lopsided_atlas.white, lopsided_atlas.grey, lopsided_atlas.csf)
    ]
    assert (still.brain == (sum(maps) >= 0.5)).mean() > 0.999


def test_the_brain_is_as_large_as_the_atlass(patient, lopsided_atlas):
    volume = lopsided_atlas.brain.sum() * lopsided_atlas.frame.voxel_ml
    assert patient.brain.sum() / 1000 == pytest.approx(volume, rel=0.1)
    expected = centre_of_mass(lopsided_atlas.brain, lopsided_atlas.frame.affine)
    assert np.linalg.norm(centre_of_mass(patient.brain, patient.frame.affine) - expected) < LARGEST_MM


def test_left_is_left_in_the_scan(patient, lopsided_atlas):
    centre = centre_of_mass(lopsided_atlas.brain, lopsided_atlas.frame.affine)
    steps = np.array(np.meshgrid([-20.0, 20.0], [-20.0, 20.0], [-20.0, 20.0], indexing="ij")).reshape(3, -1).T
    levels = {}
    for step in steps:
        voxel = np.round(patient.frame.voxel(centre + step)).astype(int)
        box = tuple(slice(v - 5, v + 6) for v in voxel)
        if patient.density[box].max() < 0.02:
            levels[tuple(np.sign(step))] = patient.t1[box].mean()
    bright = levels.pop((-1, -1, -1))
    assert len(levels) >= 4
    assert all(bright > 1.3 * level for level in levels.values())


def test_the_tumour_is_dark_and_the_background_empty(patient):
    tissue = patient.brain & (patient.density < 0.01)
    assert 0 < patient.t1[patient.density > 0.8].mean() < patient.t1[tissue].mean()
    assert patient.t1.min() == 0
    assert (patient.t1[~patient.brain] > 0).mean() < 0.1


@pytest.mark.usefixtures("coarse_grid")
def test_a_seed_repeats_a_patient(patient, lopsided_atlas):
    one, two = (make_patient(lopsided_atlas, seed=3, largest_mm=LARGEST_MM) for _ in range(2))
    for name in ("t1", "labels", "density", "brain"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.parameters == two.parameters == patient.parameters
    assert one.displacement_mm == two.displacement_mm == patient.displacement_mm


def test_saved_files_can_be_queried(patient, tmp_path):
    paths = patient.save(tmp_path / "new" / "folder")
    assert {name: p.name for name, p in paths.items()} == {
        "t1": "t1.nii.gz",
        "seg": "seg.nii.gz",
        "truth": "truth.nii.gz",
    }
    assert nib.aff2axcodes(nib.load(paths["seg"]).affine) == ("L", "P", "S")
    found = from_labels(paths["seg"])
    assert found.frame.same_as(BRATS_FRAME)
    np.testing.assert_array_equal(found.whole, patient.density >= np.float32(0.2))
    np.testing.assert_array_equal(found.core, patient.density >= np.float32(0.6))
    np.testing.assert_array_equal(load_image(paths["t1"]).data, patient.t1)
    np.testing.assert_array_equal(load_image(paths["truth"]).data, patient.density)
