import errno
import hashlib
import itertools
import os

import pytest

from gliodex.errors import DamagedStoreError, GliodexError, OutputError
from gliodex.store.atomic_io import make_directories
from gliodex.store.local_files import LocalFiles
from gliodex.store.storage import PARTIAL

from .breaking import before_each_step, fails_at, killed_at


@pytest.fixture
def files(tmp_path):
    return LocalFiles(tmp_path / "root")


def leftovers(files):
    return [key for key in files.sizes() if key.endswith(PARTIAL)]


def test_a_created_file_holds_its_bytes_and_returns_their_digest(files):
    digest = files.create("a/b/c.bin", b"hello")
    assert digest == hashlib.sha256(b"hello").hexdigest()
    assert files.read("a/b/c.bin") == b"hello"
    assert files.sizes_of(["a/b/c.bin"]) == [5]
    assert list(files.sizes()) == ["a/b/c.bin"]


def test_an_empty_file_can_be_created_and_read(files):
    files.create("empty", b"")
    assert files.read("empty") == b""
    assert files.sizes_of(["empty"]) == [0]


def test_the_second_writer_of_a_name_fails_and_changes_nothing(files):
    files.create("name", b"first")
    with pytest.raises(FileExistsError):
        files.create("name", b"second")
    assert files.read("name") == b"first"
    assert leftovers(files) == []


def test_bytes_and_folders_are_flushed_before_a_file_is_announced(files):
    steps = []
    with before_each_step(lambda name, *_: steps.append(name)):
        files.create("folder/name", b"data")
    assert steps.index("fsync") < steps.index("open")
    assert "fsync" in steps[steps.index("open") : steps.index("link")]
    assert "fsync" in steps[steps.index("link") :]


def test_a_writer_killed_at_any_step_leaves_the_whole_file_or_none(tmp_path):
    seen = set()
    for step in itertools.count(1):
        files = LocalFiles(tmp_path / str(step))
        killed = killed_at(step, lambda files=files: files.create("a/b", b"0123456789"))
        (size,) = files.sizes_of(["a/b"])
        assert size in {None, 10}
        seen.add(size)
        if not killed:
            break
    assert seen == {None, 10}
    assert step > 6


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_an_error_of_the_disk_at_any_step_says_what_is_wrong(tmp_path, number, words):
    for step in itertools.count(1):
        files = LocalFiles(tmp_path / str(step))
        make_directories(files.root)
        error = fails_at(step, lambda files=files: files.create("a/b", b"0123456789"), number)
        if error is None:
            break
        assert isinstance(error, OutputError)
        assert words in str(error)
        assert str(files.path("a/b")) in str(error)
    assert step > 6


def test_an_error_of_the_disk_at_any_step_leaves_no_trace(tmp_path):
    traces = {}
    for step in itertools.count(1):
        files = LocalFiles(tmp_path / str(step))
        make_directories(files.root)
        if fails_at(step, lambda files=files: files.create("a/b", b"0123456789")) is None:
            break
        if left := list(files.sizes()):
            traces[step] = left
    assert step > 6
    assert traces == {}


def test_writing_below_a_file_is_refused_in_words(files, tmp_path):
    (tmp_path / "root").write_text("a file")
    with pytest.raises(OutputError, match="part of the path is a file"):
        files.create("a/b", b"")


def test_a_part_of_a_file_can_be_read(files):
    files.create("name", b"0123456789")
    assert files.read("name", 3, 4) == b"3456"
    assert files.read("name", 8) == b"89"
    assert files.read("name", 5, 0) == b""


@pytest.mark.parametrize(("start", "count"), [(8, 3), (10, 1), (50, 1)])
def test_reading_behind_the_end_says_cut_short(files, start, count):
    files.create("name", b"0123456789")
    with pytest.raises(DamagedStoreError, match="cut short") as caught:
        files.read("name", start, count)
    assert str(files.path("name")) in str(caught.value)


def test_a_missing_file_has_no_size_and_reading_it_names_it(files):
    assert files.sizes_of(["gone"]) == [None]
    with pytest.raises(DamagedStoreError, match="gone is missing"):
        files.read("gone")


def test_a_removed_file_is_gone_and_its_bytes_are_counted(files):
    files.create("a/b/c", b"123")
    files.create("a/d", b"1")
    assert files.remove("a/b/c") == 3
    assert files.sizes() == {"a/d": 1}


def test_tidying_takes_away_the_stores_folders_that_hold_no_file_and_nothing_else(files):
    files.create("segments/b/c/d", b"123")
    files.create("segments/e", b"")
    for empty in ("segments/g/h", "atlas/i", "derived/dice"):
        make_directories(files.path(empty))
    files.remove("segments/b/c/d")
    files.tidy()
    left = sorted(p.relative_to(files.root).as_posix() for p in files.root.rglob("*"))
    assert left == ["derived", "derived/dice", "segments", "segments/e"]


def test_keys_are_sorted_and_can_be_asked_for_below_a_folder(files):
    for key in ("b/2", "a/1", "b/1", "c"):
        files.create(key, b"")
    assert sorted(files.sizes()) == ["a/1", "b/1", "b/2", "c"]
    assert list(files.sizes("b")) == ["b/1", "b/2"]


def test_a_file_that_vanishes_while_a_folder_is_listed_is_left_out(files, monkeypatch):
    for key in ("manifests/1.json", f"manifests/2.json.0123abcd{PARTIAL}"):
        files.create(key, b"12")
    walk = os.walk

    def walk_beside_a_writer(top, *arguments, **options):
        for folder, folders, names in walk(top, *arguments, **options):
            for name in names:
                if name.endswith(PARTIAL):  # the writer has linked it into place and takes its own name away
                    os.unlink(os.path.join(folder, name))
            yield folder, folders, names

    monkeypatch.setattr(os, "walk", walk_beside_a_writer)
    assert files.sizes() == {"manifests/1.json": 2}


def test_a_file_that_may_not_be_read_is_reported_in_words(files, monkeypatch):
    files.create("name", b"12")

    def denied(path, *_):
        raise PermissionError(errno.EACCES, "permission denied", str(path))

    monkeypatch.setattr(type(files.path("name")), "open", denied)
    with pytest.raises(GliodexError, match="name"):
        files.read("name")
