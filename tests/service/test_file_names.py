from pathlib import Path

import pytest

from gliodex.retrieval.imaging.conventions import CONVENTIONS, named_by_files
from gliodex.service.file_names import data_set_in

NAMES = [
    ("BraTS-GLI-01234-100-seg.nii.gz", "BraTS-GLI-00000", "brats-2023"),
    ("BraTS-MET-00012-000-seg.nii.gz", "BraTS-MET-00000", "brats-2023"),
    ("BraTS-PED-00012-000-seg.nii.gz", "BraTS-PED-00000", "brats-ped"),
    ("BraTS2021_00006_seg.nii.gz", "BraTS2021_00000", "brats"),
    ("Brats17_2013_11_1_seg.nii.gz", "Brats17_", "brats"),
    ("UPENN-GBM-00321_11_segm.nii.gz", "UPENN-GBM-00000", "brats"),
    ("BRATS_123.nii.gz", "BRATS_000", "msd"),
    ("brats_2013_pat0001_1/seg.nii", "brats_2013_pat0000", "brats-2013"),
    ("PatientID_0012/PatientID_0012_Timepoint_3_mask.nii", "PatientID_0000_Timepoint_0", "brats-2024"),
    ("Patient-042/DeepBraTumIA-segmentation/atlas/segmentation/seg_mask.nii.gz", "DeepBraTumIA", "deepbratumia"),
    ("Smith_John_1950-03-04_HD-GLIO.nii.gz", "HD-GLIO", "hd-glio"),
]


@pytest.mark.parametrize(("name", "words", "convention"), NAMES, ids=[name for name, *_ in NAMES])
def test_the_data_set_is_told_and_nothing_of_the_patient(name, words, convention):
    assert data_set_in(Path("/data") / name) == words
    assert CONVENTIONS[convention] in named_by_files(Path("/data") / name)
    for stored in (f"{words}.segmentation.nii.gz", f"{words}.segmentation.mha"):
        assert named_by_files(Path("/jobs/x/uploads") / stored) == named_by_files(Path("/data") / name)


@pytest.mark.parametrize("name", ["seg.nii.gz", "Smith_John_1950-03-04.nrrd", "brats_123.nii.gz", "", ".", "a/../b"])
def test_other_names_tell_nothing(name):
    assert data_set_in(Path("/data") / name) == ""


def test_a_name_without_an_end_is_not_kept():
    assert data_set_in(Path("/") / f"BraTS-GLI-{'1' * 5000}") == ""


@pytest.mark.parametrize("name", ["../../BraTS-GLI-00001", "BraTS-GLI-00001/../../x", "BraTS-GLI-\u0661\u0662/\n;x"])
def test_what_is_told_is_no_path(name):
    words = data_set_in(Path("/") / name)
    assert words.startswith("BraTS-GLI-0")
    assert set(words[10:]) == {"0"}
