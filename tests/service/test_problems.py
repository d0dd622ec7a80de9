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
