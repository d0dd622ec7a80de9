import dataclasses
import fcntl
import os
import signal

import numpy as np
import pytest

from gliodex.errors import (
    DamagedStoreError,
    InputError,
    NotAStoreError,
    OutputError,
    StoreLockedError,
    UnknownTumourError,
)
from gliodex.store import Campaign, collect_garbage, creating, open_store, verify, writing
from gliodex.store.writer import SOFTWARE

from .breaking import forked, in_fork
from .looking import contents, contents_at, keys, unnamed, versions

MODEL = {"model": "test"}


def test_a_new_store_is_empty_and_holds_atlas_model_and_thresholds(tmp_path, tiny_atlas):
    with creating(tmp_path / "s", tiny_atlas, MODEL, "test") as writer:
        assert writer.frame.same_as(tiny_atlas.frame)
    store = open_store(tmp_path / "s")
    assert (len(store), store.version) == (0, 1)
    assert store.manifest.model == MODEL
    assert store.thresholds == {"whole": 0.2, "core": 0.6}
    assert store.atlas.digest == tiny_atlas.digest
    assert store.manifest.software == SOFTWARE
    assert verify(store, full=True) == []


def test_creating_where_the_same_store_is_opens_it(tiny_store, tiny_atlas, tiny_tumours):
    with creating(tiny_store, tiny_atlas, MODEL, "test") as writer:
        record = writer.commit_tumours(tiny_tumours[:1], {})
    assert list(record.ids) == [3]
    assert len(open_store(tiny_store)) == 4


def test_a_model_of_tuples_is_recognised_as_the_same(tmp_path, tiny_atlas):
    for _ in range(2):
        with creating(tmp_path / "s", tiny_atlas, {"range": (1, 2)}, "test"):
            pass
    assert open_store(tmp_path / "s").version == 1


def test_ids_follow_on_and_are_never_used_again(tiny_store, commit):
    record = commit(tiny_store)
    assert list(record.ids) == [3, 4]
    with writing(tiny_store, "test") as writer:
        kept = writer.manifest.segments[:1]
        writer._publish("drop all but the first segment", segments=kept)
    assert open_store(tiny_store).ids.tolist() == [0, 1]
    collect_garbage(tiny_store)
    assert list(commit(tiny_store).ids) == [5, 6]
    store = open_store(tiny_store)
    assert store.ids.tolist() == [0, 1, 5, 6]
    np.testing.assert_array_equal(store.density(5), store.density(0))
    with pytest.raises(UnknownTumourError):
        store.density(3)
    assert verify(store, full=True) == []


def test_a_commit_without_tumours_publishes_the_campaign_alone(tiny_store):
    campaign = Campaign(3, {"a": [1, 2]}, draws=100, count=0)
    with writing(tiny_store, "test") as writer:
        assert writer.commit_tumours([], {}, campaign, note="nothing kept") is None
    manifest = open_store(tiny_store).manifest
    assert (manifest.version, manifest.count, manifest.note) == (4, 3, "nothing kept")
    assert manifest.campaigns == {campaign.key: campaign}


def test_campaigns_are_kept_side_by_side_and_advance(tiny_store, tiny_tumours):
    one, two = Campaign(1, {}), Campaign(2, {})
    with writing(tiny_store, "test") as writer:
        writer.commit_tumours([], {}, one)
        writer.commit_tumours([], {}, two)
        writer.commit_tumours(tiny_tumours[:1], {}, dataclasses.replace(one, draws=9, count=1))
    campaigns = open_store(tiny_store).manifest.campaigns
    assert campaigns[one.key].draws == 9
    assert campaigns[two.key] == two


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "data"])
def test_creating_refuses_a_folder_that_holds_something_else(tmp_path, tiny_atlas, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"already holds something else.*{name}"):  # noqa: SIM117
        with creating(tmp_path, tiny_atlas, MODEL, "test"):
            pass
    assert keys(tmp_path) == [name]


@pytest.mark.parametrize("name", ["segments/patient-1.nii.gz", "atlas/t1.nii.gz", "manifests/readme.txt"])
def test_creating_refuses_a_folder_whose_like_named_folders_are_not_its_own(tmp_path, tiny_atlas, name):
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError), creating(tmp_path, tiny_atlas, MODEL, "test"):
        pass


def test_creating_refuses_a_file(tmp_path, tiny_atlas):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"), creating(tmp_path / "file", tiny_atlas, MODEL, "test"):
        pass


def test_creating_below_a_file_is_refused_in_words(tmp_path, tiny_atlas):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError), creating(tmp_path / "file" / "s", tiny_atlas, MODEL, "test"):
        pass


def test_creating_takes_an_empty_folder(tmp_path, tiny_atlas):
    (tmp_path / "s").mkdir()
    with creating(tmp_path / "s", tiny_atlas, MODEL, "test"):
        pass
    assert open_store(tmp_path / "s").version == 1


def test_creating_refuses_another_atlas(tiny_store, make_atlas):
    other = make_atlas((9, 10, 11), spacing=8.5, name="other")
    with pytest.raises(InputError, match="built in the atlas tiny, not in other"):  # noqa: SIM117
        with creating(tiny_store, other, MODEL, "test"):
            pass
    assert open_store(tiny_store).version == 3


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ({"model": "other"}, "with the growth model test, not with other"),
        ({"model": "test", "extra": 1}, r"another growth model \(extra differ"),
        ({}, "with the growth model test, not with None"),
    ],
)
def test_creating_refuses_another_model_and_names_what_differs(tiny_store, tiny_atlas, model, named):
    with pytest.raises(InputError, match=named):  # noqa: SIM117
        with creating(tiny_store, tiny_atlas, model, "test"):
            pass


def test_writing_needs_a_store(tmp_path):
    with pytest.raises(NotAStoreError), writing(tmp_path, "test"):
        pass
    assert keys(tmp_path) == []


def test_the_second_writer_is_told_who_writes(tiny_store, tiny_atlas):
    with writing(tiny_store, "gliodex build --seed 8"):
        for second in (
            lambda: writing(tiny_store, "x"),
            lambda: creating(tiny_store, tiny_atlas, MODEL, "x"),
        ):
            with pytest.raises(StoreLockedError, match="gliodex build --seed 8"), second():
                pass
        with pytest.raises(StoreLockedError, match="gliodex build --seed 8"):
            collect_garbage(tiny_store)


def test_a_killed_writer_does_not_lock_the_store(tiny_store, commit):
    def die_inside():
        with writing(tiny_store, "doomed"):
            signal.raise_signal(signal.SIGKILL)

    assert in_fork(die_inside) == -signal.SIGKILL
    commit(tiny_store)
    assert len(open_store(tiny_store)) == 5


def test_a_writer_whose_lock_was_ignored_cannot_overwrite_a_version(tiny_store, tiny_tumours, commit):
    with writing(tiny_store, "first") as slow:
        (tiny_store / "lock").unlink()
        commit(tiny_store, count=1)
        with pytest.raises(StoreLockedError, match="published version 4 first"):
            slow.commit_tumours(tiny_tumours[:2], {})
    store = open_store(tiny_store)
    assert (store.version, len(store)) == (4, 4)
    assert verify(store, full=True) == []


def test_writing_refuses_a_damaged_manifest(tiny_store):
    (tiny_store / "manifests" / "00000003.json").write_text("{")
    with pytest.raises(DamagedStoreError), writing(tiny_store, "test"):
        pass


def test_tumours_of_another_grid_are_refused(tiny_store, small_atlas, make_tumour):
    with writing(tiny_store, "test") as writer, pytest.raises(InputError):
        writer.commit_tumours([make_tumour(small_atlas.frame)], {})


def delete(path, ids, note=""):
    with writing(path, "test") as writer:
        writer.delete(ids, note)


def test_deleted_tumours_are_gone_from_the_new_version_and_still_in_the_old_one(tiny_store):
    before = contents_at(tiny_store)
    delete(tiny_store, [1])
    store = open_store(tiny_store)
    assert (store.version, len(store), store.ids.tolist()) == (4, 2, [0, 2])
    assert store.manifest.deleted == (1,)
    assert contents(store) == {0: before[0], 2: before[2]}
    assert contents_at(tiny_store, 3) == before
    assert verify(store, full=True) == []


def test_deleting_writes_nothing_but_a_manifest(tiny_store):
    before = set(keys(tiny_store))
    delete(tiny_store, [0, 2])
    assert set(keys(tiny_store)) - before == {"manifests/00000004.json"}
    assert before <= set(keys(tiny_store))


def test_a_segment_whose_tumours_are_all_deleted_leaves_the_manifest(tiny_store):
    names = [segment.name for segment in open_store(tiny_store).segments]
    delete(tiny_store, [0])
    assert [s.name for s in open_store(tiny_store).segments] == names
    assert open_store(tiny_store).manifest.deleted == (0,)
    delete(tiny_store, [1])
    manifest = open_store(tiny_store).manifest
    assert [s.name for s in manifest.segments] == names[1:]
    assert (manifest.deleted, manifest.count) == ((), 1)
    collect_garbage(tiny_store)
    assert not (tiny_store / "segments" / names[0]).exists()
    assert unnamed(tiny_store) == []
    assert verify(open_store(tiny_store), full=True) == []


def test_ids_of_deleted_tumours_are_never_used_again(tiny_store, commit):
    delete(tiny_store, [2])
    assert list(commit(tiny_store, 1).ids) == [3]
    delete(tiny_store, [0, 1, 3])
    assert open_store(tiny_store).segments == ()
    collect_garbage(tiny_store)
    assert list(commit(tiny_store).ids) == [4, 5]
    store = open_store(tiny_store)
    assert store.ids.tolist() == [4, 5]
    for gone in range(4):
        with pytest.raises(UnknownTumourError):
            store.density(gone)


def test_a_store_of_which_everything_was_deleted_is_empty_and_sound(tiny_store):
    delete(tiny_store, range(3))
    store = open_store(tiny_store)
    assert (len(store), store.ids.tolist(), store.manifest.deleted, store.manifest.next_id) == (0, [], (), 3)
    assert verify(store, full=True) == []


@pytest.mark.parametrize("ids", [[3], [-1], [0, 3], [1], [1, 0], [0, 10**12]])
def test_deleting_what_is_not_there_refuses_all_and_publishes_nothing(tiny_store, ids):
    delete(tiny_store, [1])
    before, unknown = keys(tiny_store), sorted(set(ids) - {0, 2})
    with pytest.raises(UnknownTumourError, match=f"no tumour {unknown[0]}: nothing was deleted") as caught:
        delete(tiny_store, ids)
    assert str(tiny_store) in str(caught.value)
    assert (keys(tiny_store), versions(tiny_store)) == (before, [1, 2, 3, 4])
    assert open_store(tiny_store).ids.tolist() == [0, 2]


def test_a_tumour_of_a_segment_that_left_the_manifest_cannot_be_deleted_again(tiny_store):
    delete(tiny_store, [2])
    with pytest.raises(UnknownTumourError, match="no tumour 2:"):
        delete(tiny_store, [0, 2])
    assert open_store(tiny_store).ids.tolist() == [0, 1]


def test_a_writer_that_was_refused_a_deletion_goes_on(tiny_store, tiny_tumours):
    with writing(tiny_store, "test") as writer:
        with pytest.raises(UnknownTumourError):
            writer.delete([7])
        writer.commit_tumours(tiny_tumours[:1], {})
        writer.delete([3])
        with pytest.raises(UnknownTumourError):
            writer.delete([3])
    assert open_store(tiny_store).ids.tolist() == [0, 1, 2]


def test_only_the_first_five_of_many_unknown_ids_are_listed(tiny_store):
    with pytest.raises(UnknownTumourError, match="no tumour 5, 6, 7, 8, 9: nothing"):
        delete(tiny_store, range(5, 5000))


@pytest.mark.parametrize(
    "ids", [np.array([0, 2]), (n for n in (2, 0)), {0, 2}, [2, 0, 2, 0]], ids=["array", "generator", "set", "list"]
)
def test_ids_to_delete_may_come_in_any_iterable_and_twice(tiny_store, ids):
    delete(tiny_store, ids)
    manifest = open_store(tiny_store).manifest
    assert (manifest.count, manifest.deleted) == (1, (0,))
    assert manifest.note == "deleted 2 tumours"


def test_a_deletion_says_why_and_keeps_what_campaigns_have_done(tiny_store):
    campaign = Campaign(3, {"a": 1}, draws=9, count=4, part=1)
    with writing(tiny_store, "test") as writer:
        writer.commit_tumours([], {}, campaign)
        writer.delete([0], "grew outside the skull")
    manifest = open_store(tiny_store).manifest
    assert manifest.note == "grew outside the skull"
    assert manifest.campaigns == {campaign.key: campaign}
    assert manifest.software == SOFTWARE


@pytest.mark.parametrize("locks", [True, False], ids=["with locks", "on a file system that ignores locks"])
def test_of_many_writers_at_once_every_commit_arrives_exactly_once(tiny_store, tiny_tumours, monkeypatch, locks):
    if not locks:
        monkeypatch.setattr(fcntl, "flock", lambda *_: None)

    def insist(writer_number):
        for number in range(4):
            while True:
                try:
                    with writing(tiny_store, f"writer {writer_number}") as writer:
                        writer.commit_tumours(tiny_tumours[:2], {"method": f"{writer_number}.{number}"})
                        if number == 2:
                            writer.delete([writer.manifest.segments[-1].first_id])
                    break
                except StoreLockedError:
                    continue

    writers = [forked(lambda n=n: insist(n)) for n in range(3)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in writers] == [0, 0, 0]
    store = open_store(tiny_store)
    assert verify(store, full=True) == []
    assert store.ids_in_segments.tolist() == list(range(store.manifest.next_id))
    arrived = [s.provenance["method"] for s in store.segments[2:]]
    if locks:
        assert sorted(arrived) == [f"{w}.{n}" for w in range(3) for n in range(4)]
        assert versions(tiny_store) == list(range(1, 3 + 12 + 3 + 1))
        assert len(store) == 3 + 24 - 3
        collect_garbage(tiny_store)
        assert unnamed(tiny_store) == []
    else:  # who lost the race for a deletion commits once more, so that only the least is certain
        assert set(arrived) == {f"{w}.{n}" for w in range(3) for n in range(4)}
        assert all(arrived.count(f"{w}.{n}") == 1 for w in range(3) for n in (0, 1, 3))


def test_readers_beside_writers_always_see_one_whole_version(tiny_store, tiny_tumours):
    def write():
        for number in range(12):
            with writing(tiny_store, "test") as writer:
                record = writer.commit_tumours(tiny_tumours[:2], {"method": "test"})
                if number % 3 == 0:
                    writer.delete(record.ids)

    child = forked(write)
    seen, ended = {}, 0
    while not ended:
        ended = os.waitpid(child, os.WNOHANG)[0]
        store = open_store(tiny_store)
        seen.setdefault(store.version, store.ids.tolist())
        assert seen[store.version] == store.ids.tolist()
        assert store.integers(store.ids[-1]).any()
    assert seen[max(seen)] == open_store(tiny_store).ids.tolist()
    assert max(seen) == 3 + 12 + 4
    assert sorted(seen.items()) == [(v, open_store(tiny_store, v).ids.tolist()) for v in sorted(seen)]
