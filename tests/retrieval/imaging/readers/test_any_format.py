import nibabel as nib
import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval.imaging.readers import read_image, read_volume

from .grids import oblique, values
from .test_nifti_volume import save
from .test_nrrd import bare, fields, write


def test_an_image_keeps_values_type_grid_and_path(tmp_path):
    path = save(tmp_path / "a.nii.gz", values("i2"), oblique())
    image = read_image(str(path))
    np.testing.assert_array_equal(image.data, values("i2"))
    assert (image.data.dtype, image.path) == (np.dtype("i2"), path)
    np.testing.assert_allclose(image.frame.affine, oblique(), atol=1e-5)


def test_an_image_in_another_format(tmp_path):
    path = write(tmp_path / "a.nrrd", bare(values("f4")), fields("f4"))
    np.testing.assert_array_equal(read_image(path).data, values("f4"))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_values_that_are_no_numbers_become_nan(tmp_path, dtype):
    data = values(dtype)
    data[0, 0, :3] = np.nan, np.inf, -np.inf
    image = read_image(save(tmp_path / "a.nii", data, oblique()))
    assert np.isnan(image.data[0, 0, :3]).all()
    assert image.data.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image.data[1:], data[1:])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_without_a_number_is_refused(tmp_path, value):
    with pytest.raises(InputError, match=r"a\.nii holds no number at all"):
        read_image(save(tmp_path / "a.nii", np.full((4, 4, 4), value, np.float32), oblique()))


def test_channels_are_no_image_of_intensities(tmp_path):
    data = np.zeros((24, 22, 20, 3), np.uint8)
    with pytest.raises(InputError, match="holds 3 channels: give one 3-D volume"):
        read_image(save(tmp_path / "a.nii", data, np.diag([5.0, 5, 5, 1])))


@pytest.mark.parametrize("read", [read_image, read_volume])
@pytest.mark.parametrize("name", ["gone.nii.gz", "x" * 300 + ".nii.gz", "gone/a.dcm"])
def test_a_path_that_leads_nowhere_is_an_input_error(tmp_path, read, name):
    with pytest.raises(InputError, match=r"no such file|too long"):
        read(tmp_path / name)


def test_a_folder_that_cannot_be_entered_is_an_input_error(tmp_path, monkeypatch):
    pytest.importorskip("pydicom", reason="the extra dicom is not installed")
    (tmp_path / "locked").mkdir()

    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", denied)
    with pytest.raises(InputError, match=r"locked may not be read \(permission denied\)"):
        read_volume(tmp_path / "locked")


def test_nothing_reaches_the_terminal(tmp_path, capfd):
    image = nib.Nifti1Image(values("i2"), oblique())
    image.set_sform(oblique(), 1)
    for key, value in {"pixdim": -1, "vox_offset": 353, "magic": b"n+1", "bitpix": 3}.items():
        image.header[key] = value
    content = image.header.binaryblock + b"\0" * 5 + bare(values("i2"))
    (tmp_path / "a.nii").write_bytes(content)
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").data, values("i2"))
    assert capfd.readouterr() == ("", "")
