"""Files that were damaged or made to do harm: each is read or refused in one line, soon, and in little memory."""

import bz2
import gzip
import os
import subprocess
import sys
import zlib

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gliodex.errors import InputError
from gliodex.retrieval.imaging.readers import Volume, read_volume

from .dicom_writer import write_segmentation, write_series
from .grids import oblique, values
from .test_nifti_volume import save
from .test_nrrd import bare, fields, write

META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = {packed}\n"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 1\nDimSize = {size}\n"
    "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)


def small_files(folder):
    """One small file of every format, by its name."""
    data = values("i2", (6, 5, 4))
    save(folder / "a.nii", data, oblique())
    save(folder / "a.nii.gz", data, oblique())
    save(folder / "two.nii", data, oblique(), nib.Nifti2Image)
    scaled = nib.Nifti1Image(data.astype(np.float32), oblique())
    scaled.header.set_slope_inter(2, 1)
    nib.save(scaled, folder / "scaled.nii")
    save(folder / "channels.nii", np.zeros((12, 12, 12, 3), np.uint8), np.diag([5.0, 5, 5, 1]))
    nib.save(nib.MGHImage(data, oblique()), folder / "a.mgh")
    write(folder / "a.nrrd", bare(data), fields("i2", data.shape))
    write(folder / "z.nrrd", gzip.compress(bare(data)), fields("i2", data.shape, encoding="gzip"))
    (folder / "a.mha").write_bytes(META.format(packed=False, size="6 5 4").encode() + bare(data))
    (folder / "z.mha").write_bytes(META.format(packed=True, size="6 5 4").encode() + zlib.compress(bare(data)))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


TOKENS = [
    b"\0",
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"-1",
    b"9" * 40,
    b"nan",
    b"1e400",
    b"(",
    b"\n",
    b": ",
    b" = ",
    b"%d",
]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "write", "insert", "remove", "cut"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 7),
        st.sampled_from(TOKENS),
    ),
    min_size=1,
    max_size=6,
)


def edited(content, edits):
    content = bytearray(content)
    for kind, where, bit, token in edits:
        if not content:
            break
        # most places in the header, which is short in every format
        at = int(where**2 * len(content))
        if kind == "flip":
            content[at] ^= 1 << bit
        elif kind == "cut":
            del content[at:]
        else:
            content[at : at + (0 if kind == "insert" else len(token))] = b"" if kind == "remove" else token
    return bytes(content)


def read_or_refused(path):
    """Whether a path was read as a volume, or refused in one line that names it."""
    try:
        volume = read_volume(path)
    except InputError as error:
        return "\n" not in str(error) and str(path) in str(error)
    return isinstance(volume, Volume) and volume.data.shape[:3] == volume.frame.shape


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return small_files(tmp_path_factory.mktemp("small"))


@given(st.data(), EDITS, st.booleans())
@settings(max_examples=250, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_are_read_or_refused(files, tmp_path, data, edits, packed):
    name = data.draw(st.sampled_from(sorted(files)))
    content = edited(files[name], edits)
    (tmp_path / name).write_bytes(gzip.compress(content, 1) if packed else content)
    assert read_or_refused(tmp_path / name)


@given(st.binary(max_size=600), st.sampled_from([b"", b"NRRD0004\n", b"NDims = 3\n", b"PK\x03\x04", b"\x1f\x8b\x08"]))
@settings(max_examples=100, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused(tmp_path, content, start):
    (tmp_path / "a").write_bytes(start + content)
    assert read_or_refused(tmp_path / "a")


@given(EDITS, st.booleans())
@settings(max_examples=25, deadline=20000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_dicom_is_read_or_refused(tmp_path_factory, edits, segmentation):
    pytest.importorskip("highdicom", reason="the extra dicom is not installed")
    folder = tmp_path_factory.mktemp("dicom")
    if segmentation:
        write_segmentation(folder / "a.dcm", np.ones((4, 4, 3, 1), bool), oblique(), ["Tumour"])
    else:
        write_series(folder, values("i2", (4, 4, 3)), oblique())
    path = sorted(folder.iterdir())[0]
    path.write_bytes(edited(path.read_bytes(), edits))
    assert read_or_refused(folder)


MANY = 3 << 30
"""Bytes that a bomb unpacks to."""


def zeros(window):
    """Deflate 3 GB of zeros: a piece after a full flush is the same every time."""
    compressor, piece = zlib.compressobj(9, zlib.DEFLATED, window), bytes(1 << 22)
    first, again = (compressor.compress(piece) + compressor.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (MANY >> 22)


def nifti_header(size):
    header = nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), oblique()).header
    header.set_sform(oblique(), 1)
    header["dim"][1:4] = size
    header["vox_offset"] = 352
    return header.binaryblock + bytes(4)


def mgh_header(size):
    block = bytearray(nib.MGHImage(np.zeros((2, 2, 2), np.int16), oblique()).to_bytes()[:284])
    block[4:16] = np.array(size, ">i4").tobytes()
    return bytes(block)


def bombs(folder, size):
    """Short files that unpack to 3 GB, by what their headers promise."""
    said = fields("i2", size)
    gzipped = zeros(31)
    (folder / "bomb.nii.gz").write_bytes(gzip.compress(nifti_header(size)) + gzipped)
    (folder / "bomb.mgz").write_bytes(gzip.compress(mgh_header(size)) + gzipped)
    write(folder / "bomb.nrrd", gzipped, said | {"encoding": "gzip"})
    write(folder / "bz.nrrd", bz2.compress(bytes(1 << 22)) * (MANY >> 22), said | {"encoding": "bzip2"})
    text = META.format(packed=True, size=" ".join(map(str, size))).encode()
    (folder / "bomb.mha").write_bytes(text + zeros(15))
    return sorted(folder.iterdir())


LIMITED = """
import resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (5 << 29, 5 << 29))
from gliodex.errors import InputError
from gliodex.retrieval.imaging.readers import read_volume
for path in sys.argv[1:]:
    began = time.monotonic()
    try:
        read_volume(path)
        print("read", path)
    except InputError as error:
        print("refused" if time.monotonic() - began < 10 else "late", error)
"""


@pytest.mark.parametrize("size", [(9, 8, 7), (30000, 30000, 3)], ids=["small", "too large"])
def test_bombs_are_refused_soon_and_in_little_memory(tmp_path, size):
    paths = bombs(tmp_path, size)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, paths)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["refused"] * len(paths)
    expected = "goes on" if size == (9, 8, 7) else "at most"
    assert all(expected in line for line in lines)
