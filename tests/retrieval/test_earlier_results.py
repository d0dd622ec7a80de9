"""Only what an earlier result wrote is replaced, by its record's list of digests."""

import hashlib
import json
import shutil
from dataclasses import dataclass

import pytest

from gliodex.errors import OutputError
from gliodex.retrieval.earlier_results import OLDER_FILES, TRANSFORM_FILES
from gliodex.retrieval.outputs import query_files, write_record
from gliodex.retrieval.result_folder import refuse_overwriting, staged_folder

from .anatomy import files_below
from .results import RECORD, put, text, texts, told


def test_the_record_lists_what_was_written_with_it(tmp_path):
    put(tmp_path, {"density.nii.gz": "d", "transform/affine.mat": "a"})
    assert told(tmp_path)["files"] == {
        "density.nii.gz": hashlib.sha256(b"d").hexdigest(),
        "transform/affine.mat": hashlib.sha256(b"a").hexdigest(),
    }


def test_a_file_that_is_written_after_the_record_is_listed_too(tmp_path):
    with staged_folder(tmp_path) as stage:
        write_record(dict(RECORD), stage)
        (stage / "late.png").write_text("late")
    assert told(tmp_path)["files"] == {"late.png": hashlib.sha256(b"late").hexdigest()}
    put(tmp_path, {"late.png": "again"})
    assert texts(tmp_path) == {"late.png": "again"}


def test_an_earlier_result_is_replaced_and_what_it_alone_wrote_removed(tmp_path):
    put(tmp_path, {"density.nii.gz": "1", "mean.nii.gz": "1", "transform/warp.nii.gz": "1"})
    (tmp_path / "notes.txt").write_text("mine")
    put(tmp_path, {"density.nii.gz": "2"})
    assert texts(tmp_path) == {"density.nii.gz": "2", "notes.txt": "mine"}
    assert {path.name for path in tmp_path.iterdir()} == {"density.nii.gz", "notes.txt", "matches.json"}


def test_answers_of_one_store_and_of_several_replace_each_other(tmp_path):
    put(tmp_path, {"density.nii.gz": "1"})
    put(tmp_path, {"a/density.nii.gz": "2", "a/matches.json": json.dumps(RECORD)}, "stores")
    assert files_below(tmp_path).keys() == {"stores.json", "a/density.nii.gz", "a/matches.json"}
    put(tmp_path, {"density.nii.gz": "3"})
    assert texts(tmp_path) == {"density.nii.gz": "3"}
    assert {path.name for path in tmp_path.iterdir()} == {"density.nii.gz", "matches.json"}


def test_a_forecast_and_an_answer_lie_in_one_folder(tmp_path):
    put(tmp_path, {"density.nii.gz": "1"})
    put(tmp_path, {"forecast.png": "1", "core_day_60.nii.gz": "1"}, "forecast")
    put(tmp_path, {"density.nii.gz": "2"})
    put(tmp_path, {"forecast.png": "2"}, "forecast")
    assert texts(tmp_path).keys() == {"density.nii.gz", "forecast.png", "forecast.json"}


def test_what_two_kinds_of_results_write_is_not_replaced_by_the_other(tmp_path):
    put(tmp_path, {"transform/affine.mat": "1"})
    with pytest.raises(OutputError, match=r"affine\.mat"):
        put(tmp_path, {"transform/affine.mat": "2"}, "forecast")
    assert texts(tmp_path) == {"transform/affine.mat": "1"}


def test_a_store_of_several_that_was_asked_alone_since_is_replaced_but_never_removed(tmp_path):
    put(tmp_path, {"a/density.nii.gz": "1", "a/matches.json": json.dumps(RECORD), "b/density.nii.gz": "1"}, "stores")
    put(tmp_path / "a", {"density.nii.gz": "alone"})
    put(tmp_path, {"b/density.nii.gz": "2"}, "stores")
    assert texts(tmp_path / "a") == {"density.nii.gz": "alone"}
    put(tmp_path, {"a/density.nii.gz": "3", "a/matches.json": json.dumps(RECORD)}, "stores")
    assert (tmp_path / "a" / "density.nii.gz").read_text() == "3"
    assert not (tmp_path / "b").exists()


@dataclass(frozen=True)
class Mine:
    """Something of the user's in the way of a result."""

    name: str
    make: object


def linked(path):
    text(path.parent / "elsewhere")
    path.symlink_to("elsewhere")


MINE = {
    "report": Mine("report.html", text),
    "mask": Mine("core.nii.gz", text),
    "link": Mine("report.html", linked),
    "dangling link": Mine("report.html", lambda path: path.symlink_to("nothing")),
    "folder of that name": Mine("report.html", lambda path: path.mkdir()),
    "record of somebody else": Mine("matches.json", text),
    "another transform": Mine("transform/mine.mat", text),
    "file called transform": Mine("transform", text),
    "link called transform": Mine("transform", lambda path: path.symlink_to(path.parent.parent)),
}


@pytest.mark.parametrize("told_before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("earlier", [True, False], ids=["replaces", "first"])
@pytest.mark.parametrize("name", MINE)
def test_what_is_not_an_earlier_results_is_not_replaced(tmp_path, name, earlier, told_before):
    out, mine = tmp_path / "out", MINE[name]
    out.mkdir()
    if earlier and mine.name != "matches.json":
        put(out, {"density.nii.gz": "1"})
    mine.make(out / mine.name)
    before, entries = files_below(out), sorted(path.name for path in out.rglob("*"))
    names = query_files(registers=True) if told_before else ()
    begun = []
    with pytest.raises(OutputError) as caught:
        put(out, dict.fromkeys(query_files(registers=True) - {"matches.json"}, "2"), names=names, begun=begun)
    assert begun == [] or not told_before
    assert str(out / mine.name) in str(caught.value)
    assert "out" in str(caught.value)
    assert files_below(out) == before
    assert sorted(path.name for path in out.rglob("*")) == entries


def test_a_result_that_the_user_has_changed_is_his(tmp_path):
    put(tmp_path, {"core.nii.gz": "model"})
    (tmp_path / "core.nii.gz").write_text("drawn")
    with pytest.raises(OutputError, match=r"core\.nii\.gz is not what an earlier result left"):
        refuse_overwriting(tmp_path, query_files(registers=False))
    put(tmp_path, {"density.nii.gz": "2"})
    assert texts(tmp_path) == {"core.nii.gz": "drawn", "density.nii.gz": "2"}


def test_a_copied_result_is_still_one(tmp_path):
    put(tmp_path / "a", {"core.nii.gz": "1", "mean.nii.gz": "1"})
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)
    put(tmp_path / "b", {"core.nii.gz": "2"})
    assert texts(tmp_path / "b") == {"core.nii.gz": "2"}


@pytest.mark.parametrize("file", ["../mine.txt", "/etc/hostname", "a/../../mine.txt", "..", ".", ""])
def test_a_record_from_elsewhere_removes_nothing_outside_its_folder(tmp_path, file):
    (tmp_path / "mine.txt").write_text("mine")
    listed = {file: hashlib.sha256(b"mine").hexdigest()}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "matches.json").write_text(json.dumps(RECORD | {"files": listed}))
    put(tmp_path / "out", {"density.nii.gz": "1"})
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert texts(tmp_path / "out") == {"density.nii.gz": "1"}


def test_nothing_is_removed_through_a_link(tmp_path):
    text(tmp_path / "elsewhere" / "mine.txt")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")
    listed = {"a/mine.txt": hashlib.sha256(b"mine").hexdigest()}
    (tmp_path / "out" / "matches.json").write_text(json.dumps(RECORD | {"files": listed}))
    put(tmp_path / "out", {"density.nii.gz": "1"})
    assert (tmp_path / "elsewhere" / "mine.txt").exists()


@pytest.mark.parametrize("files", [None, 3, [], {"a": 3}, {"b": None}, "density.nii.gz"])
def test_a_record_with_an_odd_list_is_read_as_far_as_it_goes(tmp_path, files):
    (tmp_path / "matches.json").write_text(json.dumps(RECORD | {"files": files}))
    put(tmp_path, {"density.nii.gz": "1"})
    assert texts(tmp_path) == {"density.nii.gz": "1"}


@pytest.mark.parametrize("record", ["matches", "stores", "forecast"])
def test_a_result_of_a_version_that_kept_no_list_is_replaced(tmp_path, record):
    days = {"compared": [{"day": 30}], "days": [0.0, 30.0, 60.5]}
    names = {
        "matches": [*OLDER_FILES, *TRANSFORM_FILES],
        "stores": [*(f"a/{name}" for name in ("matches.json", *OLDER_FILES)), *TRANSFORM_FILES],
        "forecast": ["forecast.png", "mean_day_30.nii.gz", "core_day_60.5.nii.gz", *TRANSFORM_FILES],
    }[record]
    for name in names:
        text(tmp_path / name)
    (tmp_path / f"{record}.json").write_text(json.dumps(RECORD | days | {"stores": {"a": {}}}))
    text(tmp_path / "notes.txt")
    put(tmp_path, {names[0]: "2"}, record)
    assert files_below(tmp_path).keys() == {names[0], f"{record}.json", "notes.txt"}
    assert (tmp_path / names[0]).read_text() == "2"
