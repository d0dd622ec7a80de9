"""Results move into a folder whole, and in the place of nothing but an earlier result's files."""

import fcntl
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from gliodex.errors import InputError, OutputError
from gliodex.retrieval.earlier_results import OLDER_FILES, TRANSFORM_FILES
from gliodex.retrieval.outputs import QUERY_FILES, query_files, write_record
from gliodex.retrieval.result_folder import inputs_of, refuse_overwriting, staged_folder

from ..store.breaking import before_each_step, killed_at
from .anatomy import files_below

RECORD = {"software": "gliodex 1.0", "matches": []}


def put(out, files, record="matches", begun=None, **options):
    """Leave a result in a folder, as a query does, and tell that the work began."""
    with staged_folder(out, **options) as stage:
        if begun is not None:
            begun.append(stage)
        for name, text in files.items():
            (stage / name).parent.mkdir(exist_ok=True)
            (stage / name).write_text(text)
        write_record(dict(RECORD), stage, record)


def texts(folder):
    """Contents of the files below a folder, its record apart."""
    return {name: data.decode() for name, data in files_below(folder).items() if name != "matches.json"}


def told(out, record="matches"):
    return json.loads((out / f"{record}.json").read_text())


def write_and_fail(out, error):
    with staged_folder(out) as stage:
        (stage / "a.txt").write_text("newer")
        raise error


def test_results_appear_when_all_is_done(tmp_path):
    out = tmp_path / "deep" / "out"
    with staged_folder(out) as stage:
        (stage / "a.txt").write_text("a")
        (stage / "folder").mkdir()
        (stage / "folder" / "b.txt").write_text("b")
        assert files_below(out).keys() == {f"{stage.name}/a.txt", f"{stage.name}/folder/b.txt"}
    assert files_below(out) == {"a.txt": b"a", "folder/b.txt": b"b"}
    assert sorted(p.name for p in out.iterdir()) == ["a.txt", "folder"]


@pytest.mark.parametrize("error", [RuntimeError("x"), InputError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_a_failure_leaves_nothing(tmp_path, error):
    out = tmp_path / "out"
    with pytest.raises(type(error)):
        write_and_fail(out, error)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_removes_every_folder_that_was_made(tmp_path):
    with pytest.raises(RuntimeError), staged_folder(tmp_path / "made" / "too" / "out"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_older_results_and_other_files_as_they_were(tmp_path):
    (tmp_path / "a.txt").write_text("older")
    (tmp_path / "theirs.txt").write_text("not ours")
    before = files_below(tmp_path)
    with pytest.raises(RuntimeError):
        write_and_fail(tmp_path, RuntimeError())
    assert files_below(tmp_path) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "theirs.txt"]


def test_an_empty_folder_that_was_there_stays(tmp_path):
    with pytest.raises(RuntimeError), staged_folder(tmp_path):
        raise RuntimeError
    assert tmp_path.is_dir()


def test_a_result_without_a_record_replaces_files_of_its_names(tmp_path):
    (tmp_path / "table.md").write_text("older")
    (tmp_path / "theirs.txt").write_text("not ours")
    with staged_folder(tmp_path) as stage:
        (stage / "table.md").write_text("newer")
        (stage / "folder").mkdir()
        (stage / "folder" / "new").write_text("new")
    assert files_below(tmp_path) == {"table.md": b"newer", "theirs.txt": b"not ours", "folder/new": b"new"}


@pytest.mark.parametrize("below", ["", "out", "deep/out"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("in the way")
    out = file / below if below else file
    with pytest.raises(OutputError) as caught, staged_folder(out):
        pytest.fail("the work began")
    assert str(out) in str(caught.value)
    assert file.read_text() == "in the way"


def test_a_full_disk_names_the_folder(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(OutputError, match="the disk is full") as caught, staged_folder(out):
        raise OSError(28, "the disk is full on device")
    assert str(out) in str(caught.value)
    assert not out.exists()


def test_an_unreadable_input_is_not_blamed_on_the_output(tmp_path):
    with pytest.raises(OSError, match=r"missing\.txt") as caught, staged_folder(tmp_path / "out"):
        (tmp_path / "missing.txt").read_text()
    assert "cannot write" not in str(caught.value)


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


def text(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")


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
    assert "--out" in str(caught.value)
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


WAYS = ("same", "dots", "link", "hard link", "linked folder", "linked result")


@pytest.mark.parametrize("way", WAYS)
def test_an_input_is_not_overwritten(tmp_path, way):
    out = tmp_path / "out"
    mask = out / "core.nii.gz"
    put(out, {"core.nii.gz": "mine"})
    given = {
        "same": mask,
        "dots": tmp_path / "out" / ".." / "out" / "core.nii.gz",
        "link": tmp_path / "link.nii.gz",
        "hard link": tmp_path / "hard.nii.gz",
        "linked folder": tmp_path / "folder" / "core.nii.gz",
        "linked result": tmp_path / "mine.nii.gz",
    }[way]
    if way == "link":
        given.symlink_to(mask)
    elif way == "hard link":
        given.hardlink_to(mask)
    elif way == "linked folder":
        given.parent.symlink_to(out)
    elif way == "linked result":
        mask.rename(given)
        mask.symlink_to(given)
    for names in (query_files(registers=False), ()):
        with pytest.raises(InputError, match=r"out/core\.nii\.gz is an input") as caught:
            put(out, {"core.nii.gz": "model"}, names=names, inputs=[tmp_path / "other", given])
        assert "--out" in str(caught.value)
        assert given.read_text() == "mine"
    put(tmp_path / "else", {"core.nii.gz": "model"}, names=query_files(registers=False), inputs=[given])


def test_an_input_beside_the_results_is_no_matter(tmp_path):
    text(tmp_path / "seg.nii.gz")
    put(tmp_path, {"core.nii.gz": "1"}, names=query_files(registers=True), inputs=[tmp_path / "seg.nii.gz", tmp_path])
    assert (tmp_path / "seg.nii.gz").read_text() == "mine"


def test_an_output_in_a_folder_of_inputs_is_refused_where_it_is_one_of_them(tmp_path):
    text(tmp_path / "core.nii.gz")
    with pytest.raises(InputError, match=r"core\.nii\.gz is an input"):
        refuse_overwriting(tmp_path, query_files(registers=False), [tmp_path])


def test_a_transform_that_is_read_stays_and_belongs_to_the_new_result(tmp_path):
    put(tmp_path, {"density.nii.gz": "1", "transform/affine.mat": "a", "mean.nii.gz": "1"})
    put(tmp_path, {"density.nii.gz": "2"}, names=query_files(registers=False), inputs=[tmp_path / "transform"])
    assert texts(tmp_path) == {"density.nii.gz": "2", "transform/affine.mat": "a"}
    assert set(told(tmp_path)["files"]) == {"density.nii.gz", "transform/affine.mat"}
    put(tmp_path, {"density.nii.gz": "3"})
    assert texts(tmp_path) == {"density.nii.gz": "3"}


def test_paths_are_found_in_all_options_but_out():
    @dataclass
    class Stage:
        network: Path | None

    @dataclass
    class Options:
        out: Path
        seg: Path
        count: int
        seen: tuple
        stage: Stage

    options = Options(Path("o"), Path("s"), 3, ((1.0, Path("a")), (2.0, Path("b"))), Stage(Path("n")))
    assert list(inputs_of(options)) == [Path("s"), Path("a"), Path("b"), Path("n")]


def test_names_of_a_query_are_all_that_older_versions_wrote_too():
    assert set(OLDER_FILES) <= set(QUERY_FILES)


@pytest.mark.parametrize("name", ["x" * 300, "loop", "\0"])
def test_a_path_that_the_system_refuses_is_refused_in_a_line(tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    out = tmp_path / name
    for below in (out, out / "below"):
        with pytest.raises(OutputError, match="--out"), staged_folder(below):
            pytest.fail("the work began")


def test_a_name_that_is_no_utf8_is_written_to(tmp_path):
    out = tmp_path / "latin_\udce9"
    put(out, {"transform/affine.mat": "1", "b\udcff.txt": "1"})
    put(out, {"c.txt": "2"})
    assert texts(out) == {"c.txt": "2"}


def test_a_folder_that_another_query_writes_to_is_refused(tmp_path):
    with staged_folder(tmp_path), pytest.raises(OutputError, match="another process is writing"):
        put(tmp_path, {})


def test_a_file_system_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(95, "not supported")

    monkeypatch.setattr(fcntl, "flock", fail)
    put(tmp_path, {"a": "1"})
    assert texts(tmp_path) == {"a": "1"}


def test_what_a_dead_query_left_is_removed_by_the_next(tmp_path):
    text(tmp_path / ".unfinished-0123" / "transform" / "warp.nii.gz")
    put(tmp_path, {"a": "1"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "matches.json"]


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "replaces"])
def test_a_kill_at_any_step_leaves_one_result_or_says_that_there_are_two(tmp_path, first, every):
    old = {} if first else {"density.nii.gz": "1", "mean.nii.gz": "1", "transform/affine.mat": "1"}
    new = {"density.nii.gz": "2", "core.nii.gz": "2", "transform/affine.mat": "2"}
    seen, steps = [], []
    if not first:
        put(tmp_path / "counted", old)
    with before_each_step(lambda name, *_: steps.append(name)):
        put(tmp_path / "counted", new)
    for step in range(1, len(steps) + 1, every):
        out = tmp_path / str(step) / "out"
        out.parent.mkdir()
        if not first:
            put(out, old)
        assert killed_at(step, lambda out=out: put(out, new))
        settled(out)
        seen.append(state_of(out, old, new))
        put(out, {"density.nii.gz": "3"})
        assert texts(out) == {"density.nii.gz": "3"}
        assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    assert list(dict.fromkeys(seen)) == ["none" if first else "old", "says", "new"]


def settled(out):
    """Wait for the watcher of a killed process."""
    end = time.monotonic() + 10
    while (out.exists() and any(out.glob(".unfinished-*"))) or (out.exists() and not any(out.iterdir())):
        assert time.monotonic() < end
        time.sleep(0.01)


def state_of(out, old, new):
    if not (out / "matches.json").exists():
        assert not out.exists() or texts(out) == {}
        return "none"
    if "files of two results" in told(out).get("notice", ""):
        return "says"
    found = texts(out)
    assert found in (old, new)
    return "new" if found == new else "old"


def test_a_disk_that_fills_up_while_files_move_is_said(tmp_path):
    put(tmp_path, {"density.nii.gz": "1"})
    moves = []

    def full(name, *arguments):
        moves.append(name)
        if len(moves) == 2:
            raise OSError(28, "No space left on device")

    with before_each_step(full, [(Path, "replace")]), pytest.raises(OutputError, match="the disk is full"):
        put(tmp_path, {"density.nii.gz": "2"})
    assert "files of two results" in told(tmp_path)["notice"]
    put(tmp_path, {"density.nii.gz": "3"})
    assert texts(tmp_path) == {"density.nii.gz": "3"}


WORKING = """
import signal, sys, time
from pathlib import Path
from gliodex.retrieval.result_folder import staged_folder

with staged_folder(Path(sys.argv[1])) as stage:
    (stage / "transform").mkdir()
    (stage / "transform" / "warp.nii.gz").write_text("half")
    print("working", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_leaves_nothing(tmp_path, number):
    (tmp_path / "there").mkdir()
    out = tmp_path / "there" / "made" / "out"
    command = [sys.executable, "-c", WORKING, out]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "working\n"
        assert any(out.rglob("warp.nii.gz"))
        process.send_signal(number)
        _, said = process.communicate(timeout=20)  # ends when the watcher has ended, too
    assert process.returncode == -number
    assert said == f"stopped before the results in {out} were complete\n"
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_files_move_waits_until_they_have(tmp_path, number):
    put(tmp_path, {"density.nii.gz": "1"})
    raised = []

    def send(*_):
        if not raised:
            raised.append(number)
            signal.raise_signal(number)

    def stop(*_):
        raise KeyboardInterrupt

    before = signal.signal(number, stop)
    try:
        with before_each_step(send, [(Path, "replace")]), pytest.raises(KeyboardInterrupt):
            put(tmp_path, {"density.nii.gz": "2"})
    finally:
        signal.signal(number, before)
    assert raised == [number]
    assert texts(tmp_path) == {"density.nii.gz": "2"}
    assert "files of two results" not in told(tmp_path).get("notice", "")
