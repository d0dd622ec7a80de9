import errno
import gzip
import io
import os
import tarfile
import zipfile

import nibabel as nib
import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.store.image_format import find_format
from gliodex.store.nifti import load_image

DATA = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)


def image(kind=nib.Nifti1Image):
    return kind(DATA, np.diag([1.0, 2, 3, 1])).to_bytes()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.txt", "a"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (image(), "NIfTI"),
        (image(nib.Nifti2Image), "NIfTI"),
        (b"NRRD0004\ntype: int\n\n", "NRRD"),
        (b"ObjectType = Image\nNDims = 3\n", "MetaImage"),
        (b"Comment = x\nNDims = 3\n", "MetaImage"),
        (image(nib.MGHImage), "MGH"),
        (bytes(128) + b"DICM" + bytes(20), "DICOM"),
    ],
)
def test_the_first_bytes_tell_and_not_the_name(tmp_path, name, packed, content, expected):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if packed else content)
    assert find_format(path) == expected


@pytest.mark.parametrize("ending", ["img", "img.gz"])
def test_a_pair_is_found_by_either_of_its_files(tmp_path, ending):
    nib.save(nib.Nifti1Pair(DATA, np.eye(4)), tmp_path / f"a.{ending}")
    header = tmp_path / f"a.{ending.replace('img', 'hdr')}"
    assert find_format(header) == find_format(tmp_path / f"a.{ending}") == "NIfTI pair"
    for path in (header, tmp_path / f"a.{ending}"):
        np.testing.assert_array_equal(load_image(path).data, DATA)


def tar():
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    return made.getvalue()


def npz():
    made = io.BytesIO()
    np.savez(made, a=DATA)
    return made.getvalue()


def npy():
    made = io.BytesIO()
    np.save(made, DATA)
    return made.getvalue()


OTHERS = [
    (b"", r"is empty \(0 bytes\)"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "a Git LFS pointer.*git lfs pull"),
    (b"/annex/objects/MD5E-s9--1.nii.gz\n", "a git-annex pointer.*git annex get"),
    (b"<!DOCTYPE html>\n<html><body>login</body></html>", r"a web page \(HTML\)"),
    (b'\n <html lang="en">', r"a web page \(HTML\)"),
    (b'<?xml version="1.0"?><a/>', "an XML file"),
    (b'{"a": 1}', "a JSON file"),
    (b"hello, this is text", "a text file"),
    ("Größe, 大きさ\n".encode() * 900, "a text file"),
    (b"\x89PNG\r\n\x1a\n" + bytes(30), "a PNG picture"),
    (b"\xff\xd8\xff\xe0" + bytes(30), "a JPEG picture"),
    (b"%PDF-1.7\n", "a PDF document"),
    (b"\x89HDF\r\n\x1a\n" + bytes(30), "an HDF5 file"),
    (npy(), "a NumPy array"),
    (npz(), "a NumPy archive"),
    (tar(), "a tar archive"),
    (b"BZh91AY&SY" + bytes(30), "bzip2"),
    ((348).to_bytes(4, "little") + bytes(400), "Analyze 7.5"),
    (bytes(5000), "not a file of a format that is read here"),
    (b"x" * 50 + bytes(range(256)) * 9, "not a file of a format that is read here"),
]


@pytest.mark.parametrize(("content", "words"), OTHERS, ids=[words for _, words in OTHERS])
@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd"])
def test_what_is_no_image_is_called_what_it_is(tmp_path, content, words, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        find_format(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name} is ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "header"), [("a.img", ".hdr"), ("a.img.gz", ".hdr"), ("a.raw", ".mhd or .nhdr")])
def test_bare_values_are_refused_with_the_header_that_is_missing(tmp_path, name, header):
    (tmp_path / name).write_bytes(bytes(5000))
    with pytest.raises(InputError, match=f"bare values: its {header} must lie beside it"):
        find_format(tmp_path / name)


def test_a_zip_archive_is_known(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("a.dcm", b"x")
    assert find_format(tmp_path / "a") == "zip"
    with pytest.raises(InputError, match="is zip, not NIfTI"):
        load_image(tmp_path / "a")


def test_a_gzip_header_may_hold_a_name_but_not_a_book(tmp_path):
    start, end = gzip.compress(image())[:3] + b"\x18" + bytes(6), gzip.compress(image())[10:]
    (tmp_path / "a.nii.gz").write_bytes(start + b"name.nii\0comment\0" + end)
    assert find_format(tmp_path / "a.nii.gz") == "NIfTI"
    (tmp_path / "a.nii.gz").write_bytes(start + b"name.nii\0" + b"x" * (1 << 17) + b"\0" + end)
    with pytest.raises(InputError, match="its gzip header does not end"):
        find_format(tmp_path / "a.nii.gz")


def test_a_compressed_file_that_is_cut_at_once_is_called_so(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(image())[:40])
    with pytest.raises(InputError, match="is damaged or cut short"):
        find_format(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("read", [find_format, load_image])
def test_every_path_that_cannot_be_read_is_refused_with_the_reason(tmp_path, read):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "dangling").symlink_to("nowhere/a.nii.gz")
    (tmp_path / "annexed").symlink_to(".git/annex/objects/a.nii.gz")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    reasons = {
        tmp_path / "gone": "gone: no such file",
        tmp_path / "file" / "a": "no such file",
        tmp_path / "dangling": "is a link to nowhere/a.nii.gz, which does not exist",
        tmp_path / "annexed": "git annex get",
        tmp_path / "loop": "leads back to itself",
        tmp_path / ("x" * 300): "too long for a file",
        tmp_path / "pipe": "a pipe or a socket",
        tmp_path: "is a folder",
        tmp_path / "a\0b": "cannot be read",
    }
    for path, reason in reasons.items():
        with pytest.raises(InputError, match=reason):
            read(path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_an_error_of_the_system_is_one_line(tmp_path, monkeypatch, number):
    (tmp_path / "a.nii").write_bytes(image())

    def denied(path, *options):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr("os.stat", denied)
    with pytest.raises(InputError, match=r"a\.nii (may not be read|cannot be read)"):
        load_image(tmp_path / "a.nii")
