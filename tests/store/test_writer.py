import dataclasses
import itertools
import shutil
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
from gliodex.store.files import PARTIAL, StoreFiles
from gliodex.store.writer import SOFTWARE

from .breaking import fails_at, in_fork, killed_at

MODEL = {"model": "test"}


def keys(path):
    return list(StoreFiles(path).keys())


def unnamed(path):
    """Files of a store that its newest version does not name."""
    manifest = open_store(path).manifest
    named = {f"manifests/{manifest.version:08d}.json", "lock"}
    named |= {f"{manifest.atlas['folder']}/{key}" for key in manifest.atlas["files"]}
    named |= {f"segments/{s.name}/{key}" for s in manifest.segments for key in s.files}
    return sorted(set(keys(path)) - named)


def assert_sound_and_usable(path, counts, commit):
    """The store holds one of `counts` tumours, every byte fits, and commits and garbage collection go on."""
    store = open_store(path)
    assert len(store) in counts
    assert verify(store, full=True) == []
    collect_garbage(path)
    assert unnamed(path) == []
    commit(path, count=1)
    after = open_store(path)
    assert len(after) == len(store) + 1
    assert after.ids.tolist() == list(range(len(after)))
    np.testing.assert_array_equal(after.density(after.ids[-1]), store.density(0))
    return len(store)


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


@pytest.mark.parametrize("model", [{"model": "other"}, {"model": "test", "extra": 1}, {}])
def test_creating_refuses_another_model_and_names_what_differs(tiny_store, tiny_atlas, model):
    with pytest.raises(InputError, match=r"another growth model \((model|extra) differ"):  # noqa: SIM117
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


def test_a_commit_killed_at_any_step_leaves_the_old_or_the_new_store(tiny_store, commit, tmp_path):
    seen = set()
    for step in itertools.count(1):
        path = tmp_path / f"killed-{step}"
        shutil.copytree(tiny_store, path)
        killed = killed_at(step, lambda path=path: commit(path))
        seen.add(assert_sound_and_usable(path, {3, 5}, commit))
        shutil.rmtree(path)
        if not killed:
            break
    assert seen == {3, 5}
    assert step > 30


def test_a_creation_killed_at_any_step_can_be_repeated(tmp_path, tiny_atlas):
    def create(path):
        with creating(path, tiny_atlas, MODEL, "test"):
            pass

    for step in itertools.count(1):
        path = tmp_path / f"killed-{step}"
        killed = killed_at(step, lambda path=path: create(path))
        if not (path / "manifests/00000001.json").exists():
            with pytest.raises(NotAStoreError):
                open_store(path)
            create(path)
        assert open_store(path).version == 1
        assert verify(open_store(path), full=True) == []
        collect_garbage(path)
        assert unnamed(path) == []
        shutil.rmtree(path)
        if not killed:
            break
    assert step > 60


def test_garbage_collection_killed_at_any_step_keeps_the_newest_version(tiny_store, commit, tmp_path):
    for step in itertools.count(1):
        path = tmp_path / f"killed-{step}"
        shutil.copytree(tiny_store, path)
        with writing(path, "test") as writer:
            writer._publish("drop the first segment", segments=writer.manifest.segments[1:])
        killed = killed_at(step, lambda path=path: collect_garbage(path))
        store = open_store(path)
        assert store.ids.tolist() == [2]
        assert verify(store, full=True) == []
        collect_garbage(path)
        assert unnamed(path) == []
        if not killed:
            break
        shutil.rmtree(path)
    assert step > 8


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


def test_tumours_of_another_grid_are_refused(tiny_store, small_atlas, make_tumour):
    with writing(tiny_store, "test") as writer, pytest.raises(InputError):
        writer.commit_tumours([make_tumour(small_atlas.frame)], {})


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
