"""`gliodex query` refuses images that it cannot use."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from .conftest import query_refused, seg_like


def set_values(count, value, dtype):
    def change(data, affine):
        data = data.astype(dtype)
        data.reshape(-1)[:count] = value
        return data, affine

    return change


def shifted(data, affine):
    affine[:3, 3] += (0, 900, 0)
    return data, affine


CHANGED = {
    "empty": lambda d, a: (0 * d, a),
    "four-dimensional": lambda d, a: (np.stack([d, d], -1), a),
    "fractions": set_values(3, 1.5, np.float32),
    "not a number": set_values(1, np.nan, np.float32),
    "infinite": set_values(1, np.inf, np.float32),
    "strange labels": set_values(5, 7, np.uint8),
    "complex": lambda d, a: (d.astype(np.complex64), a),
    "negative labels": set_values(5, -1, np.int16),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_segmentation_that_cannot_be_used_is_refused(ask, small_seg, tmp_path, out, name):
    bad = seg_like(small_seg, tmp_path / "bad.nii.gz", CHANGED[name])
    query_refused(ask(seg=bad), out, bad)


def test_a_tumour_outside_the_brain_is_refused(ask, small_seg, tmp_path, out):
    query_refused(ask(seg=seg_like(small_seg, tmp_path / "bad.nii.gz", shifted)), out, "--space", "outside")


def damaged_file(kind, small_seg, path):
    """A path at which there is no readable segmentation."""
    mask = seg_like(small_seg, path.with_name("mask.nii.gz"), lambda d, a: ((d > 0).astype(np.uint8), a))
    whole = mask.read_bytes()
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("not an image")
    elif kind == "empty file":
        path.write_bytes(b"")
    elif kind == "gzip of text":
        path.write_bytes(gzip.compress(b"not an image" * 100))
    elif kind == "truncated":
        path.write_bytes(whole[: len(whole) * 2 // 3])
    elif kind == "truncated in the header":
        path.write_bytes(whole[:60])
    elif kind == "wrong checksum":
        path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 0xFF]) + whole[-5:])
    elif kind == "wrong byte":
        path.write_bytes(
            whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 0xFF]) + whole[len(whole) // 2 + 1 :]
        )


@pytest.mark.parametrize(
    "kind",
    [
        "nothing",
        "folder",
        "text",
        "empty file",
        "gzip of text",
        "truncated",
        "truncated in the header",
        "wrong byte",
        "wrong checksum",
    ],
)
@pytest.mark.parametrize("option", ["--seg", "--t1", "--whole-mask"])
def test_a_file_that_cannot_be_read_is_refused(ask, small_seg, tmp_path, out, kind, option):
    bad = tmp_path / "bad.nii.gz"
    damaged_file(kind, small_seg, bad)
    if option == "--seg":
        ran = ask("--core", "none", seg=bad)
    elif option == "--t1":
        ran = ask("--t1", bad, space=None)
    else:
        core = seg_like(small_seg, tmp_path / "core.nii.gz", lambda d, a: ((d == 4).astype(np.uint8), a))
        ran = ask("--core-mask", core, "--whole-mask", bad, seg=None)
    query_refused(ran, out, bad)


def test_an_uncompressed_file_cut_short_is_refused(ask, small_seg, tmp_path, out):
    bad = tmp_path / "bad.nii"
    nib.save(nib.load(small_seg), bad)
    bad.write_bytes(bad.read_bytes()[:-1000])
    query_refused(ask(seg=bad), out, bad)


def test_another_format_is_refused(ask, tmp_path, out):
    bad = tmp_path / "bad.npy"
    np.save(bad, np.zeros((4, 4, 4), np.uint8))
    query_refused(ask(seg=bad), out, bad, "NumPy")


def test_disagreeing_orientations_are_refused(ask, small_seg, tmp_path, out):
    image = nib.load(small_seg)
    image.set_sform(image.affine @ np.diag([-1, 1, 1, 1]), 1)
    image.set_qform(nib.load(small_seg).affine, 1)
    bad = tmp_path / "bad.nii.gz"
    nib.save(image, bad)
    query_refused(ask(seg=bad), out, bad, "sform")


def test_no_orientation_is_refused(ask, small_seg, tmp_path, out):
    image = nib.load(small_seg)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    bad = tmp_path / "bad.nii.gz"
    nib.save(image, bad)
    query_refused(ask(seg=bad), out, bad, "orientation")


def test_a_t1_elsewhere_in_the_world_is_refused(ask, small_seg, tmp_path, out):
    def bright(data, affine):
        affine[:3, 3] += (0, 900, 0)
        return np.random.default_rng(0).random(data.shape, np.float32), affine

    t1 = seg_like(small_seg, tmp_path / "t1.nii.gz", bright)
    query_refused(ask("--t1", t1, space=None), out, t1, "0% of the tumour")


def test_a_constant_t1_is_refused(ask, small_seg, tmp_path, out):
    t1 = seg_like(small_seg, tmp_path / "t1.nii.gz", lambda d, a: (0 * d + 3, a))
    query_refused(ask("--t1", t1, space=None), out, t1, "same value")


def masks(small_seg, tmp_path, core, whole):
    paths = []
    for name, change in (("core.nii.gz", core), ("whole.nii.gz", whole)):
        paths.append(seg_like(small_seg, tmp_path / name, change))
    return paths


def test_a_core_outside_the_whole_is_refused(ask, small_seg, tmp_path, out):
    def rolled(data, affine):
        return np.roll(data == 4, 8, axis=1).astype(np.uint8), affine

    core, whole = masks(small_seg, tmp_path, rolled, lambda d, a: ((d > 0).astype(np.uint8), a))
    ran = ask("--core-mask", core, "--whole-mask", whole, seg=None)
    query_refused(ran, out, "core voxels lie outside")
    assert str(core) in ran.said or "--core-mask" in ran.said


def test_masks_on_different_grids_are_refused(ask, small_seg, tmp_path, out):
    core, whole = masks(
        small_seg,
        tmp_path,
        lambda d, a: ((d == 4)[1:].astype(np.uint8), a),
        lambda d, a: ((d > 0).astype(np.uint8), a),
    )
    query_refused(ask("--core-mask", core, "--whole-mask", whole, seg=None), out, core, whole)


def test_masks_with_several_labels_are_refused(ask, small_seg, out):
    query_refused(ask("--core-mask", small_seg, "--whole-mask", small_seg, seg=None), out, small_seg, "--seg")
