import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval.imaging.readers import read_volume

from .grids import SHAPE, oblique, values

sitk = pytest.importorskip("SimpleITK", reason="SimpleITK, which writes the files, comes with the extra dicom")

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write(path, data, affine, compressed=False):
    """Write (i, j, k) or (i, j, k, c) through ITK."""
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    axes = (2, 1, 0, 3)[: data.ndim]
    image = sitk.GetImageFromArray(np.transpose(data, axes), isVector=data.ndim == 4)
    image.SetOrigin(lps[:3, 3])
    image.SetSpacing(spacing)
    image.SetDirection((lps[:3, :3] / spacing).ravel())
    sitk.WriteImage(image, str(path), compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True], ids=["raw", "zlib"])
@pytest.mark.parametrize("name", ["a.mha", "a.mhd"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_what_itk_writes_is_read_with_values_type_and_grid(tmp_path, name, dtype, compressed):
    volume = read_volume(write(tmp_path / name, values(dtype), oblique(), compressed))
    np.testing.assert_array_equal(volume.data, values(dtype))
    assert volume.data.dtype == np.dtype(dtype)
    np.testing.assert_allclose(volume.frame.affine, oblique(), atol=1e-5)
    assert volume.format == "MetaImage"


def test_the_values_agree_with_ants(tmp_path):
    import ants

    image = ants.image_read(str(write(tmp_path / "a.mha", values("i2"), oblique())))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mha").data, image.numpy())


@pytest.mark.parametrize("compressed", [False, True])
def test_components_of_a_voxel_are_channels(tmp_path, compressed):
    data = values("u1", (*SHAPE, 3))
    volume = read_volume(write(tmp_path / "a.mha", data, oblique(), compressed))
    np.testing.assert_array_equal(volume.data, data)
    np.testing.assert_allclose(volume.frame.affine, oblique(), atol=1e-5)


def test_a_fourth_axis_holds_channels(tmp_path):
    data = values("u1", (*SHAPE, 3))
    image = sitk.JoinSeries([sitk.GetImageFromArray(np.transpose(data[..., c])) for c in range(3)])
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    volume = read_volume(tmp_path / "a.mha")
    np.testing.assert_array_equal(volume.data, data)
    np.testing.assert_allclose(volume.frame.affine, LPS)


def header(tmp_path, replace=("", ""), payload=None):
    """Rewrite the header of a raw .mha."""
    content = write(tmp_path / "a.mha", values("i2"), oblique()).read_bytes()
    text, mark, data = content.partition(b"ElementDataFile = LOCAL\n")
    text = text.replace(*(word.encode() for word in replace))
    (tmp_path / "a.mha").write_bytes(text + mark + (data if payload is None else payload))
    return tmp_path / "a.mha"


def without(tmp_path, key):
    path = header(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if not line.startswith(key.encode() + b" ")))
    return path


def test_big_endian_values(tmp_path):
    swapped = values("i2").ravel("F").astype(">i2").tobytes()
    path = header(tmp_path, ("BinaryDataByteOrderMSB = False", "BinaryDataByteOrderMSB = True"), swapped)
    np.testing.assert_array_equal(read_volume(path).data, values("i2"))


def test_values_written_as_text(tmp_path):
    text = " ".join(str(v) for v in values("i2").ravel("F")).encode()
    path = header(tmp_path, ("BinaryData = True", "BinaryData = False"), text)
    np.testing.assert_array_equal(read_volume(path).data, values("i2"))


@pytest.mark.parametrize("key", ["TransformMatrix", "Offset", "ElementSpacing"])
def test_a_header_that_does_not_place_the_voxels_is_refused(tmp_path, key):
    with pytest.raises(InputError, match=rf"a\.mha lacks (ElementSize|{key})"):
        read_volume(without(tmp_path, key))


@pytest.mark.parametrize(
    ("replace", "words"),
    [
        (("DimSize = 9 8 7", "DimSize = 9 8 8"), "is cut short: it holds 1,008 of 1,152 bytes"),
        (("DimSize = 9 8 7", "DimSize = 9000 8000 7000"), "at most"),
        (("DimSize = 9 8 7", "DimSize = 9 8 -7"), "impossible shape"),
        (("DimSize = 9 8 7", "DimSize = 9 8"), "DimSize"),
        (("MET_SHORT", "MET_STRING"), "type MET_STRING"),
        (("CompressedData = False", "CompressedData = True"), "damaged or cut short"),
        (("ElementSpacing", "ElementSpacing = 0 1 1\nOther"), "cannot be"),
        (("ElementSpacing", "ElementSpacing = nan 1 1\nOther"), "cannot be"),
        (("NDims = 3", "NDims = 2"), "DimSize"),
        (("CompressedData", "ElementToIntensityFunctionSlope = 2\nCompressedData"), "scales its values"),
    ],
)
def test_a_damaged_header_is_refused_by_what_is_wrong(tmp_path, replace, words):
    with pytest.raises(InputError, match=words) as caught:
        read_volume(header(tmp_path, replace))
    assert str(tmp_path / "a.mha") in str(caught.value)


def naming(tmp_path, name):
    path = write(tmp_path / "a.mhd", values("i2"), oblique())
    path.write_text(path.read_text().replace("ElementDataFile = a.raw", f"ElementDataFile = {name}"))
    return path


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.raw", "C:\\a.raw", "sub/../../a.raw"])
def test_a_file_of_values_outside_the_folder_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="put that file beside the header"):
        read_volume(naming(tmp_path, name))


@pytest.mark.parametrize(("name", "words"), [("b.raw", "no such file"), ("LIST", "several files"), (".", "a folder")])
def test_values_that_are_not_one_file_beside_are_refused(tmp_path, name, words):
    with pytest.raises(InputError, match=words):
        read_volume(naming(tmp_path, name))


def test_a_file_of_values_that_is_too_long_or_a_pointer_is_refused(tmp_path):
    path = write(tmp_path / "a.mhd", values("i2"), oblique())
    raw = (tmp_path / "a.raw").read_bytes()
    (tmp_path / "a.raw").write_bytes(raw + b"\0")
    with pytest.raises(InputError, match="goes on after the 1,008 bytes"):
        read_volume(path)
    (tmp_path / "a.raw").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match="Git LFS pointer"):
        read_volume(path)


@pytest.mark.parametrize("said", ["16", "-1"])
def test_a_header_of_the_file_of_values_is_skipped(tmp_path, said):
    path = write(tmp_path / "a.mhd", values("i2"), oblique())
    path.write_text(path.read_text().replace("ElementDataFile", f"HeaderSize = {said}\nElementDataFile"))
    (tmp_path / "a.raw").write_bytes(b"x" * 16 + (tmp_path / "a.raw").read_bytes())
    np.testing.assert_array_equal(read_volume(path).data, values("i2"))
