import gzip

import nibabel as nib
import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval.imaging.readers import read_volume

from .grids import SHAPE, oblique, values


def save(path, data, affine, kind=nib.Nifti1Image):
    image = kind(data, affine, dtype=data.dtype)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img", "a.img.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_values_type_and_grid_are_those_of_the_file(tmp_path, name, dtype):
    kind = nib.Nifti1Pair if "img" in name else nib.Nifti1Image
    volume = read_volume(save(tmp_path / name, values(dtype), oblique(), kind))
    np.testing.assert_array_equal(volume.data, values(dtype))
    assert volume.data.dtype == np.dtype(dtype)
    np.testing.assert_allclose(volume.frame.affine, oblique(), atol=1e-5)
    assert (volume.format, dict(volume.names), volume.channels) == ("NIfTI", {}, 1)


def test_nan_and_infinite_values_are_kept(tmp_path):
    data = values("f4")
    data[0, 0, :3] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(read_volume(save(tmp_path / "a.nii", data, oblique())).data, data)


HEAD = np.diag([5.0, 6.0, 7.0, 1.0])


@pytest.mark.parametrize("shape", [(24, 22, 20, 3), (24, 22, 20, 1, 3), (24, 22, 20, 3, 1)])
def test_channels_that_come_last(tmp_path, shape):
    data = values("u1", shape)
    volume = read_volume(save(tmp_path / "a.nii.gz", data, HEAD))
    np.testing.assert_array_equal(volume.data, data.reshape(24, 22, 20, 3))
    assert volume.frame.shape == (24, 22, 20)
    assert volume.channels == 3


def test_channels_that_come_first_as_monai_keeps_them(tmp_path):
    data = values("u1", (3, 24, 22, 20))
    volume = read_volume(save(tmp_path / "a.nii.gz", data, HEAD))
    np.testing.assert_array_equal(volume.data, np.moveaxis(data, 0, 3))
    np.testing.assert_allclose(volume.frame.affine, HEAD)


def test_one_channel_first_or_last_is_a_volume(tmp_path):
    data = values("u1", (24, 22, 20))
    for shape in [(1, 24, 22, 20), (24, 22, 20, 1), (24, 22, 20, 1, 1)]:
        volume = read_volume(save(tmp_path / "a.nii.gz", data.reshape(shape), HEAD))
        np.testing.assert_array_equal(volume.data, data)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((24, 22, 20, 24), "either end can be the channels"),
        ((3, 24, 22, 3), "neither end can be the channels"),
        ((40, 22, 20, 200), "holds 200 volumes"),
        ((24, 22, 20, 2, 3), "axis of channels"),
        ((24, 22), "3-D volume"),
    ],
)
def test_axes_that_could_be_read_in_two_ways_or_none_are_refused(tmp_path, shape, words):
    with pytest.raises(InputError, match=words) as caught:
        read_volume(save(tmp_path / "a.nii.gz", np.zeros(shape, np.uint8), HEAD))
    assert str(tmp_path / "a.nii.gz") in str(caught.value)


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4"])
def test_freesurfer_volumes(tmp_path, name, dtype):
    nib.save(nib.MGHImage(values(dtype), oblique()), tmp_path / name)
    volume = read_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.data, values(dtype))
    assert volume.data.dtype == np.dtype(dtype)
    np.testing.assert_allclose(volume.frame.affine, oblique(), atol=1e-4)
    assert volume.format == "MGH"


def test_frames_of_a_freesurfer_volume_are_channels(tmp_path):
    data = values("f4", (*SHAPE, 3))
    nib.save(nib.MGHImage(data, oblique()), tmp_path / "a.mgz")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mgz").data, data)


def test_a_freesurfer_volume_without_directions_is_refused(tmp_path):
    nib.save(nib.MGHImage(values("u1"), oblique()), tmp_path / "a.mgh")
    content = bytearray((tmp_path / "a.mgh").read_bytes())
    content[28:30] = b"\0\0"
    (tmp_path / "a.mgz").write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(InputError, match="goodRASFlag is 0"):
        read_volume(tmp_path / "a.mgz")
