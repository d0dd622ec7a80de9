"""The search over orientations, against a head whose place is known."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from gliodex.retrieval.imaging.pose import UPRIGHT_DEGREES, Pose, search_poses
from gliodex.store import Frame

from ..anatomy import LANDMARKS, affine_patient, coarse_atlas, in_patient

ROUGHLY_MM = 6.0


@pytest.fixture(scope="module")
def atlas(brain_store):
    return coarse_atlas(brain_store)


@pytest.fixture(scope="module")
def head(brain_store, right_tumour):
    """T1 under a known affine and its frame, and the tumour, which says nothing."""
    t1, frame, _, _ = affine_patient(brain_store, right_tumour)
    return t1, frame, t1 == 0


def where(pose, points=LANDMARKS):
    return points @ pose.patient_from_atlas[:3, :3].T + pose.patient_from_atlas[:3, 3]


def moved(frame, turn, shift=(0, 0, 0)):
    """The frame in a world that is turned about its origin and shifted."""
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = turn, shift
    return Frame(frame.shape, world @ frame.affine), world


@pytest.fixture(scope="module")
def found(head, atlas):
    t1, frame, _ = head
    return search_poses(t1, frame, atlas)


def test_a_head_is_found_where_it_lies(found):
    assert found.header_fits
    assert found.certain
    assert found.best is found.upright
    assert np.linalg.norm(where(found.best) - in_patient(LANDMARKS), axis=1).max() < ROUGHLY_MM
    assert found.upright.similarity > 0.9
    assert found.upright.similarity > found.other.similarity + 0.05
    assert found.other.tilt_degrees > UPRIGHT_DEGREES > found.upright.tilt_degrees


@pytest.mark.parametrize(("axis", "degrees"), [(0, -38), (1, 33), (2, 38)])
def test_a_tilted_head_with_a_right_header_is_found_as_well(head, atlas, found, axis, degrees):
    t1, frame, _ = head
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * np.eye(3)[axis]).as_matrix()
    turned, world = moved(frame, turn, (50, -60, 35))
    tilted = search_poses(t1, turned, atlas)
    assert tilted.header_fits
    expected = where(found.best) @ world[:3, :3].T + world[:3, 3]
    assert np.linalg.norm(where(tilted.best) - expected, axis=1).max() < 2.0


@pytest.mark.parametrize("number", [1, 9, *(pytest.param(n, marks=pytest.mark.slow) for n in (5, 14, 18, 22))])
def test_exchanged_axes_are_found_out_and_the_right_ones_named(head, atlas, number):
    t1, frame, _ = head
    exchanged, _ = moved(frame, Rotation.create_group("O")[number].as_matrix())
    poses = search_poses(t1, exchanged, atlas)
    assert not poses.header_fits
    assert poses.fitting_axes(exchanged)[0] == frame.axis_codes == "LPS"


@pytest.mark.parametrize("axis", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_of_a_mirrored_axis_the_right_one_and_its_mirror_image_are_named(head, atlas, axis):
    t1, frame, _ = head
    flipped, _ = moved(frame, np.diag(1 - 2 * np.eye(3)[axis]))
    poses = search_poses(t1, flipped, atlas)
    assert not poses.header_fits
    assert set(poses.fitting_axes(flipped)) == {"LPS", "RPS"}


def test_half_a_head_is_not_held_against_its_header(head, atlas):
    t1, frame, _ = head
    half = t1.copy()
    half[: t1.shape[0] // 2] = 0
    poses = search_poses(half, frame, atlas)
    assert poses.header_fits
    assert not poses.certain


def test_what_is_ignored_does_not_move_the_head(head, atlas, found):
    t1, frame, _ = head
    blot = ndimage.binary_dilation(t1 > np.quantile(t1, 0.9995), iterations=4)
    spoilt = search_poses(np.where(blot, 5 * t1.max(), t1).astype(np.float32), frame, atlas, blot)
    assert np.linalg.norm(where(spoilt.best) - where(found.best), axis=1).max() < 3.0


@pytest.mark.parametrize("image", [np.zeros((20, 20, 20)), np.ones((20, 20, 20)), np.eye(20)[:, :, None] * np.ones(20)])
def test_an_image_that_is_no_head_ends_the_search_all_the_same(atlas, image):
    frame = Frame(image.shape, np.diag([8.0, 8, 8, 1]))
    poses = search_poses(image.astype(np.float32), frame, atlas)
    assert np.isfinite(poses.best.similarity)
    assert poses.header_fits
    assert poses.best.similarity < 0.8


@pytest.mark.parametrize("degrees", [0, 30, 44])
def test_the_nearest_exchange_of_axes_is_that_of_a_head_tilted_from_it(degrees):
    tilt = Rotation.from_euler("x", 13, degrees=True) * Rotation.from_rotvec([0, 0, np.deg2rad(degrees)])
    for exchange in Rotation.create_group("O"):
        matrix = np.eye(4)
        matrix[:3, :3] = (exchange * Rotation.from_euler("x", 13, degrees=True)).as_matrix() * [0.9, 0.95, 0.85]
        np.testing.assert_array_equal(Pose(matrix, 1.0).turned, np.rint(exchange.as_matrix()))
    assert Pose(np.block([[tilt.as_matrix(), np.zeros((3, 1))], [np.zeros(3), 1]]), 1.0).tilt_degrees == pytest.approx(
        degrees, abs=1e-6
    )
