"""The template is the ICBM152 with its head; registering it finds a brain that was moved and deformed."""

import numpy as np
import pytest
from nilearn import datasets
from scipy import ndimage
from scipy.spatial.transform import Rotation

from gliodex.retrieval.imaging.head.template import icbm152_head, registered_brain
from gliodex.store.frame import Frame

from .heads import as_image, dice, head_and_mask

HEAD, MASK, FRAME = head_and_mask()


def test_the_brain_of_the_template_is_that_of_nilearn():
    image, mask = icbm152_head()
    template = datasets.load_mni152_template(resolution=1)
    points = image.frame.world(np.argwhere(ndimage.binary_erosion(mask, iterations=2)))
    voxels = points @ np.linalg.inv(template.affine)[:3, :3].T + np.linalg.inv(template.affine)[:3, 3]
    expected = ndimage.map_coordinates(ndimage.uniform_filter(template.get_fdata(), 2), voxels.T + 0.5, order=1)
    found = image.data[ndimage.binary_erosion(mask, iterations=2)]
    assert np.corrcoef(found, expected)[0, 1] > 0.99
    assert np.count_nonzero(mask) * image.frame.voxel_ml == pytest.approx(
        (template.get_fdata() > 0).sum() / 1000, rel=0.02
    )


def test_around_the_brain_of_the_template_lie_dark_skull_and_bright_scalp():
    image, mask = icbm152_head()
    distance = ndimage.distance_transform_edt(~mask, sampling=image.frame.spacing)
    above = image.frame.world(np.argwhere(np.ones(mask.shape, bool)))[:, 2].reshape(mask.shape) > 30

    def level(low, high):
        return float(np.median(image.data[above & (distance > low) & (distance < high)]))

    assert level(3, 7) < 0.6 * level(9, 14)
    assert level(3, 7) < 0.5 * float(np.median(image.data[mask]))


def deformed(seed):
    """Head and mask of another shape, in another place: turned, enlarged, shifted, bent by up to some 6 mm."""
    rng = np.random.default_rng(seed)
    shape = tuple(n + 24 for n in HEAD.shape)
    turn = Rotation.from_euler("xyz", rng.uniform(-8, 8, 3), degrees=True).as_matrix() @ np.diag(
        rng.uniform(0.9, 1.1, 3)
    )
    centre = (np.array(shape) - 1) / 2
    points = np.indices(shape).reshape(3, -1) - centre[:, None]
    bend = np.stack(
        [ndimage.zoom(rng.normal(0, 2.0, (5, 5, 5)), np.array(shape) / 5, order=3).ravel() for _ in range(3)]
    )
    there = turn @ points + (np.array(HEAD.shape)[:, None] - 1) / 2 + bend + rng.uniform(-4, 4, (3, 1))
    head = ndimage.map_coordinates(HEAD, there, order=1).reshape(shape)
    mask = ndimage.map_coordinates(MASK.astype(np.float32), there, order=1).reshape(shape) > 0.5
    return head, mask


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_moved_and_deformed_brain_is_found(seed):
    head, mask = deformed(seed)
    affine = FRAME.affine.copy()
    affine[:3, 3] += 10
    found = registered_brain(as_image(head, Frame(head.shape, affine)), None, threads=1)
    assert dice(found, mask) >= 0.93  # the mask that is found has a rim of 1.5 mm


@pytest.mark.slow
def test_the_head_itself_is_found_whichever_way_its_axes_run():
    data = np.ascontiguousarray(HEAD[::-1].transpose(1, 2, 0))
    affine = FRAME.affine[:, [1, 2, 0, 3]].copy()
    affine[:, 2] *= -1
    affine[:3, 3] = FRAME.world(np.array([HEAD.shape[0] - 1, 0, 0]))
    found = registered_brain(as_image(data, Frame(data.shape, affine)), None, threads=1)
    assert dice(found, MASK[::-1].transpose(1, 2, 0)) >= 0.95
