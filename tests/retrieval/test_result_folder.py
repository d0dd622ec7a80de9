"""Results move into a folder whole, and in the place of nothing but an earlier result's files."""

import fcntl
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from gliodex.errors import InputError, OutputError
from gliodex.retrieval.earlier_results import OLDER_FILES
from gliodex.retrieval.outputs import QUERY_FILES, query_files
from gliodex.retrieval.result_folder import inputs_of, refuse_overwriting, staged_folder

from ..store.breaking import before_each_step, killed_at
from .anatomy import files_below
from .results import put, text, texts, told


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
        assert "out" in str(caught.value)
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
        with pytest.raises(OutputError, match="out"), staged_folder(below):
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


@pytest.mark.parametrize("ending", ["manuscript", "0123", "", "0123456789ABCDEF"])
def test_a_folder_of_the_users_that_begins_as_an_unfinished_result_stays(tmp_path, ending):
    draft = tmp_path / f".unfinished-{ending}" / "draft.txt"
    text(draft)
    put(tmp_path, {"density.nii.gz": "1"})
    assert draft.read_text() == "mine"


def test_what_a_dead_query_left_is_removed_by_the_next(tmp_path):
    text(tmp_path / ".unfinished-0123456789abcdef" / "transform" / "warp.nii.gz")
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
