from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.image import imread

from gliodex.retrieval import Segmentation
from gliodex.retrieval.figure import _slice, draw, planes_of
from gliodex.store import Frame

from .anatomy import LPS_AXES, OBLIQUE_AXES, around, flipped_and_permuted

RAS = Frame((30, 36, 28), np.array([[3.0, 0, 0, -45], [0, 3, 0, -50], [0, 0, 3, -40], [0, 0, 0, 1]]))
ORIENTATIONS = {
    "RAS": ([0, 1, 2], [1, 1, 1]),
    "LPS": ([0, 1, 2], [-1, -1, 1]),
    "PIR": ([1, 2, 0], [-1, -1, 1]),
    "SLA": ([2, 0, 1], [1, -1, 1]),
}
RIGHT_FRONT_TOP = (slice(22, 26), slice(26, 31), slice(20, 24))


def reoriented(data, order, signs):
    """The same picture counted along other axes."""
    data = data.transpose(order)
    return data[tuple(slice(None, None, s) for s in signs)].copy()


def pretended(whole, frame, core=None, density=None):
    """As much of an answer as a picture needs."""
    core = whole if core is None else core
    density = np.zeros(whole.shape, np.float32) if density is None else density
    thresholds = {"core": 0.6, "whole": 0.2}
    return SimpleNamespace(segmentation=Segmentation(core, whole, frame), density=density, thresholds=thresholds)


@pytest.fixture
def head():
    """A brain with a tumour at the right, in front, at the top; on the RAS grid."""
    voxels = np.moveaxis(np.indices(RAS.shape), 0, -1)
    background = (np.linalg.norm((voxels - [14.5, 17.5, 13.5]) / [14, 17, 13], axis=-1) < 1).astype(np.float32)
    whole = np.zeros(RAS.shape, bool)
    whole[RIGHT_FRONT_TOP] = True
    return background, whole


def middle(image):
    """(up, across) of an image's centre of mass, as shares of its height and width."""
    rows, columns = np.nonzero(image)
    return rows.mean() / (image.shape[0] - 1), columns.mean() / (image.shape[1] - 1)


def test_a_slice_shows_the_patients_right_on_the_left():
    values = np.zeros((4, 5, 6), np.float32)
    values[3, 4, 5] = 1  # right, front, top
    view = (slice(0, 4), slice(0, 5), slice(0, 6))
    axial = _slice(values, 2, 5, view, mirrored=True)
    assert axial.shape == (5, 4)
    assert np.argwhere(axial).tolist() == [[4, 0]], "front at the top (rows run up), right on the left"
    coronal = _slice(values, 1, 4, view, mirrored=True)
    assert coronal.shape == (6, 4)
    assert np.argwhere(coronal).tolist() == [[5, 0]]
    sagittal = _slice(values, 0, 3, view, mirrored=False)
    assert sagittal.shape == (6, 5)
    assert np.argwhere(sagittal).tolist() == [[5, 4]], "front on the right"


def cut(answer, background):
    return planes_of(answer.segmentation, {"background": background, "density": answer.density})


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_planes_show_the_patients_right_on_the_left_whatever_the_grid(head, orientation):
    order, signs = ORIENTATIONS[orientation]
    frame = flipped_and_permuted(RAS, order, signs)
    assert frame.axis_codes == orientation
    background, whole = (reoriented(a, order, signs) for a in head)
    planes = {p.name: p for p in cut(pretended(whole, frame), background)}
    up, across = middle(planes["axial"].images["whole"])
    assert up > 0.6
    assert across < 0.4
    assert planes["axial"].letters == ("R", "L", "P", "A")
    up, across = middle(planes["coronal"].images["whole"])
    assert up > 0.6
    assert across < 0.4
    assert planes["coronal"].letters == ("R", "L", "I", "S")
    up, across = middle(planes["sagittal"].images["whole"])
    assert up > 0.6
    assert across > 0.6
    assert planes["sagittal"].letters == ("P", "A", "I", "S")


def test_all_orientations_give_the_same_planes(head):
    shown = []
    for order, signs in ORIENTATIONS.values():
        background, whole = (reoriented(a, order, signs) for a in head)
        shown.append(cut(pretended(whole, flipped_and_permuted(RAS, order, signs)), background))
    for planes in shown[1:]:
        for plane, reference in zip(planes, shown[0], strict=True):
            assert plane.position_mm == pytest.approx(reference.position_mm)
            for name, image in plane.images.items():
                np.testing.assert_array_equal(image, reference.images[name])


def test_planes_go_through_the_largest_slices_of_the_core(head):
    background, whole = head
    core = np.zeros_like(whole)
    core[23, 27:30, 21:23] = True
    planes = {p.name: p for p in cut(pretended(whole, RAS, core), background)}
    assert planes["sagittal"].position_mm == pytest.approx(RAS.world((23, 0, 0))[0])
    assert all(p.images["core"].any() for p in planes.values())


def test_voxels_keep_their_shape(head):
    background = np.ones((30, 36, 10), np.float32)
    whole = np.zeros(background.shape, bool)
    whole[10:20, 10:20, 4:7] = True
    frame = around((0, 0, 0), LPS_AXES, (1.0, 2.0, 5.0), (30, 72, 50))
    aspect = {p.name: p.aspect for p in cut(pretended(whole, frame), background)}
    assert aspect == pytest.approx({"axial": 2.0, "coronal": 5.0, "sagittal": 2.5})


def test_the_drawn_picture_has_the_tumour_where_it_is(head, tmp_path):
    background, whole = head
    path = tmp_path / "report.png"
    draw(pretended(whole, RAS, np.zeros_like(whole)), 0.4 * background, path, "title")
    image = imread(path)[..., :3]
    height, width = image.shape[:2]
    axial = image[int(0.12 * height) : int(0.48 * height), : int(0.3 * width)]
    red, blue = axial[..., 0], axial[..., 2]
    tumour = (blue - red > 0.15) & (blue > 0.3)
    brain = (np.ptp(axial, axis=-1) < 0.02) & (red > 0.8)
    assert tumour.sum() > 200
    assert brain.sum() > 2000
    rows, columns = (a.mean() for a in np.nonzero(tumour))
    brain_rows, brain_columns = (a.mean() for a in np.nonzero(brain))
    assert columns < brain_columns - 20, "right is on the left"
    assert rows < brain_rows - 20, "front is at the top"


SHAPES = {
    "no core": lambda whole: (whole, np.zeros_like(whole), None),
    "density everywhere": lambda whole: (whole, whole, np.full(whole.shape, 0.7, np.float32)),
    "whole image": lambda whole: (np.ones_like(whole), whole, None),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_odd_answers_are_drawn(head, tmp_path, shape):
    whole, core, density = SHAPES[shape](head[1])
    draw(pretended(whole, RAS, core, density), head[0], tmp_path / "a.png", "title")
    assert imread(tmp_path / "a.png").shape[0] > 500


@pytest.mark.parametrize("axis", range(3))
def test_a_single_slice_is_drawn(tmp_path, axis):
    shape = [12, 14, 16]
    shape[axis] = 1
    whole = np.ones(shape, bool)
    draw(
        pretended(whole, Frame(tuple(shape), np.eye(4))),
        whole.astype(np.float32),
        tmp_path / "a.png",
        "title",
    )
    assert (tmp_path / "a.png").stat().st_size > 1000


@pytest.mark.parametrize("background", [np.zeros, lambda s: -np.ones(s)])
def test_a_background_without_positive_values_is_drawn(head, tmp_path, background):
    draw(pretended(head[1], RAS), background(RAS.shape).astype(np.float32), tmp_path / "a.png", "title")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_an_oblique_grid_is_drawn_with_the_nearest_letters(tmp_path):
    frame = around((0, 0, 0), OBLIQUE_AXES, (2, 2, 2), (60, 60, 60))
    points = frame.world(np.moveaxis(np.indices(frame.shape), 0, -1))
    whole = np.linalg.norm(points - [15, 15, 15], axis=-1) < 8
    planes = {p.name: p for p in cut(pretended(whole, frame), np.ones(frame.shape, np.float32))}
    up, across = middle(planes["axial"].images["whole"])
    assert up > 0.5
    assert across < 0.5
