import subprocess

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval.imaging.readers import read_volume

from .dicom_writer import LPS, write_enhanced, write_series
from .grids import at_world, oblique

pytest.importorskip("pydicom", reason="the extra dicom is not installed")
pytest.importorskip("dcm2niix", reason="the extra dicom is not installed")

SHAPE = (12, 10, 8)
AXIAL = np.diag([-1.0, -1.2, 3.0, 1.0])
SAGITTAL = np.array([[0, 0, 1.5, -6], [-1.0, 0, 0, 20], [0, -0.9, 0, 30], [0, 0, 0, 1]])
CORONAL = np.array([[-1.0, 0, 0, 5], [0, 0, 2.0, -8], [0, -1.1, 0, 9], [0, 0, 0, 1]])


def numbers(dtype=np.int16, shape=SHAPE):
    return np.random.default_rng(0).integers(0 if np.dtype(dtype).kind == "u" else -60, 900, shape).astype(dtype)


def check(volume, data=None, affine=None):
    data = numbers() if data is None else data
    found, off = at_world(volume, data, oblique() if affine is None else affine)
    np.testing.assert_allclose(found, data)
    assert off < 1e-3
    assert volume.format == "DICOM series"


@pytest.mark.parametrize(
    "affine", [oblique(), AXIAL, SAGITTAL, CORONAL, LPS @ oblique((80, 5, -100))], ids=["oblique", "a", "s", "c", "far"]
)
def test_slices_with_shuffled_names_are_put_in_order_by_their_positions(tmp_path, affine):
    write_series(tmp_path / "t1", numbers(), affine)
    check(read_volume(tmp_path / "t1"), affine=affine)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_signed_and_unsigned_values(tmp_path, dtype):
    write_series(tmp_path / "t1", numbers(dtype), oblique())
    check(read_volume(tmp_path / "t1"), numbers(dtype))


def test_slices_that_run_backwards(tmp_path):
    affine = oblique() @ np.diag([1.0, 1, -1, 1])
    write_series(tmp_path / "t1", numbers(), affine)
    check(read_volume(tmp_path / "t1"), affine=affine)


def test_one_file_stands_for_its_series_among_others(tmp_path):
    write_series(tmp_path, numbers(), oblique(), names=[f"a{k}" for k in range(8)])
    write_series(tmp_path, numbers()[::-1], oblique(), series="1.2.5", names=[f"b{k}" for k in range(8)])
    volume = read_volume(tmp_path / "b3")
    check(volume, numbers()[::-1])
    assert volume.path == tmp_path / "b3"


def test_several_series_are_refused_and_listed(tmp_path):
    write_series(tmp_path / "a", numbers(), oblique(), description="t1 mprage")
    write_series(tmp_path / "b", numbers()[..., :5], oblique(), description="FLAIR", series="1.2.5")
    with pytest.raises(InputError, match=r"holds 2 DICOM series: 't1 mprage' \(MR, 8 files\), 'FLAIR' \(MR, 5 files\)"):
        read_volume(tmp_path)


def as_localizer(image, k):
    image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    image.ImageOrientationPatient = [[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1]][k]


def test_a_localizer_beside_the_series_is_passed_over(tmp_path):
    write_series(tmp_path / "loc", numbers()[..., :3], oblique(), series="1.2.5", change=as_localizer)
    write_series(tmp_path / "t1", numbers(), oblique())
    check(read_volume(tmp_path))
    with pytest.raises(InputError, match="slices in several directions, as a localiser has"):
        read_volume(tmp_path / "loc")


def test_other_files_copies_and_objects_without_pixels_do_no_harm(tmp_path):
    write_series(tmp_path / "t1", numbers(), oblique())
    write_series(tmp_path / "copy", numbers(), oblique())
    (tmp_path / "notes.txt").write_text("seen by nobody")
    (tmp_path / ".DS_Store").write_bytes(b"\0" * 100)

    def as_contours(image, k):
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
        del image.Rows, image.PixelData

    write_series(tmp_path / "rt", numbers()[..., :1], oblique(), series="1.2.5", change=as_contours)
    check(read_volume(tmp_path))
    with pytest.raises(InputError, match="is an RTSTRUCT"):
        read_volume(tmp_path / "rt" / "IM0000")
    with pytest.raises(InputError, match="holds only an RTSTRUCT"):
        read_volume(tmp_path / "rt")


@pytest.mark.parametrize(
    ("lost", "words"),
    [([3], "lacks 1 slices there: after slice 3 of 7"), ([3, 4], "lacks 2 slices there"), ([1, 5], "lacks 1 slices")],
)
def test_missing_slices_are_refused_with_where(tmp_path, lost, words):
    write_series(tmp_path / "t1", numbers(), oblique(), names=[f"{k}" for k in range(8)])
    for k in lost:
        (tmp_path / "t1" / f"{k}").unlink()
    with pytest.raises(InputError, match=words):
        read_volume(tmp_path / "t1")


def moved(by, index=4, axis=None):
    def change(image, k):
        if k == index:
            direction = oblique()[:3, 2] / 2.5 if axis is None else oblique()[:3, axis]
            image.ImagePositionPatient = list(np.array(image.ImagePositionPatient) + by * (LPS[:3, :3] @ direction))

    return change


def other_size(image, k):
    if k == 2:
        image.Rows, image.Columns = image.Columns, image.Rows


def changing(name, value, index=2):
    def change(image, k):
        if index in (None, k):
            setattr(image, name, value)

    return change


def tilted(image, k):
    image.ImagePositionPatient = [v + d for v, d in zip(image.ImagePositionPatient, (0, 0.3 * k, 0), strict=True)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (moved(0.4), "has unevenly spaced slices: after slice 4"),
        (moved(0.5, axis=0), "shifted against each other by 0.4"),
        (tilted, "gantry tilted by"),
        (other_size, "slices of different sizes"),
        (changing("PixelSpacing", [1.5, 1.5]), "pixels of several sizes"),
        (changing("PixelSpacing", [0, 0], None), "no positions or sizes"),
        (changing("ImageOrientationPatient", [1, 0, 0, 1, 0, 0], None), "no right angle"),
        (changing("ImageOrientationPatient", [1, 0, 0, 0, 1, 0]), "several directions"),
        (changing("ImagePositionPatient", None), "does not say where its slices lie"),
        (changing("ImageType", ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), "a mosaic"),
        (moved(-2.5), "holds 8 images at 7 positions"),
        (changing("SamplesPerPixel", 3, None), "a colour picture"),
        (changing("NumberOfFrames", 10**6, None), "is cut short"),
        (changing("Rows", 60000, None), "is cut short"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_makes_no_grid_is_refused_by_what_is_wrong(tmp_path, change, words):
    write_series(tmp_path / "t1", numbers(), oblique(), change=change)
    with pytest.raises(InputError, match=words) as caught:
        read_volume(tmp_path / "t1")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_echoes_in_one_series_are_refused(tmp_path):
    write_series(tmp_path / "a", numbers(), oblique())
    write_series(
        tmp_path / "b", numbers(), oblique(), change=lambda image, k: image.update({"SOPInstanceUID": f"9.{k}"})
    )
    with pytest.raises(InputError, match="holds 16 images at 8 positions"):
        read_volume(tmp_path)


def test_slices_that_an_anonymiser_gave_one_uid_are_all_kept(tmp_path):
    write_series(tmp_path / "t1", numbers(), oblique(), change=changing("SOPInstanceUID", "1.2.3", None))
    check(read_volume(tmp_path / "t1"))


def test_one_slice_is_no_volume(tmp_path):
    write_series(tmp_path / "t1", numbers()[..., :1], oblique())
    with pytest.raises(InputError, match="holds a single slice"):
        read_volume(tmp_path / "t1")


def test_scaled_values_are_those_they_stand_for(tmp_path):
    def scaled(image, k):
        image.RescaleSlope, image.RescaleIntercept = "0.5", "-100"

    write_series(tmp_path / "t1", numbers(), oblique(), change=scaled)
    check(read_volume(tmp_path / "t1"), numbers() * 0.5 - 100)


def test_slices_scaled_differently_are_right_as_floats(tmp_path):
    factors = np.linspace(0.5, 2, 8)

    def scaled(image, k):
        image.RescaleSlope, image.RescaleIntercept = f"{factors[k]:.12g}", "0"
        image.Modality, image.file_meta.MediaStorageSOPClassUID = "PT", "1.2.840.10008.5.1.4.1.1.128"
        image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.128"

    write_series(tmp_path / "pet", np.abs(numbers()), oblique(), change=scaled)
    found, _ = at_world(read_volume(tmp_path / "pet"), numbers(), oblique())
    np.testing.assert_allclose(found, np.abs(numbers()) * factors, rtol=2e-3, atol=0.1)


def compressed(image, k):
    from pydicom.uid import RLELossless

    image.compress(RLELossless, generate_instance_uid=False)


def test_compressed_slices(tmp_path):
    write_series(tmp_path / "t1", numbers(), oblique(), change=compressed)
    check(read_volume(tmp_path / "t1"))


@pytest.mark.parametrize("change", [None, compressed], ids=["plain", "compressed"])
def test_a_slice_that_is_cut_is_refused_though_it_is_the_last(tmp_path, change):
    write_series(tmp_path / "t1", numbers(), oblique(), names=[f"{k}" for k in range(8)], change=change)
    last = tmp_path / "t1" / "7"
    for length in (len(last.read_bytes()) - 3, 700, 0):
        last.write_bytes(last.read_bytes()[:length])
        with pytest.raises(InputError, match=r"7 is (cut short|empty|a damaged DICOM)"):
            read_volume(tmp_path / "t1")


def test_a_pointer_in_the_place_of_a_slice_is_not_passed_over(tmp_path):
    write_series(tmp_path / "t1", numbers(), oblique(), names=[f"{k}.x" for k in range(8)])
    (tmp_path / "t1" / "7.x").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match="Git LFS pointer"):
        read_volume(tmp_path / "t1")


@pytest.mark.parametrize("meta", [True, False], ids=["with meta", "bare"])
def test_files_without_a_preamble(tmp_path, meta):
    write_series(tmp_path / "t1", numbers(), oblique())
    for file in (tmp_path / "t1").iterdir():
        content = file.read_bytes()
        file.write_bytes(content[132 if meta else content.index(b"\x08\x00\x08\x00CS") :])
    check(read_volume(tmp_path / "t1"))


@pytest.mark.parametrize("index", [True, False], ids=["indexed", "index as stored"])
def test_frames_of_one_file_are_put_in_order_by_their_positions(tmp_path, index):
    pytest.importorskip("highdicom", reason="the extra dicom is not installed")
    write_enhanced(tmp_path / "a.dcm", numbers(), oblique(), [0, 5, 2, 6, 4, 1, 3, 7], index=index)
    for path in (tmp_path / "a.dcm", tmp_path):
        volume = read_volume(path)
        check(volume)
        assert volume.path == path


def test_frames_that_are_missing_are_refused(tmp_path):
    write_enhanced(tmp_path / "a.dcm", numbers(), oblique(), [0, 1, 2, 4, 5, 6, 7])
    with pytest.raises(InputError, match="lacks 1 slices there: after slice 3 of 7"):
        read_volume(tmp_path / "a.dcm")


def test_several_files_of_many_frames_are_refused(tmp_path):
    pytest.importorskip("highdicom", reason="the extra dicom is not installed")
    write_enhanced(tmp_path / "a.dcm", numbers(), oblique(), range(4))
    write_enhanced(tmp_path / "b.dcm", numbers(), oblique(), range(4, 8))
    with pytest.raises(InputError, match="consists of 2 files with many frames"):
        read_volume(tmp_path)
    write_enhanced(tmp_path / "b.dcm", numbers(), oblique(), range(4))
    assert read_volume(tmp_path / "b.dcm").frame.shape.count(4) == 1


def test_simpleitk_reads_what_dcm2niix_does_not(tmp_path, monkeypatch):
    pytest.importorskip("SimpleITK", reason="the extra dicom is not installed")
    write_series(tmp_path / "t1", numbers(), oblique())
    monkeypatch.setattr("dcm2niix.bin", "/bin/false")
    volume = read_volume(tmp_path / "t1")
    check(volume)
    assert volume.data.dtype == np.float32


def test_a_converter_that_puts_the_slices_elsewhere_is_not_believed(tmp_path, monkeypatch):
    from gliodex.retrieval.imaging.readers import dicom_series

    write_series(tmp_path / "t1", numbers(), oblique())
    write_series(tmp_path / "other", numbers(), AXIAL)
    run = subprocess.run

    def elsewhere(command, **options):
        return run([*command[:-1], str(tmp_path / "other")], **options)

    monkeypatch.setattr(dicom_series.subprocess, "run", elsewhere)
    with pytest.raises(InputError, match="cannot be converted"):
        read_volume(tmp_path / "t1")


def test_a_converter_without_an_end_is_stopped(tmp_path, monkeypatch):
    from gliodex.retrieval.imaging.readers import dicom_series

    write_series(tmp_path / "t1", numbers(), oblique())
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr("dcm2niix.bin", str(sleeper))
    monkeypatch.setattr(dicom_series, "_TIMEOUT_S", 0.2)
    monkeypatch.setattr("sys.executable", str(sleeper))
    with pytest.raises(InputError, match="dcm2niix: no end after 0 s; SimpleITK: no end"):
        read_volume(tmp_path / "t1")


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    write_series(tmp_path / "t1", numbers(), oblique())
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(
        InputError, match=r"t1/IM0000 is DICOM, which needs the extra dicom: pip install 'gliodex\[dicom\]'"
    ):
        read_volume(tmp_path / "t1")


def test_a_folder_without_dicom_is_refused_with_what_it_holds(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is a folder without DICOM files"):
        read_volume(tmp_path / "empty")
    (tmp_path / "empty" / "x.nrrd").write_bytes(b"NRRD0005\n")
    with pytest.raises(InputError, match=r"give one image file of it, such as x\.nrrd"):
        read_volume(tmp_path / "empty")


def test_broken_links_matter_where_they_could_be_slices(tmp_path):
    write_series(tmp_path / "t1", numbers(), oblique())
    (tmp_path / "t1" / "loop.txt").symlink_to("loop.txt")
    (tmp_path / "t1" / "up").symlink_to("..")
    check(read_volume(tmp_path / "t1"))
    (tmp_path / "t1" / "IM0099").symlink_to("IM0099")
    with pytest.raises(InputError, match="IM0099 is a link that leads back to itself"):
        read_volume(tmp_path / "t1")
