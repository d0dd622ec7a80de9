import numpy as np
import pytest

from gliodex.retrieval.imaging.lesions import lesions
from gliodex.retrieval.imaging.segmentation import Segmentation
from gliodex.store.frame import Frame

FRAME = Frame((20, 22, 24), np.array([[-2.0, 0, 0, 5], [0, 3, 0, -7], [0, 0, 1.5, 2], [0, 0, 0, 1]]))


def segmentation(core, whole):
    return Segmentation(core, whole, FRAME)


def test_pieces_come_largest_first_with_their_volumes():
    core, whole = np.zeros(FRAME.shape, bool), np.zeros(FRAME.shape, bool)
    whole[1:3, 1:3, 1:3], whole[8:14, 9:15, 10:16], core[10:12, 11:13, 12:14] = True, True, True
    found = lesions(segmentation(core, whole))
    assert [lesion.volume_ml for lesion in found.whole] == pytest.approx([216 * 0.009, 8 * 0.009])
    assert [lesion.volume_ml for lesion in found.core] == pytest.approx([8 * 0.009])
    np.testing.assert_allclose(found.whole[1].centre, FRAME.world([1.5, 1.5, 1.5]))
    np.testing.assert_array_equal(found.whole[0].mask(FRAME.shape) | found.whole[1].mask(FRAME.shape), whole)


def test_corners_join():
    whole = np.zeros(FRAME.shape, bool)
    whole[2, 2, 2] = whole[3, 3, 3] = whole[5, 5, 5] = True
    found = lesions(segmentation(whole & False, whole))
    assert [int(lesion.voxels.sum()) for lesion in found.whole] == [2, 1]
    assert found.core == ()


def test_a_piece_lies_in_anothers_box():
    whole = np.zeros(FRAME.shape, bool)
    whole[2:10, 2:10, 2:10] = True
    whole[3:9, 3:9, 3:9] = False
    whole[5, 5, 5] = True
    found = lesions(segmentation(whole, whole))
    assert [int(lesion.voxels.sum()) for lesion in found.whole] == [8**3 - 6**3, 1]


def test_as_many_as_a_flood_fill_finds():
    whole = np.random.default_rng(3).random(FRAME.shape) < 0.04
    left = {tuple(int(i) for i in at) for at in np.argwhere(whole)}
    sizes = []
    while left:
        front, size = [left.pop()], 0
        while front:
            i, j, k = front.pop()
            size += 1
            near = {(i + a, j + b, k + c) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)} & left
            left -= near
            front += near
        sizes.append(size)
    found = lesions(segmentation(whole, whole))
    assert [int(lesion.voxels.sum()) for lesion in found.whole] == sorted(sizes, reverse=True)
