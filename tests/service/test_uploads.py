import gzip
import io
import json
import os
import signal
import tempfile
import time
import zlib
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("fastapi", reason="pip install 'gliodex[serve]'")

from gliodex.service.problems import RefusedError
from gliodex.service.reading import Reading
from gliodex.service.reading_process import read_sent
from gliodex.service.settings import Limits
from gliodex.service.uploads import save_upload

from ..retrieval.imaging.readers.test_hostile_files import EDITS, edited, small_files
from . import sent_files as sent

needs_dicom = pytest.mark.skipif(
    not all(map(find_spec, ("pydicom", "highdicom"))), reason="the extra dicom is not installed"
)


def read(folder, options=None, limits=Limits(), preview=True, **files):  # noqa: B008 - it is frozen
    for field, content in files.items():
        save_upload(io.BytesIO(content), field, folder)
    return read_sent(options or {}, list(files), folder, limits, preview=preview)


def refusal(folder, field="seg", **given):
    with pytest.raises(RefusedError) as caught:
        read(folder, **given)
    problem = caught.value.problem
    assert problem.field == field
    assert "\n" not in problem.detail
    assert str(folder) not in json.dumps(problem.as_record())
    assert f".{field}" not in problem.detail
    return problem


@pytest.mark.parametrize(
    ("content", "stored", "called"),
    [
        (lambda _: sent.nifti(sent.LABELS), "seg.nii", "NIfTI"),
        (lambda _: gzip.compress(sent.nifti(sent.LABELS)), "seg.nii.gz", "NIfTI"),
        (lambda _: sent.nifti(sent.LABELS, kind=nib.Nifti2Image), "seg.nii", "NIfTI"),
        (sent.slicer, "seg.nrrd", "NRRD"),
        (lambda _: sent.metaimage(sent.LABELS), "seg.mha", "MetaImage"),
        (lambda _: sent.nifti(sent.LABELS, kind=nib.MGHImage), "seg.mgh", "MGH"),
        (lambda _: gzip.compress(sent.nifti(sent.LABELS, kind=nib.MGHImage)), "seg.mgz", "MGH"),
        pytest.param(sent.dicom_segmentation, "seg.dcm", "DICOM-SEG", marks=needs_dicom),
        pytest.param(
            lambda f: sent.zipped({"a": sent.dicom_segmentation(f)}),
            "seg.zip",
            "DICOM-SEG (zip)",
            marks=needs_dicom,
        ),
    ],
    ids=["nii", "nii.gz", "nifti-2", "seg.nrrd", "mha", "mgh", "mgz", "dicom-seg", "zip"],
)
def test_a_segmentation_of_every_format_is_read_alike(tmp_path, content, stored, called):
    folder = tmp_path / "sent"
    folder.mkdir()
    (tmp_path / "made").mkdir()
    found = read(folder, seg=content(tmp_path / "made"))
    told = found["preview"]
    assert found["files"] == {"seg": stored}
    assert [path.name for path in folder.iterdir()] == [stored]
    assert told["format"] == called
    voxel_ml = 1.5**3 / 1000
    assert told["volumes_ml"]["core"] == pytest.approx(np.isin(sent.LABELS, (1, 4)).sum() * voxel_ml, abs=0.01)
    assert told["volumes_ml"]["whole"] == pytest.approx((sent.LABELS > 0).sum() * voxel_ml, abs=0.01)
    assert told["spacing_mm"] == [1.5, 1.5, 1.5]


def test_what_slicer_calls_its_segments_decides(tmp_path):
    swapped = np.array([0, 4, 1, 0, 2], np.uint8)[sent.LABELS]  # the names stay with the numbers: edema is 2
    told = read(tmp_path, seg=sent.slicer(tmp_path, swapped))["preview"]
    assert (told["core_labels"], told["whole_labels"]) == ([1, 4], [1, 2, 4])
    assert told["names"] == {"1": "Necrosis", "2": "Edema", "4": "enhancing tumor"}
    assert told["meanings"]["2"] == "oedema"
    assert told["reading"].startswith("named by the file")


def test_labels_are_read_by_a_convention_and_said_so(tmp_path):
    told = read(tmp_path, seg=sent.nifti(sent.LABELS))["preview"]
    assert (told["convention"], told["meanings"]["4"]) == ("brats", "enhancing tumor")
    assert "core 1+4" in told["summary"][0]
    assert "doi" in told["source"]


def test_labels_that_can_be_read_in_two_ways_are_asked_about(tmp_path):
    problem = refusal(tmp_path, "labels", seg=sent.nifti(sent.side_by_side()))
    assert problem.status == 422
    assert "brats (core 1 " in problem.detail
    assert "hd-glio (core 2 " in problem.detail
    assert "labels=brats or labels=hd-glio, or with core_labels and whole_labels" in problem.detail


def test_they_are_taken_as_said_or_told_apart_by_a_t1c(tmp_path):
    content = sent.nifti(sent.side_by_side())
    for name, options, more in (
        ("said", {"labels": "hd-glio"}, {}),
        ("bright", {}, {"t1c": sent.bright_two()}),
    ):
        (tmp_path / name).mkdir()
        told = read(tmp_path / name, options, seg=content, **more)["preview"]
        assert (told["convention"], told["core_labels"]) == ("hd-glio", [2]), name


@pytest.mark.parametrize(
    ("sent_as", "convention", "stored"),
    [
        ("seg.nii", "brats", "seg.nii"),
        ("BraTS2021_00006_seg.nii.gz", "brats", "BraTS2021_00000.seg.nii"),
        ("C:\\data\\BraTS-GLI-00631-101-seg.nii.gz", "brats-2024", "BraTS-GLI-00000.seg.nii"),
    ],
)
def test_the_data_set_in_a_name_tells_what_labels_mean(tmp_path, sent_as, convention, stored):
    cavity = sent.relabelled(sent.nested_tumor(), n=4, t=1, e=2)  # a resection cavity, or enhancing tumour before 2021
    save_upload(io.BytesIO(sent.nifti(cavity)), "seg", tmp_path, sent_as)
    found = read_sent({}, ["seg"], tmp_path, Limits(), preview=True)
    assert found["files"] == {"seg": stored}
    assert found["preview"]["convention"] == convention
    assert "00006" not in json.dumps(found)


def test_one_label_alone_asks_for_the_core(tmp_path):
    problem = refusal(tmp_path, "core_labels", seg=sent.nifti((sent.LABELS > 0).astype(np.uint8)))
    assert "say core_labels=none" in problem.detail


def test_a_convention_that_nobody_knows(tmp_path):
    problem = refusal(tmp_path, "labels", options={"labels": "mine"}, seg=sent.nifti(sent.LABELS))
    assert "knows no convention `mine`" in problem.detail


@needs_dicom
def test_a_dicom_series_as_an_archive(tmp_path):
    (tmp_path / "sent").mkdir()
    content = sent.zipped(sent.series(tmp_path, sent.LABELS * 100))
    found = read(tmp_path / "sent", seg=sent.nifti(sent.LABELS), t1=content)
    assert found["files"]["t1"] == "t1.zip"


@needs_dicom
def test_a_slice_does_not_stand_for_what_lies_beside_it(tmp_path):
    one, two, *_ = sent.series(tmp_path, sent.LABELS * 100).values()
    (tmp_path / "sent").mkdir()
    problem = refusal(tmp_path / "sent", "t1", seg=sent.nifti(sent.LABELS), t1=one, t1c=two)
    assert "single slice" in problem.detail
    assert "give the folder" in problem.remedy


def test_the_world_is_turned_as_it_is_said(tmp_path):
    files = {"seg": sent.nifti(sent.LABELS), "t1": sent.nifti(sent.LABELS * 50)}
    assert read(tmp_path, {"reorient": "RAS"}, **files)["preview"]["orientation"] == "RAS"


def bomb(head, window=31):
    """A short file of 3 GB of zeros behind a header: a piece after a full flush is the same every time."""
    compressor, piece = zlib.compressobj(9, zlib.DEFLATED, window), bytes(1 << 22)
    first, again = (compressor.compress(piece) + compressor.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return head + first + again * (768 - 1)


def header_of(shape):
    header = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), sent.AFFINE).header
    header["dim"][1:4] = shape
    header["vox_offset"] = 352
    return header.binaryblock + bytes(4)


def nrrd_header(**changed):
    lines = [f"{name}: {value}" for name, value in sent.fields("u1", (9, 8, 7), sent.AFFINE, **changed).items()]
    return ("NRRD0004\n" + "\n".join(lines) + "\n\n").encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\x89PNG and so on" * 100, "is a PNG picture"),
        (sent.WEB_PAGE, "is a web page (HTML), not an image"),
        (sent.LFS_POINTER, "is a Git LFS pointer"),
        (sent.nifti(sent.LABELS)[:100], "is an Analyze 7.5 header or a damaged NIfTI one"),
        (sent.nifti(sent.LABELS)[:-900], "is cut short"),
        (gzip.compress(b"text"), "is a text file"),
        (gzip.compress(sent.nifti(sent.LABELS))[:-9], "is damaged or cut short"),
        (gzip.compress(sent.nifti(sent.LABELS))[:-8] + bytes(8), "is damaged or cut short"),
        (b"\x1f\x8bnonsense", "is not a file of a format that is read here"),
        (b"\x1f\x8b\x08nonsense", "is damaged or cut short"),
        (header_of((2000, 2000, 2000)), "8,000,000,000 values"),
        (bomb(gzip.compress(header_of((9, 8, 7)))), "goes on for more than"),
        (bomb(gzip.compress(header_of((30000, 30000, 3)))), "at most"),
        (bomb(nrrd_header(encoding="gzip")), "goes on after"),
        (bomb(sent.META.format(packed=True, size="9 8 7").encode(), 15), "goes on after"),
        (sent.zipped({"a/slice.dcm": bytes(1 << 28)}), "unpacks to far more than a DICOM series has"),
        (sent.zipped({"../../evil": b"x"}), "leads out of its folder"),
        (sent.zipped({"a.zip": sent.zipped({"a": b"x"})}), "holds another zip archive"),
        (sent.zipped({"a.txt": b"no image"}), "holds no DICOM files"),
        (gzip.compress(sent.zipped({"a.txt": b"x"})), "is zip compressed with gzip"),
        (header_of((9, 8, 7)).replace(b"n+1", b"ni1"), "is one of the two files of a NIfTI pair"),
        (nrrd_header(**{"data file": "t1.nii"}), "values are in another file"),
        (
            sent.META.format(packed=False, size="9 8 7").replace("LOCAL", "/etc/passwd").encode(),
            "values are in another",
        ),
    ],
    ids=[
        *("nothing", "png", "html", "lfs", "header cut", "cut", "gz of text", "gz cut", "sum", "no gz", "gz start"),
        *("header", "gz bomb", "gz bomb of size", "nrrd bomb", "mha bomb", "zip bomb", "names", "zip in zip"),
        *("no dicom", "gz of zip", "pair", "nrrd beside", "mha beside"),
    ],
)
def test_what_cannot_be_read_safely_is_refused(tmp_path, content, said):
    problem = refusal(tmp_path, "t1", seg=sent.nifti(sent.LABELS), t1=content)
    assert problem.status == 422
    assert problem.detail.startswith("t1 ")
    assert said in problem.detail
    assert not (tmp_path.parent / "evil").exists()


@given(st.data(), EDITS, st.booleans())
@settings(max_examples=80, deadline=5000)
def test_damaged_files_are_read_or_refused_without_a_path_of_this_machine(data, edits, packed):
    with tempfile.TemporaryDirectory() as name:
        folder, made = Path(name) / "sent", Path(name) / "made"
        folder.mkdir()
        made.mkdir()
        content = edited(data.draw(st.sampled_from(sorted(small_files(made).items())))[1], edits)
        try:
            read(folder, seg=gzip.compress(content, 1) if packed else content)
        except RefusedError as error:
            problem = error.problem
            assert problem.field in {"seg", "labels", "core_labels", "whole_labels"}
            assert problem.status in {413, 422}
            assert name not in json.dumps(problem.as_record())
            assert "\n" not in problem.detail


def test_a_file_of_values_is_not_looked_for_among_the_other_uploads(tmp_path):
    padding = "# padding\n" * 600  # the name lies behind what tells the format
    lines = [f"{k}: {v}" for k, v in sent.fields("u1", (9, 8, 7), sent.AFFINE, **{"data file": "../t1.nii"}).items()]
    content = f"NRRD0004\n{padding}{chr(10).join(lines)}\n\n".encode()
    refusal(tmp_path, t1=sent.nifti(np.ones((20, 20, 20), np.uint8)), seg=content)
    assert (tmp_path / "t1.nii").exists()


def test_more_voxels_than_an_image_may_have(tmp_path):
    problem = refusal(tmp_path, seg=sent.nifti(sent.LABELS), limits=Limits(voxels=1000))
    assert problem.status == 413
    assert f"{sent.LABELS.size:,} voxels" in problem.detail


def test_channels_are_no_scan(tmp_path):
    four = sent.nifti(np.ones((40, 40, 40, 3), np.float32))
    assert "3 channels" in refusal(tmp_path, "t1", seg=sent.nifti(sent.LABELS), t1=four).detail


class TestTheProcessThatReads:
    @pytest.fixture
    def reading(self):
        found = Reading(Limits())
        yield found
        found.close()

    def ask(self, reading, folder, **files):
        for field, content in files.items():
            save_upload(io.BytesIO(content), field, folder)
        return reading.read({}, list(files), folder, preview=True)

    def sent_to(self, folder, name):
        (folder / name).mkdir()
        return folder / name

    def test_it_tells_what_was_understood_and_what_is_refused_and_goes_on(self, reading, tmp_path):
        good = {"seg": sent.nifti(sent.LABELS)}
        assert self.ask(reading, self.sent_to(tmp_path, "a"), **good)["preview"]["convention"] == "brats"
        with pytest.raises(RefusedError, match="is a web page"):
            self.ask(reading, self.sent_to(tmp_path, "b"), seg=sent.WEB_PAGE)
        process = reading._process
        assert self.ask(reading, self.sent_to(tmp_path, "c"), **good)["files"] == {"seg": "seg.nii"}
        assert reading._process is process

    def test_another_takes_its_place(self, reading, tmp_path):
        reading.start()
        first = reading._process
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        good = {"seg": sent.nifti(sent.LABELS)}
        assert self.ask(reading, self.sent_to(tmp_path, "a"), **good)["preview"]["convention"] == "brats"

    def test_one_that_dies_while_it_reads_is_a_problem_of_the_file(self, reading, tmp_path, monkeypatch):
        lines = Reading._lines

        def killed(self, process):
            for told in lines(self, process):
                yield told
                if "at" in told:
                    os.kill(process.pid, signal.SIGKILL)

        monkeypatch.setattr(Reading, "_lines", killed)
        with pytest.raises(RefusedError, match="seg ended the process") as caught:
            self.ask(reading, tmp_path, seg=gzip.compress(sent.nifti(np.zeros((400, 400, 400), np.int16))))
        assert (caught.value.problem.field, caught.value.problem.status) == ("seg", 422)

    def test_memory_and_time_are_limited(self, tmp_path):
        large = gzip.compress(header_of((450, 450, 450)) + bytes(450**3), 1)
        for name, limits, status, said in (
            ("memory", replace(Limits(), reading_bytes=1 << 28), 413, "takes more memory than 256 MiB"),
            ("time", replace(Limits(), reading_s=0.05), 422, "was not read within 0.05 s"),
        ):
            reading = Reading(limits)
            try:
                with pytest.raises(RefusedError, match=said) as caught:
                    self.ask(reading, self.sent_to(tmp_path, name), t1=large)
            finally:
                reading.close()
            assert caught.value.problem.status == status

    def test_closing_ends_it_at_once(self, reading, tmp_path):
        reading.start()
        process, began = reading._process, time.monotonic()
        reading.close()
        assert process.poll() is not None
        assert time.monotonic() - began < 5
        with pytest.raises(RefusedError, match="the service stops"):
            self.ask(reading, tmp_path, seg=b"")
