import errno
import itertools
import os
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from gliodex.errors import DamagedStoreError, InputError, NotAStoreError, OutputError, StoreLockedError
from gliodex.store import collect_garbage, open_store, verify, writing
from gliodex.store.storage import PARTIAL

from .breaking import before_each_step, raises_at
from .looking import backdate, contents_at, keys, unnamed, versions


def test_garbage_collection_keeps_the_newest_versions_and_their_files(tiny_store, commit):
    commit(tiny_store)
    assert collect_garbage(tiny_store, keep=2)[0] == 2
    assert [len(open_store(f"{tiny_store}@{v}")) for v in (3, 4)] == [3, 5]
    with pytest.raises(InputError, match="holds versions 3 to 4"):
        open_store(f"{tiny_store}@2")
    assert verify(open_store(tiny_store), full=True) == []


def test_garbage_collection_deletes_what_no_version_names_and_counts_it(tiny_store):
    sound = open_store(tiny_store).density(2)
    segments = tiny_store / "segments"
    (segments / "0123456789ab" / "table").mkdir(parents=True)
    (segments / "0123456789ab" / "table" / "zarr.json").write_bytes(b"12345")
    (segments / f"loose{PARTIAL}").write_bytes(b"123")
    derived = tiny_store / "derived" / "dice"
    derived.mkdir(parents=True)
    (derived / f"directory.json{PARTIAL}").write_bytes(b"12")
    (derived / "blocks.bin").write_bytes(b"index")
    assert collect_garbage(tiny_store, keep=3) == (3, 10)
    assert not (segments / "0123456789ab").exists()
    assert (derived / "blocks.bin").read_bytes() == b"index"
    np.testing.assert_array_equal(open_store(tiny_store).density(2), sound)
    assert collect_garbage(tiny_store, keep=3) == (0, 0)


def test_garbage_collection_deletes_segments_that_only_old_versions_name(tiny_store):
    dropped = open_store(tiny_store).segments[0].name
    with writing(tiny_store, "test") as writer:
        writer._publish("drop", segments=writer.manifest.segments[1:])
    collect_garbage(tiny_store, keep=2)
    assert len(open_store(f"{tiny_store}@3")) == 3
    collect_garbage(tiny_store)
    assert not (tiny_store / "segments" / dropped).exists()
    assert unnamed(tiny_store) == []


def test_garbage_collection_with_a_damaged_version_deletes_nothing(tiny_store):
    before = keys(tiny_store)
    (tiny_store / "manifests" / "00000003.json").write_text("{")
    with pytest.raises(DamagedStoreError):
        collect_garbage(tiny_store)
    assert [key for key in keys(tiny_store) if key != "lock"] == [key for key in before if key != "lock"]


@pytest.mark.parametrize("keep", [0, -1])
def test_garbage_collection_keeps_at_least_one_version(tiny_store, keep):
    with pytest.raises(InputError, match="at least one version"):
        collect_garbage(tiny_store, keep)


def test_garbage_collection_needs_a_store(tmp_path):
    (tmp_path / "segments").mkdir()
    (tmp_path / "segments" / "mine.txt").write_text("")
    with pytest.raises(NotAStoreError):
        collect_garbage(tmp_path)
    assert keys(tmp_path) == ["segments/mine.txt"]


@pytest.fixture
def aged(tiny_store, commit):
    """Path of a store whose seven versions are 40, 20, 10, 5, 2, 1 and 0.5 days old."""
    for _ in range(4):
        commit(tiny_store, count=1)
    backdate(tiny_store, AGES)
    return tiny_store


AGES = dict(zip(range(1, 8), (40, 20, 10, 5, 2, 1, 0.5), strict=True))


@pytest.mark.parametrize(("keep", "days"), itertools.product([1, 2, 4, 9], [0, 0.1, 0.7, 1.5, 6, 15, 39, 41, 30000]))
def test_garbage_collection_keeps_what_was_the_newest_version_within_those_days(aged, keep, days):
    before = {version: contents_at(aged, version) for version in AGES}
    kept = set(sorted(AGES)[-keep:])
    if days:
        # what a user could have opened as the newest version on any evening of those days
        evenings = np.linspace(0, days, 50)
        kept |= {max(v for v, age in AGES.items() if age >= evening) for evening in evenings if evening <= 40}
        kept |= {version for version, age in AGES.items() if age <= days}
    collect_garbage(aged, keep, days)
    assert versions(aged) == sorted(kept)
    assert {version: contents_at(aged, version) for version in kept} == {version: before[version] for version in kept}
    assert unnamed(aged, *kept) == []
    assert verify(open_store(aged), full=True) == []


def test_days_to_keep_are_counted_from_now(aged):
    newest = open_store(aged).manifest.committed
    assert datetime.now(UTC) - datetime.fromisoformat(newest) < timedelta(days=0.6)
    collect_garbage(aged, 1, 0.4)
    assert versions(aged) == [7]


def test_an_old_version_that_stays_keeps_tumours_that_were_deleted_since(aged):
    before = contents_at(aged)
    with writing(aged, "test") as writer:
        writer.delete([0, 1, 6])
    collect_garbage(aged, keep=2)
    assert versions(aged) == [7, 8]
    assert contents_at(aged, 7) == before
    collect_garbage(aged)
    assert open_store(aged).ids.tolist() == [2, 3, 4, 5]
    assert unnamed(aged) == []


def test_a_second_collection_with_the_same_rule_finds_nothing(aged):
    assert collect_garbage(aged, 2, 6)[0] > 0
    assert collect_garbage(aged, 2, 6) == (0, 0)


def test_a_collection_that_keeps_more_than_there_is_deletes_nothing(aged):
    assert collect_garbage(aged, 100) == (0, 0)
    assert collect_garbage(aged, 1, 1000) == (0, 0)
    assert len(versions(aged)) == 7


@pytest.mark.parametrize("days", [-1, -1e-9, float("nan")])
def test_a_number_of_days_that_is_none_is_refused(aged, days):
    with pytest.raises(InputError, match="no negative days"):
        collect_garbage(aged, 1, days)
    assert len(versions(aged)) == 7


@pytest.mark.parametrize("days", [1e6, 1e12, float("inf")])
def test_more_days_than_a_calendar_has_keep_everything(aged, days):
    assert collect_garbage(aged, 1, days) == (0, 0)


def test_a_damaged_version_that_must_stay_stops_the_collection(aged):
    before = keys(aged)
    (aged / "manifests" / "00000005.json").write_text("{")
    with pytest.raises(DamagedStoreError, match=r"00000005\.json"):
        collect_garbage(aged, 1, 4)
    assert keys(aged) == before


def test_a_file_that_cannot_be_deleted_is_reported_in_words(aged):
    denied = PermissionError(errno.EACCES, "permission denied")
    with before_each_step(raises_at(1, denied), [(os, "unlink")]), pytest.raises(OutputError, match=r"00000001\.json"):
        collect_garbage(aged)


def test_nothing_is_taken_away_but_under_the_lock(aged):
    """Whoever has just made a folder to write into must still find it there."""
    (aged / "segments" / "0123456789ab" / "table").mkdir(parents=True)
    unlocked = []

    def try_to_write(name, *arguments):
        if name in {"unlink", "rmdir"}:
            try:
                with writing(aged, "another"):
                    unlocked.append((name, *arguments))
            except StoreLockedError:
                pass

    with before_each_step(try_to_write, [(os, "unlink"), (os, "rmdir")]):
        collect_garbage(aged)
    assert not (aged / "segments" / "0123456789ab").exists()
    assert unlocked == []


def test_a_folder_in_which_an_index_is_about_to_be_written_stays(aged):
    (aged / "derived" / "dice").mkdir(parents=True)  # the index has a lock of its own
    collect_garbage(aged)
    assert (aged / "derived" / "dice").is_dir()
