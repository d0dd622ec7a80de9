import itertools
import json

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from gliodex.errors import InputError
from gliodex.store import Frame

SETTINGS = settings(max_examples=40, deadline=None)


@st.composite
def frames(draw, max_angle=180.0):
    """Rotated, permuted, flipped and anisotropic grids, as scanners write them."""
    order = draw(st.permutations([0, 1, 2]))
    signs = draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=3, max_size=3))
    spacing = draw(st.lists(st.floats(0.4, 4.0), min_size=3, max_size=3))
    axis = np.array(draw(st.lists(st.integers(-5, 5), min_size=3, max_size=3).filter(any)), float)
    angle = np.deg2rad(draw(st.floats(-max_angle, max_angle)))
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.eye(3)[:, order] @ np.diag(np.array(signs) * spacing)
    affine[:3, 3] = draw(st.lists(st.floats(-200, 200), min_size=3, max_size=3))
    return Frame(tuple(draw(st.lists(st.integers(2, 9), min_size=3, max_size=3))), affine)


points = st.lists(st.floats(-300, 300), min_size=3, max_size=3)


def values_on(frame):
    return np.random.default_rng(0).random(frame.shape, np.float32) + np.float32(0.5)


@given(frames(), points)
@SETTINGS
def test_world_and_voxel_are_inverse(frame, point):
    np.testing.assert_allclose(frame.world(frame.voxel(point)), point, atol=1e-8)
    np.testing.assert_allclose(frame.voxel(frame.world(point)), point, atol=1e-8)


@given(frames())
@SETTINGS
def test_world_is_the_affine_applied_to_each_voxel(frame):
    voxels = np.array(list(np.ndindex(*frame.shape)))
    expected = [(frame.affine @ [*voxel, 1])[:3] for voxel in voxels]
    np.testing.assert_allclose(frame.world(voxels), expected, atol=1e-9)


def test_world_keeps_leading_dimensions():
    frame = Frame.centred((0, 0, 0), 4)
    assert frame.world(np.zeros((2, 5, 3))).shape == (2, 5, 3)
    assert frame.voxel(np.zeros(3)).shape == (3,)


@given(frames(), points)
@SETTINGS
def test_fractions_of_the_longest_edge_are_inverse_to_world(frame, point):
    np.testing.assert_allclose(frame.from_fraction(frame.to_fraction(point)), point, atol=1e-8)


def test_fraction_zero_is_the_outer_corner_and_one_the_longest_edge_away():
    frame = Frame((8, 4, 4), np.diag([2.0, 2.0, 2.0, 1.0]))
    np.testing.assert_allclose(frame.from_fraction([0, 0, 0]), [-1, -1, -1])
    np.testing.assert_allclose(frame.from_fraction([1, 0.5, 0.25]), [15, 7, 3])


@given(frames(), st.lists(st.floats(0, 0.999), min_size=3, max_size=3))
@SETTINGS
def test_fraction_falls_into_the_voxel_that_gliomasolver_takes(frame, fraction):
    voxel = frame.voxel(frame.from_fraction(fraction))
    scaled = np.array(fraction) * max(frame.shape)
    clear = np.abs(scaled - np.round(scaled)) > 1e-6
    np.testing.assert_array_equal(np.round(voxel)[clear], np.floor(scaled)[clear])


def test_centred_frame_has_its_middle_at_the_centre():
    frame = Frame.centred((1.5, -17, 12), size=6, spacing=2.0)
    corners = frame.world([[-0.5] * 3, [5.5] * 3])
    np.testing.assert_allclose(corners.mean(axis=0), [1.5, -17, 12])
    np.testing.assert_allclose(corners[1] - corners[0], [12, 12, 12])
    assert frame.axis_codes == "RAS"


@given(frames())
@SETTINGS
def test_spacing_and_voxel_volume_follow_the_affine(frame):
    steps = [np.linalg.norm(frame.world(np.eye(3)[a]) - frame.world(np.zeros(3))) for a in range(3)]
    np.testing.assert_allclose(frame.spacing, steps)
    assert frame.voxel_ml == pytest.approx(np.prod(steps) / 1000)


@given(frames(max_angle=25))
@SETTINGS
def test_axis_codes_agree_with_nibabel(frame):
    assert frame.axis_codes == "".join(nib.aff2axcodes(frame.affine))


@given(frames())
@SETTINGS
def test_axis_codes_name_each_world_axis_once(frame):
    pairs = str.maketrans("LPI", "RAS")
    assert sorted(frame.axis_codes.translate(pairs)) == ["A", "R", "S"]


@given(frames())
@SETTINGS
def test_a_rotated_anisotropic_grid_does_not_shear(frame):
    assert not frame.shears


def test_a_sheared_grid_shears():
    affine = np.eye(4)
    affine[0, 1] = 0.05
    assert Frame((4, 4, 4), affine).shears


@given(frames())
@SETTINGS
def test_resampling_to_the_same_frame_changes_nothing(frame):
    data = values_on(frame)
    np.testing.assert_allclose(frame.resample(data, frame), data, atol=1e-4)


@given(frames())
@SETTINGS
def test_nearest_resampling_to_the_same_frame_changes_nothing(frame):
    data = np.random.default_rng(1).integers(1, 5, frame.shape).astype(np.uint8)
    np.testing.assert_array_equal(frame.resample(data, frame, order=0), data)


@given(frames(), frames())
@SETTINGS
def test_resampling_a_linear_function_gives_its_values_inside_and_zero_outside(target, source):
    def linear(world):
        return world @ [0.03, -0.02, 0.05] + 2.0

    grid = np.moveaxis(np.indices(source.shape), 0, -1)
    data = linear(source.world(grid)).astype(np.float32)
    centred = target.affine.copy()
    middle = source.world((np.array(source.shape) - 1) / 2)
    centred[:3, 3] = middle - centred[:3, :3] @ ((np.array(target.shape) - 1) / 2)
    target = Frame(target.shape, centred)
    out = target.resample(data, source)

    world = target.world(np.moveaxis(np.indices(target.shape), 0, -1))
    place = source.voxel(world)
    last = np.array(source.shape) - 1
    inside = ((place > 1e-6) & (place < last - 1e-6)).all(axis=-1)
    outside = ((place < -1 - 1e-6) | (place > last + 1 + 1e-6)).any(axis=-1)
    np.testing.assert_allclose(out[inside], linear(world[inside]), atol=1e-3)
    assert not out[outside].any()


def test_resampling_through_a_world_map_moves_the_image():
    frame = Frame.centred((0, 0, 0), 8, 2.0)
    data = np.zeros(frame.shape, np.float32)
    data[5, 3, 2] = 1
    step = np.eye(4)
    step[:3, 3] = 4, 0, -2
    out = frame.resample(data, frame, world_map=step)
    assert np.argwhere(out > 0.5).tolist() == [[3, 3, 3]]


def test_voxel_map_goes_through_world_space():
    source = Frame((5, 5, 5), np.diag([-1.0, 2.0, 3.0, 1.0]))
    target = Frame.centred((1, 2, 3), 4, 1.5)
    world_map = np.eye(4)
    world_map[:3, 3] = 7, -3, 2
    matrix = target.voxel_map_from(source, world_map)
    voxel = np.array([1.0, 2.0, 3.0])
    expected = source.voxel(target.world(voxel) + np.array([7, -3, 2]))
    np.testing.assert_allclose((matrix @ [*voxel, 1])[:3], expected)


def test_oversampling_to_a_coarser_grid_averages_the_fine_voxels():
    coarse = Frame.centred((0, 0, 0), 4, 2.0)
    fine = coarse.refined(2)
    data = values_on(fine)
    blocks = data.reshape(4, 2, 4, 2, 4, 2).mean(axis=(1, 3, 5))
    np.testing.assert_allclose(coarse.resample(data, fine, oversample=2), blocks, rtol=1e-5)


def test_a_refined_frame_sees_the_outermost_voxels_of_a_constant_image():
    frame = Frame.centred((0, 0, 0), 6, 2.0)
    out = frame.refined(2).resample(np.ones(frame.shape, np.float32), frame)
    assert (out > 0).all()


def test_resampling_an_array_of_another_shape_is_refused():
    frame = Frame.centred((0, 0, 0), 4)
    with pytest.raises(InputError, match=r"\(3, 4, 4\)"):
        frame.resample(np.zeros((3, 4, 4)), frame)


@given(frames(), st.integers(1, 4))
@SETTINGS
def test_refined_voxels_fill_the_voxel_they_came_from(frame, factor):
    fine = frame.refined(factor)
    assert fine.shape == tuple(n * factor for n in frame.shape)
    assert fine.voxel_ml * factor**3 == pytest.approx(frame.voxel_ml)
    voxel = np.array(frame.shape) - 1
    parts = fine.world(voxel * factor + np.array(list(np.ndindex(factor, factor, factor))))
    np.testing.assert_allclose(parts.mean(axis=0), frame.world(voxel), atol=1e-8)
    np.testing.assert_allclose(fine.world([-0.5] * 3), frame.world([-0.5] * 3), atol=1e-8)


@given(frames(), st.data())
@SETTINGS
def test_cropped_voxels_stay_where_they_were(frame, data):
    low = [data.draw(st.integers(0, n - 1)) for n in frame.shape]
    high = [data.draw(st.integers(a + 1, n)) for a, n in zip(low, frame.shape, strict=True)]
    cropped = frame.crop(low, high)
    assert cropped.shape == tuple(np.subtract(high, low))
    corner = np.array(cropped.shape) - 1
    np.testing.assert_allclose(cropped.world(corner), frame.world(corner + low), atol=1e-8)


def test_an_empty_crop_is_refused():
    with pytest.raises(InputError):
        Frame.centred((0, 0, 0), 4).crop([2, 0, 0], [2, 4, 4])


@given(frames())
@SETTINGS
def test_same_as_tolerates_rounding_and_nothing_more(frame):
    def moved(millimetres):
        affine = frame.affine.copy()
        affine[1, 3] += millimetres
        return Frame(frame.shape, affine)

    assert frame.same_as(moved(5e-4))
    assert not frame.same_as(moved(2e-3))
    assert frame.same_as(moved(2e-3), tolerance_mm=0.01)


def test_same_as_sees_another_shape_and_a_small_rotation():
    frame = Frame.centred((0, 0, 0), 100, 2.0)
    assert not frame.same_as(Frame((100, 100, 99), frame.affine))
    turned = frame.affine.copy()
    turned[:3, :3] = Rotation.from_euler("z", 1e-3, degrees=True).as_matrix() * 2.0
    assert not frame.same_as(Frame(frame.shape, turned))


@given(frames())
@SETTINGS
def test_a_record_survives_json_to_the_last_bit(frame):
    again = Frame.from_record(json.loads(json.dumps(frame.as_record())))
    assert again.shape == frame.shape
    np.testing.assert_array_equal(again.affine, frame.affine)


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((4, 4), np.eye(4)),
        ((4, 4, 0), np.eye(4)),
        ((4, 4, 4), np.eye(3)),
        ((4, 4, 4), np.diag([1.0, 1.0, 0.0, 1.0])),
        ((4, 4, 4), np.diag([1.0, np.nan, 1.0, 1.0])),
        ((4, 4, 4), np.diag([1.0, np.inf, 1.0, 1.0])),
    ],
)
def test_a_grid_that_is_no_grid_is_refused(shape, affine):
    with pytest.raises(InputError, match="a frame needs"):
        Frame(shape, affine)


def test_a_frame_cannot_be_changed_through_its_affine():
    source = np.eye(4)
    frame = Frame((2, 2, 2), source)
    source[0, 3] = 5
    assert frame.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        frame.affine[0, 3] = 1


CODES = ["".join(codes) for axes in itertools.permutations(("RL", "AP", "SI")) for codes in itertools.product(*axes)]


@pytest.mark.parametrize("codes", CODES)
def test_a_turn_makes_the_axes_run_as_they_are_said_to(codes):
    frame = Frame((10, 20, 30), np.array([[0, -2, 0.1, 5], [3, 0, 0.2, -7], [0.1, 0.1, 1, 9], [0, 0, 0, 1]]))
    turn = frame.turn_to(codes)
    turned = frame.in_world(turn)
    assert "".join(nib.aff2axcodes(turned.affine)) == codes
    np.testing.assert_allclose(turned.spacing, frame.spacing)
    np.testing.assert_allclose(turn[:3, :3] @ turn[:3, :3].T, np.eye(3), atol=1e-12)
    middle = (np.array(frame.shape) - 1) / 2
    np.testing.assert_allclose(turned.world(middle), frame.world(middle), atol=1e-9)


@pytest.mark.parametrize("codes", ["", "RA", "RASL", "RRS", "XYZ", "RLS", "R S"])
def test_a_turn_to_no_orientation_is_refused(codes):
    with pytest.raises(InputError, match="three letters"):
        Frame((4, 4, 4), np.eye(4)).turn_to(codes)


@given(frames(), frames(), st.integers(0, 2**32 - 1))
@SETTINGS
def test_a_small_thing_is_resampled_as_the_whole_image_is(target, source, seed):
    rng = np.random.default_rng(seed)
    data = np.zeros(source.shape, np.float32)
    low = [int(rng.integers(n)) for n in source.shape]
    high = [int(rng.integers(a, n)) + 1 for a, n in zip(low, source.shape, strict=True)]
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    data[box] = rng.random(data[box].shape)
    matrix = np.linalg.inv(source.affine) @ target.affine
    whole = ndimage.affine_transform(
        data, matrix[:3, :3], matrix[:3, 3], target.shape, np.float32, order=1, mode="grid-constant"
    )
    np.testing.assert_allclose(target.resample(data, source), whole, atol=1e-6)
    np.testing.assert_array_equal(target.resample(np.zeros_like(data), source), 0)
