from pathlib import Path

import pytest

from gliodex.errors import DamagedStoreError, InputError, NotAStoreError, OutputError, UnknownTumourError
from gliodex.service.problems import RefusedError, problem_of


def test_a_message_is_told_in_the_words_of_the_form():
    error = InputError("/srv/jobs/abc/uploads/segmentation.nii.gz has none of the core labels 7: it holds 1, 2, 4")
    files = {"segmentation": Path("/srv/jobs/abc/uploads/segmentation.nii.gz")}
    problem = problem_of(error, files)
    assert problem.detail == "segmentation has none of the core labels 7: it holds 1, 2, 4"
    assert (problem.field, problem.status) == ("segmentation", 422)
    assert problem.cause == "segmentation has none of the core labels 7"
    assert problem.remedy == "it holds 1, 2, 4"


def test_options_become_fields():
    problem = problem_of(InputError("--top-k must be at least 1, not 0; or leave --seg out"))
    assert problem.detail == "top_k must be at least 1, not 0; or leave segmentation out"
    assert problem.field == "top_k"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownTumourError("no tumour 7"), 404),
        (NotAStoreError("/data/x holds no store: build one"), 503),
        (DamagedStoreError("/data/x/segments/1 is damaged: restore it"), 503),
        (OutputError("cannot write to /srv/jobs/x: the disk is full"), 507),
        (RefusedError(429, "too many", "too many wait: come again"), 429),
    ],
)
def test_each_kind_has_its_status_and_no_place_of_the_machine_is_told(error, status):
    problem = problem_of(error)
    assert problem.status == status
    assert "/data" not in problem.detail
    assert "/srv" not in problem.detail


def test_stores_are_named_as_clients_name_them():
    error = UnknownTumourError("/data/tumours version 3 holds no tumour 9: there are 5")
    assert problem_of(error, stores={"tumours": "/data/tumours"}).detail.startswith("tumours version 3 holds no")


@pytest.mark.parametrize(
    ("said", "field"),
    [
        (
            "{seg}: its labels can be read as brats (core 1), or as msd (core 2): say which with --labels brats",
            "labels",
        ),
        ("{seg} holds label 9, which brats has not: name another convention with --labels, or use --core", "labels"),
        ("{seg} holds one label alone (1): say --core none, or give two masks with --core-mask", "core"),
        ("{seg} has 3 channels: give one mask, or two with --core-mask and --whole-mask", "segmentation"),
        ("{t1} has 3 channels beside {seg}: give --core", "t1"),
        ("give either --seg, or --core-mask and --whole-mask", "segmentation"),
    ],
)
def test_where_the_meaning_of_labels_is_to_be_said_that_is_the_field(said, field):
    files = {"segmentation": Path("/a/segmentation.nii"), "t1": Path("/a/t1.zip")}
    problem = problem_of(InputError(said.format(seg=files["segmentation"], t1=files["t1"])), files)
    assert problem.field == field
    assert "--" not in problem.detail


def test_a_folder_is_sent_as_an_archive():
    error = InputError("/a/t1.dcm: the series 'T1' holds a single slice: give the folder with all slices of the series")
    problem = problem_of(error, {"t1": Path("/a/t1.dcm")})
    assert problem.remedy == "send a zip archive of the folder with all slices of the series"
