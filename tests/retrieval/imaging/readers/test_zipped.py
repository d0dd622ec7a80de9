import zipfile

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval.imaging.readers import read_volume, zipped
from gliodex.store import image_bytes

from .dicom_writer import write_segmentation, write_series
from .grids import at_world, oblique

pytest.importorskip("pydicom", reason="the extra dicom is not installed")

DATA = np.random.default_rng(0).integers(0, 900, (12, 10, 8)).astype(np.int16)


def packed(tmp_path, prefix="study/t1/", extra=()):
    write_series(tmp_path / "t1", DATA, oblique())
    path = tmp_path / "upload.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("study")
        for file in (tmp_path / "t1").iterdir():
            archive.write(file, prefix + file.name)
        for name, content in extra:
            archive.writestr(name, content)
    return path


def test_a_series_in_an_archive_of_any_name(tmp_path):
    path = packed(tmp_path, extra=[("__MACOSX/._a", b"x"), ("study/readme.txt", "no image")])
    volume = read_volume(path)
    found, off = at_world(volume, DATA, oblique())
    np.testing.assert_array_equal(found, DATA)
    assert off < 1e-3
    assert (volume.path, volume.format) == (path, "DICOM series (zip)")


def test_a_segmentation_in_an_archive(tmp_path):
    pytest.importorskip("highdicom", reason="the extra dicom is not installed")
    masks = np.zeros((12, 10, 8, 1), bool)
    masks[3:6, 2:5, 1:4] = True
    write_segmentation(tmp_path / "a.dcm", masks, oblique(), ["Tumour"])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.dcm", "a.dcm")
    volume = read_volume(tmp_path / "a.zip")
    assert volume.names == {1: "Tumour"}
    assert int(volume.data.sum()) == 27


@pytest.mark.parametrize("name", ["/etc/evil", "../evil", "a/../../evil", "..\\evil"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="leads out of its folder"):
        read_volume(packed(tmp_path, extra=[(name, b"x")]))
    assert not (tmp_path / "evil").exists()


def test_an_archive_in_an_archive_is_refused(tmp_path):
    inner = packed(tmp_path).read_bytes()
    with pytest.raises(InputError, match="holds another zip archive"):
        read_volume(packed(tmp_path, extra=[("inner", inner)]))


def test_what_unpacks_to_far_more_than_images_do_is_refused(tmp_path):
    with pytest.raises(InputError, match="unpacks to far more"):
        read_volume(packed(tmp_path, extra=[("bomb", bytes(1 << 25))]))


def test_sizes_are_counted_and_not_believed(tmp_path, monkeypatch):
    path = packed(tmp_path)
    monkeypatch.setattr(image_bytes, "MAX_BYTES", 5_000)
    with pytest.raises(InputError, match="unpacks to"):
        read_volume(path)
    content = path.read_bytes()
    for number in range(8):
        size = (tmp_path / "t1" / f"IM{number:04d}").stat().st_size
        content = content.replace(size.to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"damaged|unpacks to"):
        read_volume(path)


def test_the_number_of_files_is_bounded(tmp_path, monkeypatch):
    path = packed(tmp_path)
    monkeypatch.setattr(zipped, "MAX_ENTRIES", 7)
    with pytest.raises(InputError, match="holds 8 files: at most 7"):
        read_volume(path)
    monkeypatch.setattr(zipped, "_MAX_DIRECTORY", 300)
    with pytest.raises(InputError, match="directory for more than"):
        read_volume(path)


def test_an_encrypted_or_cut_archive_is_refused(tmp_path):
    path = packed(tmp_path)
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:-40])
    with pytest.raises(InputError, match="damaged or encrypted"):
        read_volume(path)
    start = content.rindex(b"PK\x01\x02")
    content[start + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged or encrypted"):
        read_volume(path)


def test_an_archive_without_dicom_is_named_itself(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(InputError, match=r"a\.zip holds no DICOM files"):
        read_volume(tmp_path / "a.zip")


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    path = packed(tmp_path)
    left = tmp_path / "tmp"
    left.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(left))
    read_volume(path)
    with pytest.raises(InputError):
        read_volume(packed(tmp_path, extra=[("../x", b"x")]))
    assert list(left.iterdir()) == []
