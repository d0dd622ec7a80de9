"""A disk that is full: an error at every step in turn, and a real disk that really is."""

import itertools
import os
import resource
import signal
import subprocess

import pytest

from gliodex.errors import OutputError, StoreLockedError
from gliodex.store import collect_garbage, creating, open_store, verify, writing
from gliodex.store.storage import PARTIAL

from .breaking import fails_at, in_fork
from .looking import contents_at, keys, unnamed, versions

MODEL = {"model": "test"}
PAGE = 4096


def test_a_full_disk_at_any_step_of_a_commit_is_reported_and_harmless(tiny_store, tiny_tumours, commit):
    for step in itertools.count(1):
        with writing(tiny_store, "test") as writer:
            before = len(open_store(tiny_store))
            error = fails_at(step, lambda writer=writer: writer.commit_tumours(tiny_tumours[:2], {}))
        if error is None:
            break
        assert isinstance(error, OutputError)
        assert "the disk is full" in str(error)
        assert str(tiny_store) in str(error)
        assert not [key for key in keys(tiny_store) if key.endswith(PARTIAL)]
        collect_garbage(tiny_store)
        assert len(open_store(tiny_store)) in {before, before + 2}
        assert verify(open_store(tiny_store), full=True) == []
    assert step > 30
    commit(tiny_store, count=1)


def test_a_commit_that_fails_on_a_full_disk_publishes_nothing(tiny_store, tiny_tumours):
    published = []
    for step in itertools.count(1):
        before = open_store(tiny_store).version
        with writing(tiny_store, "test") as writer:
            error = fails_at(step, lambda writer=writer: writer.commit_tumours(tiny_tumours[:2], {}))
        if error is None:
            break
        if open_store(tiny_store).version != before:
            published.append(step)
    assert step > 30
    assert published == []


def test_the_same_writer_goes_on_after_a_full_disk(tiny_store, tiny_tumours):
    refused = {}
    for step in itertools.count(1):
        with writing(tiny_store, "test") as writer:
            error = fails_at(step, lambda writer=writer: writer.commit_tumours(tiny_tumours[:2], {}))
            if error is None:
                break
            try:
                writer.commit_tumours(tiny_tumours[:1], {})
            except StoreLockedError as refusal:
                refused[step] = str(refusal)
    assert refused == {}
    assert verify(open_store(tiny_store), full=True) == []


def test_a_full_disk_while_creating_is_reported_and_creating_can_be_repeated(tmp_path, tiny_atlas):
    def create(path):
        with creating(path, tiny_atlas, MODEL, "test"):
            pass

    for step in itertools.count(1):
        path = tmp_path / f"full-{step}"
        error = fails_at(step, lambda path=path: create(path))
        if error is None:
            break
        assert isinstance(error, OutputError)
        create(path)
        assert verify(open_store(path), full=True) == []
    assert step > 30


@pytest.mark.parametrize("ids", [[1], [0, 1], [0, 1, 2]])
def test_a_deletion_that_fails_on_a_full_disk_publishes_nothing(tiny_store, ids):
    before, files = contents_at(tiny_store), set(keys(tiny_store))
    for step in itertools.count(1):
        with writing(tiny_store, "test") as writer:
            error = fails_at(step, lambda writer=writer: writer.delete(ids))
        if error is None:
            break
        assert isinstance(error, OutputError)
        assert "the disk is full" in str(error)
        assert contents_at(tiny_store) == before
        assert set(keys(tiny_store)) == files
    assert step > 5
    assert list(contents_at(tiny_store)) == sorted(set(before) - set(ids))


def test_files_that_may_grow_no_further_are_reported_and_publish_nothing(tiny_store, tiny_tumours):
    before, largest = contents_at(tiny_store), max(path.stat().st_size for path in tiny_store.rglob("*"))

    def commit_with_limit(limit):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python itself does: the write fails instead
        with writing(tiny_store, "test") as writer:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            with pytest.raises(OutputError, match=r"cannot write .*File too large"):
                writer.commit_tumours(tiny_tumours, {})
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    for limit in range(0, largest, 500):
        assert in_fork(lambda limit=limit: commit_with_limit(limit)) == 0
        assert contents_at(tiny_store) == before
        assert not [key for key in keys(tiny_store) if key.endswith(PARTIAL)]
    assert verify(open_store(tiny_store), full=True) == []
    collect_garbage(tiny_store, keep=3)
    assert unnamed(tiny_store, 1, 2, 3) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB of its own, and a function that leaves so many bytes of it free."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"a disk of its own cannot be had here: {error}")
    if done.returncode:
        pytest.skip(f"a disk of its own cannot be had here: {done.stderr.strip()}")

    def leave(free):
        filler = mount / "filler"
        filler.unlink(missing_ok=True)
        left = os.statvfs(mount)
        filler.write_bytes(bytes(max(left.f_bavail * left.f_frsize - free, 0)))
        left = os.statvfs(mount)
        assert left.f_bavail * left.f_frsize == free

    try:
        yield mount, leave
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_on_a_disk_that_is_full_a_commit_waits_until_there_is_space(small_disk, tiny_atlas, tiny_tumours):
    mount, leave = small_disk
    path, said = mount / "store", []
    with creating(path, tiny_atlas, MODEL, "test") as writer:
        writer.commit_tumours(tiny_tumours[:2], {"method": "test"})
    before, files = contents_at(path), keys(path)
    for pages in itertools.count():
        leave(pages * PAGE)
        try:
            with writing(path, "test") as writer:
                writer.commit_tumours(tiny_tumours, {"method": "test"})
            break
        except OutputError as error:
            said.append(str(error))
        assert contents_at(path) == before
        assert versions(path) == [1, 2]
        assert not [key for key in keys(path) if key.endswith(PARTIAL)]
        collect_garbage(path, keep=2)  # goes on a full disk too: it is what makes space
        assert keys(path) == files
    assert len(said) >= 6  # five files of a segment and a manifest
    assert all(str(path) in line and "the disk is full; free some space" in line for line in said)
    assert len(open_store(path)) == 5
    assert verify(open_store(path), full=True) == []


def test_on_a_disk_that_is_full_the_same_writer_goes_on_when_there_is_space(small_disk, tiny_atlas, tiny_tumours):
    mount, leave = small_disk
    path = mount / "store"
    with creating(path, tiny_atlas, MODEL, "test") as writer:
        for pages in range(6):
            leave(pages * PAGE)
            with pytest.raises(OutputError):
                writer.commit_tumours(tiny_tumours, {})
        (mount / "filler").unlink()
        writer.commit_tumours(tiny_tumours, {})
        leave(0)
        with pytest.raises(OutputError, match="the disk is full"):
            writer.delete([0])
        assert len(open_store(path)) == 3
        leave(PAGE)
        writer.delete([0])
    assert open_store(path).ids.tolist() == [1, 2]
    collect_garbage(path)
    assert unnamed(path) == []


def test_a_disk_that_is_full_while_a_store_is_created_can_be_cleared_and_used(small_disk, tiny_atlas):
    mount, leave = small_disk
    path, said = mount / "store", []
    for pages in itertools.count():
        leave(pages * PAGE)
        try:
            with creating(path, tiny_atlas, MODEL, "test"):
                break
        except OutputError as error:
            said.append(str(error))
    assert all(str(path) in line for line in said)
    assert len(said) >= 3  # each try frees what the one before it left, and comes further
    assert open_store(path).atlas.digest == tiny_atlas.digest
    assert verify(open_store(path), full=True) == []
    assert unnamed(path) == []
