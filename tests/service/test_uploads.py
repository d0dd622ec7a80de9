import gzip
import io
import tracemalloc

import nibabel as nib
import numpy as np
import pytest

from gliodex.service.problems import RefusedError
from gliodex.service.settings import Limits
from gliodex.service.uploads import save_upload, suffix_of

LIMITS = Limits(unpacked_bytes=1 << 22, voxels=1 << 18)
IMAGE = nib.Nifti1Image(np.arange(1000, dtype=np.int16).reshape(10, 10, 10), np.eye(4)).to_bytes()


def swapped():
    image = nib.Nifti1Image(np.zeros((5, 5, 5), np.int16), np.eye(4))
    return image.header.as_byteswapped().binaryblock + bytes(4 + 250)


@pytest.mark.parametrize(
    "content",
    [IMAGE, gzip.compress(IMAGE), nib.Nifti2Image(np.zeros((5, 5, 5), np.int16), np.eye(4)).to_bytes(), swapped()],
    ids=["plain", "gz", "second", "swapped"],
)
def test_images_are_taken_as_they_are(tmp_path, content):
    save_upload(io.BytesIO(content), "segmentation", tmp_path / "file", LIMITS)
    assert (tmp_path / "file").read_bytes() == content
    assert suffix_of(content) == (".nii.gz" if content[:2] == b"\x1f\x8b" else ".nii")


def large_header(shape):
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.uint8)
    return header.binaryblock


@pytest.mark.parametrize(
    ("content", "status", "said"),
    [
        (b"", 422, "is no NIfTI image"),
        (b"\x89PNG and so on" * 100, 422, "is no NIfTI image"),
        (IMAGE[:100], 422, "is no NIfTI image"),
        (gzip.compress(b"text"), 422, "is no NIfTI image"),
        (gzip.compress(IMAGE)[:-9], 422, "is damaged or cut short"),
        (gzip.compress(IMAGE)[:-8] + bytes(8), 422, "is damaged or cut short"),
        (b"\x1f\x8bnonsense", 422, "is damaged or cut short"),
        (large_header((2000, 2000, 2000)), 413, "8,000,000,000 voxels"),
        (gzip.compress(IMAGE + bytes(1 << 23)), 413, "unpacks to more than 4 MiB"),
    ],
    ids=["nothing", "png", "short", "gz of text", "cut", "sum", "no gz", "header", "bomb"],
)
def test_what_cannot_be_read_safely_is_refused(tmp_path, content, status, said):
    with pytest.raises(RefusedError) as caught:
        save_upload(io.BytesIO(content), "t1", tmp_path / "file", LIMITS)
    problem = caught.value.problem
    assert (problem.status, problem.field) == (status, "t1")
    assert problem.detail.startswith("t1 ")
    assert said in problem.detail
    assert str(tmp_path) not in problem.detail


def test_a_bomb_is_never_held_in_memory(tmp_path):
    bomb = gzip.compress(IMAGE + bytes(1 << 20)) + gzip.compress(bytes(1 << 28))
    limits = Limits(unpacked_bytes=1 << 27)
    tracemalloc.start()
    try:
        with pytest.raises(RefusedError):
            save_upload(io.BytesIO(bomb), "t1", tmp_path / "file", limits)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()
