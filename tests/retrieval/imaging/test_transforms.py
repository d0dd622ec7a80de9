import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gliodex.retrieval import AffineMap, mask_to_atlas
from gliodex.store import Frame

from ..anatomy import LPS_AXES, OBLIQUE_AXES, around, centre_of_mass, points_of, sampled

IDENTITY = AffineMap(np.eye(4), {"kind": "identity"})
ATLAS = Frame.centred((5.0, -10.0, 3.0), size=40, spacing=2.0)

PATIENT_FROM_ATLAS = np.eye(4)
PATIENT_FROM_ATLAS[:3, :3] = Rotation.from_euler("zyx", [12, -7, 20], degrees=True).as_matrix() @ np.diag(
    [0.9, 1.1, 0.95]
)
PATIENT_FROM_ATLAS[:3, 3] = (40.0, -25.0, 60.0)


def ball(frame, centre, radius):
    return np.linalg.norm(points_of(frame.shape, frame.affine) - centre, axis=-1) <= radius


def moved(matrix, points):
    return points @ matrix[:3, :3].T + matrix[:3, 3]


@pytest.mark.parametrize("kind", ["ball", "random", "one voxel", "thin sheet"])
def test_a_mask_on_the_atlas_grid_stays_as_it_is(kind):
    mask = np.zeros(ATLAS.shape, bool)
    if kind == "ball":
        mask = ball(ATLAS, (5, -10, 3), 17)
    elif kind == "random":
        mask[8:30, 8:30, 8:30] = np.random.default_rng(0).random((22, 22, 22)) < 0.5
    elif kind == "one voxel":
        mask[20, 12, 31] = True
    else:
        mask[10:30, 20, 8:28] = True
    found = mask_to_atlas(IDENTITY, mask, ATLAS, ATLAS)
    lost, gained = int((mask & ~found).sum()), int((found & ~mask).sum())
    assert (lost, gained) == (0, 0), f"of {mask.sum()} voxels {lost} were lost and {gained} added"


def test_a_mask_on_the_atlas_grid_that_touches_its_edge_stays_as_it_is():
    mask = np.zeros(ATLAS.shape, bool)
    mask[:10, 30:, 5:20] = True
    found = mask_to_atlas(IDENTITY, mask, ATLAS, ATLAS)
    lost, gained = int((mask & ~found).sum()), int((found & ~mask).sum())
    assert (lost, gained) == (0, 0), f"of {mask.sum()} voxels {lost} were lost and {gained} added"


def test_a_tumour_cut_by_the_edge_of_thick_slices_keeps_its_volume():
    patient = around((5, -10, 3), LPS_AXES, (1.0, 1.0, 6.0), (50, 50, 48))
    mask = np.zeros(patient.shape, bool)
    mask[10:40, 10:40, :3] = True
    found = mask_to_atlas(IDENTITY, mask, patient, ATLAS)
    assert found.sum() * ATLAS.voxel_ml == pytest.approx(mask.sum() * patient.voxel_ml, rel=0.06)


GRIDS = {
    "RAS 1 mm": (np.eye(3), (1.0, 1.0, 1.0)),
    "LPS 1 mm": (LPS_AXES, (1.0, 1.0, 1.0)),
    "PIR 1.3 mm": (np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), (1.3, 1.3, 1.3)),
    "oblique 1.1 mm": (OBLIQUE_AXES, (1.1, 1.1, 1.1)),
    "thick slices": (LPS_AXES, (0.9, 0.9, 5.0)),
    "coarse": (np.eye(3), (3.0, 3.0, 3.0)),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("radius", [8.0, 16.0])
def test_a_mask_keeps_its_volume_and_place(grid, radius):
    axes, spacing = GRIDS[grid]
    centre = np.array([8.3, -13.1, 1.7])
    patient = around(centre + 4, axes, spacing, (60, 60, 60))
    mask = ball(patient, centre, radius)
    found = mask_to_atlas(IDENTITY, mask, patient, ATLAS)
    assert found.dtype == bool
    assert found.shape == ATLAS.shape
    assert found.sum() * ATLAS.voxel_ml == pytest.approx(mask.sum() * patient.voxel_ml, rel=0.06)
    before, after = centre_of_mass(mask, patient.affine), centre_of_mass(found, ATLAS.affine)
    assert np.linalg.norm(before - after) < 0.3


def test_a_scaled_map_scales_the_volume():
    spatial = AffineMap(PATIENT_FROM_ATLAS, {})
    centre = moved(PATIENT_FROM_ATLAS, np.array([5.0, -10.0, 3.0]))
    patient = around(centre, LPS_AXES, (1, 1, 1), (70, 70, 70))
    mask = ball(patient, centre, 15.0)
    found = mask_to_atlas(spatial, mask, patient, ATLAS)
    expected = mask.sum() * patient.voxel_ml / np.linalg.det(PATIENT_FROM_ATLAS[:3, :3])
    assert found.sum() * ATLAS.voxel_ml == pytest.approx(expected, rel=0.03)


def test_a_small_mask_survives():
    patient = around((5, -10, 3), LPS_AXES, (1, 1, 1), (20, 20, 20))
    mask = ball(patient, (5.0, -10.0, 3.0), 2.5)
    found = mask_to_atlas(IDENTITY, mask, patient, ATLAS)
    assert found.sum() * ATLAS.voxel_ml == pytest.approx(mask.sum() * patient.voxel_ml, rel=0.35)


def test_a_mask_outside_the_atlas_is_empty():
    patient = around((500, 0, 0), np.eye(3), (2, 2, 2), (20, 20, 20))
    assert not mask_to_atlas(IDENTITY, np.ones(patient.shape, bool), patient, ATLAS).any()


def test_points_go_through_a_known_affine_and_back():
    spatial = AffineMap(PATIENT_FROM_ATLAS, {})
    patient = around(moved(PATIENT_FROM_ATLAS, np.array([5.0, -10.0, 3.0])), LPS_AXES, (1.5, 1.5, 1.5), (90, 90, 90))
    for point in np.array([[20.0, -10, 3], [5, 9, 3], [-12, -20, 14], [15, 0, -12]]):
        spot = np.exp(-np.sum((points_of(ATLAS.shape, ATLAS.affine) - point) ** 2, axis=-1) / (2 * 4.0**2))
        there = spatial.to_patient(spot.astype(np.float32), ATLAS, patient)
        np.testing.assert_allclose(centre_of_mass(there, patient.affine), moved(PATIENT_FROM_ATLAS, point), atol=0.2)
        back = spatial.to_atlas(there, patient, ATLAS)
        np.testing.assert_allclose(centre_of_mass(back, ATLAS.affine), point, atol=0.2)


def test_an_affine_map_equals_interpolation_at_the_mapped_points():
    spatial = AffineMap(PATIENT_FROM_ATLAS, {})
    patient = around(moved(PATIENT_FROM_ATLAS, np.array([5.0, -10.0, 3.0])), OBLIQUE_AXES, (2, 3, 2.5), (50, 60, 50))
    data = np.zeros(ATLAS.shape, np.float32)
    data[4:-4, 4:-4, 4:-4] = np.random.default_rng(1).random((32, 32, 32), np.float32)
    points = moved(np.linalg.inv(PATIENT_FROM_ATLAS), points_of(patient.shape, patient.affine))
    np.testing.assert_allclose(spatial.to_patient(data, ATLAS, patient), sampled(data, ATLAS.affine, points), atol=2e-5)


def test_the_record_says_how_it_was_made():
    said = AffineMap(PATIENT_FROM_ATLAS, {"kind": "affine", "made_by": "hand"}).describe()
    assert said["kind"] == "affine"
    assert said["made_by"] == "hand"
    np.testing.assert_array_equal(said["patient_from_atlas_mm"], PATIENT_FROM_ATLAS)
