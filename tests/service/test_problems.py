from pathlib import Path

import pytest

from gliodex.errors import DamagedStoreError, InputError, NotAStoreError, OutputError, UnknownTumourError
from gliodex.service.problems import RefusedError, problem_of


def test_cause_and_remedy_are_told_without_places():
    path = "/srv/jobs/abc/uploads/seg.nii.gz"
    error = InputError(f"{path} has none of the core labels 7", hint="choose among ‹core_labels=1,2,4›")
    problem = problem_of(error, {"seg": Path(path)})
    assert problem.detail == "seg has none of the core labels 7: choose among core_labels=1,2,4"
    assert (problem.field, problem.status) == ("seg", 422)
    assert problem.cause == "seg has none of the core labels 7"
    assert problem.remedy == "choose among core_labels=1,2,4"


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (InputError("‹top_k› must be at least 1, not 0"), "top_k"),
        (InputError("/a/t1.nii has 3 channels beside /a/seg.nii", hint="give ‹core_labels›"), "t1"),
        (InputError("/a/seg.nii holds label 9", hint="use ‹core_labels›", parameter="labels"), "labels"),
        (InputError("nothing is named"), ""),
    ],
)
def test_the_field_is_the_errors_parameter_or_the_file_that_it_names_first(error, field):
    files = {"seg": Path("/a/seg.nii"), "t1": Path("/a/t1.nii")}
    assert problem_of(error, files).field == field


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownTumourError("no tumour 7"), 404),
        (NotAStoreError("/data/x holds no store", hint="build one"), 503),
        (DamagedStoreError("/data/x/segments/1 is damaged", hint="restore it"), 503),
        (OutputError("cannot write to /srv/jobs/x: the disk is full"), 507),
        (RefusedError(429, "too many", "too many wait", hint="come again"), 429),
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
