import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gliodex.retrieval import AffineMap
from gliodex.retrieval.refinement.anatomy import patient_anatomy, points_to_patient
from gliodex.store import Frame

from ..anatomy import GRID_NAMES, around, grids_around, points_of, sampled

LINEAR = Rotation.from_euler("xyz", [8, -5, 12], degrees=True).as_matrix() * 0.93
MIDDLE = np.array([3.0, -17.0, 9.0])
MATRIX = np.eye(4)
MATRIX[:3, :3], MATRIX[:3, 3] = LINEAR, (12.0, 4.0, -7.0)
THERE = AffineMap(MATRIX, {})


def test_the_atlas_itself_is_only_cut(small_atlas):
    found = patient_anatomy(small_atlas, AffineMap(np.eye(4), {}), small_atlas.frame)
    low = np.rint(small_atlas.frame.voxel(found.frame.affine[:3, 3])).astype(int)
    np.testing.assert_allclose(found.frame.affine[:3, 3], small_atlas.frame.world(low), atol=1e-9)
    box = tuple(slice(a, a + n) for a, n in zip(low, found.frame.shape, strict=True))
    for name in ("white", "grey", "csf"):
        whole = getattr(small_atlas, name)
        np.testing.assert_allclose(getattr(found, name), whole[box], atol=1e-6)
        assert whole.sum() == pytest.approx(whole[box].sum())


@pytest.mark.parametrize("name", GRID_NAMES)
def test_tissue_lies_where_the_map_says_on_cubes_along_the_patients_axes(small_atlas, name):
    grid = grids_around(small_atlas.frame, MATRIX[:3, :3] @ MIDDLE + MATRIX[:3, 3])[name]
    found = patient_anatomy(small_atlas, THERE, grid)
    assert found.frame.spacing == pytest.approx((4.0, 4.0, 4.0))
    axes = found.frame.affine[:3, :3] / 4.0
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(axes, grid.affine[:3, :3] / np.asarray(grid.spacing), atol=1e-9)
    back = (points_of(found.frame.shape, found.frame.affine) - MATRIX[:3, 3]) @ np.linalg.inv(LINEAR).T
    for values, expected in ((found.white, small_atlas.white), (found.csf, small_atlas.csf)):
        np.testing.assert_allclose(values, sampled(expected, small_atlas.frame.affine, back), atol=1e-4)


def test_a_brain_that_reaches_beyond_the_segmentation_is_there_too(small_atlas):
    middle = MATRIX[:3, :3] @ MIDDLE + MATRIX[:3, 3]
    small = around(middle, np.eye(3), (1.0, 1.0, 1.0), (90, 90, 90))
    found = patient_anatomy(small_atlas, THERE, small)
    assert (np.array(found.frame.shape) * 4 >= 90 + 2 * 20).any()
    assert found.tissue.sum() > 0


def test_points_go_where_the_map_says(small_atlas):
    points = np.array([[3.0, -17, 9], [20.0, -30, 0], [-25.0, 5, 20]])
    frame = patient_anatomy(small_atlas, THERE, Frame.centred(MATRIX[:3, :3] @ MIDDLE + MATRIX[:3, 3], 128, 2.0)).frame
    found = points_to_patient(points, small_atlas.frame, THERE, frame)
    expected = points @ LINEAR.T + MATRIX[:3, 3]
    assert np.abs(found - expected).max() <= 2.0 * 1.01
