from pathlib import Path

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval import Segmentation
from gliodex.retrieval.imaging.consistency import BRATS_FRAME, MNI_FRAME, check_scan, check_space, same_place
from gliodex.retrieval.imaging.reuse import cells_of, reuse_doubts
from gliodex.store import Frame
from gliodex.store.nifti import Image

from ..anatomy import flipped_and_permuted

SHAPE = (60, 70, 50)
ATLAS = Frame.centred(np.zeros(3), 128, 2.0)
FRAME = Frame(SHAPE, np.array([[-3, 0, 0, 90], [0, -3, 0, 100], [0, 0, 3, -70], [0, 0, 0, 1]], float))


def ball(centre, radius):
    return np.linalg.norm(np.indices(SHAPE) - np.reshape(centre, (3, 1, 1, 1)), axis=0) < radius


HEAD = Image(ball((30, 35, 25), 22).astype(np.float32), FRAME, Path("t1.nii.gz"))


def tumour(centre=(38, 35, 25), frame=FRAME, radius=5):
    whole = ball(centre, radius)
    return Segmentation(ball(centre, radius / 2), whole, frame)


def shifted(frame, mm):
    affine = frame.affine.copy()
    affine[:3, 3] += mm
    return Frame(frame.shape, affine)


def test_a_tumour_in_the_brain_of_its_scan_is_in_order():
    assert check_scan(tumour(), HEAD) == ()
    finer = Frame((120, 140, 100), FRAME.refined(2).affine)
    fine = Segmentation(*(np.kron(m, np.ones((2, 2, 2), bool)) for m in (tumour().core, tumour().whole)), finer)
    assert check_scan(fine, HEAD) == ()


def test_a_dark_cavity_in_the_tumour_is_in_the_brain():
    image = np.where(ball((38, 35, 25), 4), 0, HEAD.data)
    assert check_scan(tumour(), Image(image, FRAME, HEAD.path)) == ()


def test_grids_of_one_shape_in_two_places_are_doubted():
    """The tumour stays inside the brain, so only the headers tell."""
    (doubt,) = check_scan(tumour(), Image(HEAD.data, shifted(FRAME, (12, -9, 8)), HEAD.path))
    assert "60 x 70 x 50" in doubt
    assert f"{np.linalg.norm([12, 9, 8]):.0f} mm apart" in doubt


def test_a_tumour_beside_the_brain_is_refused_and_the_header_named():
    with pytest.raises(InputError, match=r"100% of the tumour lies beside the brain of t1\.nii\.gz.*repair the header"):
        check_scan(tumour(), Image(HEAD.data, shifted(FRAME, (110, 0, 0)), HEAD.path))
    with pytest.raises(InputError, match="seg_on"):
        check_scan(tumour((3, 5, 5), radius=3), HEAD)


def test_a_tumour_partly_beside_the_brain_is_doubted():
    (doubt,) = check_scan(tumour((50, 35, 25)), HEAD)
    share = 1 - (tumour((50, 35, 25)).whole & (HEAD.data > 0)).sum() / tumour((50, 35, 25)).whole.sum()
    assert 0.05 < share < 0.5
    assert "beside the brain" in doubt
    assert abs(float(doubt.split("%")[0]) / 100 - share) < 0.12  # the hull of the brain is counted with it


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
@pytest.mark.parametrize("signs", [[1, 1, 1], [-1, 1, -1]])
def test_the_grid_of_brats_is_known_in_any_order_of_its_axes(order, signs):
    frame = flipped_and_permuted(BRATS_FRAME, order, signs)
    assert same_place(frame, BRATS_FRAME)
    assert check_space("sri24", frame, "seg.nii.gz", ATLAS) == ()
    for space in ("mni152", "atlas"):
        with pytest.raises(InputError, match=r"seg\.nii\.gz has the grid of BraTS up to 2023.*space=sri24"):
            check_space(space, frame, "seg.nii.gz", ATLAS)


def test_the_grid_of_mni152_is_known():
    assert check_space("mni152", MNI_FRAME, "seg.nii.gz", ATLAS) == ()
    assert check_space("atlas", MNI_FRAME, "seg.nii.gz", ATLAS) == ()
    with pytest.raises(InputError, match="space=mni152"):
        check_space("sri24", MNI_FRAME, "seg.nii.gz", ATLAS)


def test_a_part_or_a_coarser_form_of_the_grid_is_in_order():
    assert check_space("sri24", BRATS_FRAME.crop((40, 50, 30), (180, 200, 120)), "seg.nii.gz", ATLAS) == ()
    assert check_space("sri24", BRATS_FRAME.coarsened((2, 2, 2)), "seg.nii.gz", ATLAS) == ()


@pytest.mark.parametrize("frame", [shifted(BRATS_FRAME, (18, 0, 0)), Frame((256, 256, 180), np.eye(4)), FRAME])
def test_another_grid_in_a_named_space_is_doubted(frame):
    (doubt,) = check_space("sri24", frame, "seg.nii.gz", ATLAS)
    assert "t1" in doubt
    assert " x ".join(map(str, frame.shape)) in doubt


def test_a_transform_is_known_again_by_the_tumour_it_was_made_for():
    made_for = {"tumor_cells": cells_of(tumour())}
    finer = Frame((120, 140, 100), FRAME.refined(2).affine)
    fine = Segmentation(*(np.kron(m, np.ones((2, 2, 2), bool)) for m in (tumour().core, tumour().whole)), finer)
    for same in (tumour(), fine, tumour(radius=7), tumour((39, 34, 25))):
        assert reuse_doubts(made_for, same) == ()
    for other in (tumour((20, 35, 25)), tumour(frame=shifted(FRAME, (60, 0, 0)))):
        (doubt,) = reuse_doubts(made_for, other)
        assert "same patient" in doubt


def test_transforms_of_earlier_versions_say_nothing_of_their_tumour():
    assert reuse_doubts({}, tumour()) == ()


def test_a_grid_beyond_the_stores_is_doubted_in_the_atlas():
    scanner = Frame((200, 200, 150), np.diag([1.0, 1.0, 1.2, 1.0]))
    assert any("reaches beyond" in doubt for doubt in check_space("atlas", scanner, "seg.nii.gz", ATLAS))
    assert check_space("atlas", ATLAS.crop((20, 30, 40), (60, 70, 80)), "seg.nii.gz", ATLAS) == ()
    assert check_space("atlas", ATLAS, "seg.nii.gz", ATLAS) == ()
