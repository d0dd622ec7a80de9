"""A core and a whole tumour in two files."""

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval import from_masks

from ..anatomy import write_nifti

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


@pytest.fixture
def mask_file(tmp_path):
    """Write the mask of a box."""

    def write(name, low, high, value=1, affine=AFFINE, shape=(12, 12, 12)):
        data = np.zeros(shape, np.uint8)
        data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = value
        return write_nifti(tmp_path / name, data, affine)

    return write


def test_separate_masks(mask_file):
    found = from_masks(
        mask_file("core.nii.gz", (3, 3, 3), (6, 6, 6)), mask_file("whole.nii.gz", (2, 2, 2), (8, 8, 8), 255)
    )
    assert (found.core.sum(), found.whole.sum()) == (27, 216)
    assert not (found.core & ~found.whole).any()
    assert found.warnings == ()
    assert found.understood["core_mask"].endswith("core.nii.gz")


def test_a_stray_core_voxel_is_added_to_the_whole(mask_file, tmp_path):
    core, whole = np.zeros((12, 12, 12), np.uint8), np.zeros((12, 12, 12), np.uint8)
    core[2:10, 2:8, 2:8] = whole[2:10, 2:8, 2:8] = 1
    core[10, 5, 5] = 1
    found = from_masks(write_nifti(tmp_path / "c.nii", core, AFFINE), write_nifti(tmp_path / "w.nii", whole, AFFINE))
    assert found.core.sum() == found.whole.sum() == 8 * 36 + 1
    assert any("1 core voxel" in w for w in found.warnings)


def test_a_core_outside_the_whole_is_refused(mask_file):
    core, whole = (
        mask_file("core.nii.gz", (0, 0, 0), (4, 4, 4)),
        mask_file("whole.nii.gz", (2, 0, 0), (9, 9, 9)),
    )
    with pytest.raises(InputError, match="32 of 64") as caught:
        from_masks(core, whole)
    said = str(caught.value)
    assert any(name in said for name in (str(core), str(whole), "core_mask")), f"names no file: {said}"


def test_swapped_masks_are_refused(mask_file):
    core, whole = (
        mask_file("core.nii.gz", (3, 3, 3), (6, 6, 6)),
        mask_file("whole.nii.gz", (2, 2, 2), (8, 8, 8)),
    )
    with pytest.raises(InputError, match="outside the whole"):
        from_masks(whole, core)


@pytest.mark.parametrize("shift", [1.0, -2.0, 30.0])
def test_masks_on_different_grids_are_refused(mask_file, shift):
    moved = AFFINE.copy()
    moved[0, 3] = shift
    core, whole = (
        mask_file("core.nii.gz", (3, 3, 3), (6, 6, 6)),
        mask_file("whole.nii.gz", (2, 2, 2), (8, 8, 8), affine=moved),
    )
    with pytest.raises(InputError, match="different grids") as caught:
        from_masks(core, whole)
    assert str(core) in str(caught.value)
    assert str(whole) in str(caught.value)


def test_masks_of_different_shapes_are_refused(mask_file):
    core = mask_file("core.nii.gz", (3, 3, 3), (6, 6, 6), shape=(12, 12, 13))
    with pytest.raises(InputError, match="different grids"):
        from_masks(core, mask_file("whole.nii.gz", (2, 2, 2), (8, 8, 8)))


@pytest.mark.parametrize("labels", [(1, 2), (1, 2, 4)])
def test_a_mask_with_several_labels_is_refused(tmp_path, labels):
    data = np.zeros((8, 8, 8), np.uint8)
    data[: len(labels), 0, 0] = labels
    map_file = write_nifti(tmp_path / "labels.nii.gz", data, AFFINE)
    with pytest.raises(InputError, match="seg") as caught:
        from_masks(map_file, map_file)
    assert str(map_file) in str(caught.value)


def test_a_mask_of_fractions_is_refused(tmp_path):
    data = np.zeros((8, 8, 8), np.float32)
    data[2:5, 2:5, 2:5] = 0.5
    path = write_nifti(tmp_path / "mask.nii.gz", data, AFFINE)
    with pytest.raises(InputError, match="no integers"):
        from_masks(path, path)


def test_an_empty_whole_mask_is_refused(mask_file):
    core, whole = (
        mask_file("core.nii.gz", (0, 0, 0), (0, 0, 0)),
        mask_file("whole.nii.gz", (0, 0, 0), (0, 0, 0)),
    )
    with pytest.raises(InputError, match="empty") as caught:
        from_masks(core, whole)
    said = str(caught.value)
    assert str(whole) in said or "whole_mask" in said, f"names no file: {said}"


def test_an_empty_core_mask_is_said(mask_file):
    core, whole = (
        mask_file("core.nii.gz", (0, 0, 0), (0, 0, 0)),
        mask_file("whole.nii.gz", (2, 2, 2), (8, 8, 8)),
    )
    assert any("core mask is empty" in w for w in from_masks(core, whole).warnings)


def test_masks_have_a_summary_and_a_source(mask_file):
    whole = mask_file("whole.nii.gz", (2, 2, 2), (8, 8, 8))
    found = from_masks(mask_file("core.nii.gz", (3, 3, 3), (6, 6, 6)), whole)
    assert found.summary == "masks read: core 0.2 ml, whole 1.7 ml"
    assert found.source == str(whole)


def test_one_file_for_both_masks_is_doubted(mask_file):
    whole = mask_file("whole.nii.gz", (2, 2, 2), (8, 8, 8))
    assert any("the same mask" in text for text in from_masks(whole, whole).warnings)
