import bz2
import gzip

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval.imaging.readers import read_volume

from .grids import SHAPE, oblique, values

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
NAMES = {
    "u1": "unsigned char",
    "i1": "signed char",
    "i2": "short",
    "u2": "unsigned short",
    "i4": "int",
    "u4": "unsigned int",
    "i8": "long long int",
    "u8": "unsigned long long int",
    "f4": "float",
    "f8": "double",
}
PACK = {"raw": bytes, "gzip": gzip.compress, "bzip2": bz2.compress}


def vector(numbers):
    return "(" + ",".join(f"{n:.12g}" for n in numbers) + ")"


def fields(dtype="i2", sizes=SHAPE, affine=None, **changed):
    """Header of an image in LPS; None leaves a field out."""
    lps = LPS @ (oblique() if affine is None else affine)
    said = {
        "type": NAMES[dtype],
        "dimension": len(sizes),
        "space": "left-posterior-superior",
        "sizes": " ".join(str(n) for n in sizes),
        "space directions": " ".join(vector(lps[:3, i]) for i in range(3)),
        "endian": "little",
        "encoding": "raw",
        "space origin": vector(lps[:3, 3]),
    }
    said |= {name.replace("_", " "): value for name, value in changed.items()}
    return {name: value for name, value in said.items() if value is not None}


def write(path, payload, said, pairs=()):
    lines = ["NRRD0005", "# made for a test", *(f"{name}: {value}" for name, value in said.items())]
    lines += [f"{key}:={value}" for key, value in dict(pairs).items()]
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + payload)
    return path


def bare(data, dtype=None):
    return data.ravel("F").astype(dtype or data.dtype).tobytes()


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("dtype", NAMES)
def test_values_type_and_grid_are_those_of_the_file(tmp_path, dtype, encoding):
    payload = PACK[encoding](bare(values(dtype)))
    volume = read_volume(write(tmp_path / "a.nrrd", payload, fields(dtype, encoding=encoding)))
    np.testing.assert_array_equal(volume.data, values(dtype))
    assert volume.data.dtype == np.dtype(dtype)
    np.testing.assert_allclose(volume.frame.affine, oblique(), atol=1e-9)
    assert (volume.format, dict(volume.names)) == ("NRRD", {})


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr"])
def test_what_itk_writes_is_read(tmp_path, name, compressed):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK comes with the extra dicom")
    lps = LPS @ oblique()
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.transpose(values("i2")))
    image.SetOrigin(lps[:3, 3])
    image.SetSpacing(spacing)
    image.SetDirection((lps[:3, :3] / spacing).ravel())
    sitk.WriteImage(image, str(tmp_path / name), compressed)
    volume = read_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.data, values("i2"))
    np.testing.assert_allclose(volume.frame.affine, oblique(), atol=1e-9)


def test_what_ants_writes_is_read_as_ants_reads_it(tmp_path):
    import ants

    image = ants.from_numpy(values("f4"), origin=(1, 2, 3), spacing=(1, 2, 3))
    ants.image_write(image, str(tmp_path / "a.nrrd"))
    volume = read_volume(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(volume.data, ants.image_read(str(tmp_path / "a.nrrd")).numpy())
    np.testing.assert_allclose(volume.frame.affine, [[-1, 0, 0, -1], [0, -2, 0, -2], [0, 0, 3, 3], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("space", "signs"),
    [("RAS", (1, 1, 1)), ("right-anterior-superior", (1, 1, 1)), ("LAS", (-1, 1, 1)), ("LPS", (-1, -1, 1))],
)
def test_the_space_says_where_right_and_front_are(tmp_path, space, signs):
    said = fields(space=space, space_directions="(1,0,0) (0,2,0) (0,0,3)", space_origin="(10,20,30)")
    affine = read_volume(write(tmp_path / "a.nrrd", bare(values("i2")), said)).frame.affine
    np.testing.assert_array_equal(affine[:3, 3], np.array(signs) * (10, 20, 30))
    np.testing.assert_array_equal(affine[:3, :3], np.diag(np.array(signs) * (1, 2, 3)))


def test_big_endian_values(tmp_path):
    path = write(tmp_path / "a.nrrd", bare(values("i2"), ">i2"), fields(endian="big"))
    np.testing.assert_array_equal(read_volume(path).data, values("i2"))


def test_values_written_as_text(tmp_path):
    text = "\n".join(str(v) for v in values("i2").ravel("F")).encode()
    path = write(tmp_path / "a.nrrd", text, fields(encoding="ascii", endian=None))
    np.testing.assert_array_equal(read_volume(path).data, values("i2"))
    with pytest.raises(InputError, match=r"no uint8"):
        read_volume(write(tmp_path / "a.nrrd", text, fields("u1", encoding="ascii")))


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("key", ["data file", "datafile"])
def test_values_beside_the_header(tmp_path, encoding, key):
    (tmp_path / "a.bin").write_bytes(PACK[encoding](bare(values("i2"))))
    path = write(tmp_path / "a.nhdr", b"", fields(encoding=encoding) | {key: "a.bin"})
    np.testing.assert_array_equal(read_volume(path).data, values("i2"))


@pytest.mark.parametrize(
    "skip", [{"line skip": 1}, {"byte skip": 7}, {"byte skip": -1}, {"lineskip": 1, "byteskip": 0}]
)
def test_a_foreign_header_before_the_values_is_skipped(tmp_path, skip):
    path = write(tmp_path / "a.nrrd", b"foreign\n"[: 7 if skip.get("byte skip") == 7 else 8], fields() | skip)
    path.write_bytes(path.read_bytes() + bare(values("i2")))
    np.testing.assert_array_equal(read_volume(path).data, values("i2"))


@pytest.mark.parametrize("axis", [0, 3])
def test_an_axis_of_channels_comes_last(tmp_path, axis):
    data = values("u1", (*SHAPE, 3))
    stored = np.moveaxis(data, 3, axis)
    directions = fields()["space directions"]
    said = fields(
        "u1", stored.shape, space_directions=f"none {directions}" if axis == 0 else f"{directions} none", kinds="list"
    )
    volume = read_volume(write(tmp_path / "a.nrrd", bare(stored), said))
    np.testing.assert_array_equal(volume.data, data)
    np.testing.assert_allclose(volume.frame.affine, oblique(), atol=1e-9)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (fields(space=None), "does not say its space"),
        (fields(space="scanner-xyz"), "is in the space 'scanner-xyz'"),
        (fields(space_directions=None, spacings="1 1 1"), "no 'space directions'"),
        (fields(space_origin=None), "no 'space origin'"),
        (fields(space_directions="(1,0,0) (0,1,0) none"), "not three axes of space"),
        (fields(space_directions="(1,0,0) (0,1,0) (0,1,0)"), "cannot be"),
        (fields(space_directions="(1,0,0) (0,1,0) (0,0,nan)"), "cannot be"),
        (fields(space_directions="(1,0) (0,1) (0,0)"), "'space directions' is"),
        (fields(sizes=(9, 8, 8)), "is cut short: it holds 1,008 of 1,152"),
        (fields(sizes=(90000, 80000, 70000)), "at most"),
        (fields(sizes=(9, 8, -7)), "impossible shape"),
        (fields(dimension=4), "'dimension' is '4'"),
        (fields(sizes=(9, 8)), "not three axes of space"),
        (fields(endian=None), "order of its bytes"),
        (fields(encoding="hex"), "encoded as 'hex'"),
        (fields(encoding="gzip"), "damaged or cut short"),
        (fields(encoding="bzip2"), "damaged or cut short"),
        (fields(type="block"), "type 'block'"),
        (fields(type=None), "lacks the field 'type'"),
        (fields() | {"sizes": "9 8 x"}, "'sizes' is '9 8 x'"),
        (fields(data_file="LIST"), "several files"),
        (fields(data_file="a%03d.raw 1 7 1"), "several files"),
        (fields(data_file="../a.raw"), "put that file beside the header"),
        (fields(byte_skip=-2), "begin after -2 bytes"),
        (fields(byte_skip=10**12), "begin after 1,000,000,000,000 bytes"),
        (fields(line_skip=10**9), "'line skip' is"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_header_that_cannot_be_followed_is_refused_by_what_is_wrong(tmp_path, said, words):
    with pytest.raises(InputError, match=words) as caught:
        read_volume(write(tmp_path / "a.nrrd", bare(values("i2")), said))
    assert str(tmp_path / "a.nrrd") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", PACK)
def test_attached_values_that_go_on_after_what_the_header_names_are_refused(tmp_path, encoding):
    payload = bare(values("i2"))
    fewer = (*SHAPE[:2], SHAPE[2] - 1)
    path = write(tmp_path / "x.nrrd", PACK[encoding](payload), fields(sizes=fewer, encoding=encoding))
    with pytest.raises(InputError, match="goes on after"):
        read_volume(path)


def test_a_line_break_after_the_values_is_allowed(tmp_path):
    path = write(tmp_path / "x.nrrd", bare(values("i2")) + b"\n", fields())
    np.testing.assert_array_equal(read_volume(path).data, values("i2"))
