import dataclasses
import hashlib
import json

import pytest

from gliodex.errors import DamagedStoreError, InputError, NewerSchemaError, NotAStoreError
from gliodex.store import Campaign, Manifest, collect_garbage, open_store
from gliodex.store.local_files import LocalFiles
from gliodex.store.manifest import SCHEMA

from .breaking import flip


@pytest.fixture
def files(tiny_store):
    return LocalFiles(tiny_store)


def path_of(files, version):
    return files.path(f"manifests/{version:08d}.json")


def test_a_published_manifest_reads_back_equal(files):
    manifest = Manifest.load(files)
    campaign = Campaign(7, {"diffusivity": [0.1, 0.2]}, draws=5, count=2)
    successor = manifest.successor("why", "gliodex test", campaigns={campaign.key: campaign}, next_id=9)
    successor.publish(files)
    assert Manifest.load(files) == successor
    assert (successor.version, successor.note, successor.next_id) == (4, "why", 9)


def test_the_newest_version_is_loaded_unless_one_is_named(files):
    assert Manifest.versions(files) == [1, 2, 3]
    assert [Manifest.load(files, v).count for v in (1, 2, 3)] == [0, 2, 3]
    assert Manifest.load(files).version == 3


def test_a_version_cannot_be_published_twice(files):
    first = Manifest.load(files)
    first.successor("mine", "a").publish(files)
    with pytest.raises(FileExistsError):
        first.successor("theirs", "b").publish(files)
    assert Manifest.load(files).note == "mine"


def test_unknown_versions_are_refused_with_those_that_exist(files):
    with pytest.raises(InputError, match="no version 9: it holds versions 1 to 3"):
        Manifest.load(files, 9)


def test_a_folder_without_manifests_is_no_store(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NotAStoreError, match="not a gliodex store"):
            Manifest.load(LocalFiles(path))
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "notes.json").write_text("{}")
    with pytest.raises(NotAStoreError):
        Manifest.load(LocalFiles(tmp_path))


def test_a_newer_schema_is_refused_with_the_version_that_wrote_it(files):
    newer = Manifest.load(files).successor("from the future", "gliodex 9.9")
    dataclasses.replace(newer, schema=SCHEMA + 1).publish(files)
    with pytest.raises(NewerSchemaError, match=rf"schema {SCHEMA + 1}.*upgrade gliodex.*gliodex 9\.9"):
        Manifest.load(files)
    assert Manifest.load(files, 3).count == 3


def test_a_newer_schema_is_refused_even_where_its_fields_are_unknown(files):
    body = {"format": "gliodex store", "schema": SCHEMA + 5, "manifest": {"shape": "of things to come"}}
    path_of(files, 4).write_text(json.dumps(body))
    with pytest.raises(NewerSchemaError, match="a newer version"):
        Manifest.load(files)


@pytest.mark.parametrize("mask", [0x01, 0x08])
def test_no_flipped_byte_of_a_manifest_goes_unseen(files, mask):
    path = path_of(files, 3)
    sound = Manifest.load(files)
    unseen, nameless = [], []
    for position in range(0, path.stat().st_size, 3):
        flip(path, position, mask)
        try:
            if Manifest.load(files) != sound:
                unseen.append(position)
        except NewerSchemaError as error:
            nameless += [position] * (str(files.root) not in str(error))
        except DamagedStoreError as error:
            nameless += [position] * (str(path) not in str(error))
        flip(path, position, mask)
    assert unseen == nameless == []
    assert Manifest.load(files) == sound


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "7",
        "null",
        '"text"',
        "{}",
        '{"format": "gliodex store"}',
        "\x00\x01",
        '{"format": 1, "schema": 1}',
    ],
)
def test_a_manifest_of_nonsense_is_damaged(files, content):
    path_of(files, 3).write_text(content)
    with pytest.raises(DamagedStoreError, match=r"00000003\.json is damaged"):
        Manifest.load(files)


def test_every_truncation_of_a_manifest_is_damaged(files):
    path = path_of(files, 3)
    content = path.read_bytes()
    for length in range(0, len(content), 11):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedStoreError, match=r"00000003\.json"):
            Manifest.load(files)


def test_an_older_version_stays_readable_beside_a_damaged_one(files):
    flip(path_of(files, 3), 200)
    assert len(open_store(f"{files.root}@2")) == 2


def test_a_campaign_is_named_by_its_seed_and_prior_alone():
    key = Campaign(1, {"a": 1, "b": [2, 3]}).key
    assert Campaign(1, {"b": [2, 3], "a": 1}, draws=50, count=9).key == key
    assert Campaign(1, {"b": (2, 3), "a": 1}).key == key
    assert Campaign(2, {"a": 1, "b": [2, 3]}).key != key
    assert Campaign(1, {"a": 1, "b": [2, 4]}).key != key


def test_a_history_lists_every_version_present_oldest_first(files):
    history = Manifest.history(files)
    assert history == [Manifest.load(files, version) for version in (1, 2, 3)]
    assert [(m.version, m.count, m.note) for m in history] == [(1, 0, "created"), (2, 2, ""), (3, 3, "")]
    assert [m.committed for m in history] == sorted(m.committed for m in history)


def test_a_history_begins_at_the_oldest_version_that_was_kept(files):
    collect_garbage(files.root, keep=2)
    assert [m.version for m in Manifest.history(files)] == [2, 3]


def test_a_history_names_the_version_that_is_damaged(files):
    flip(path_of(files, 2), 200)
    with pytest.raises(DamagedStoreError, match=r"00000002\.json"):
        Manifest.history(files)


def test_what_is_no_store_has_no_history(tmp_path):
    with pytest.raises(NotAStoreError):
        Manifest.history(LocalFiles(tmp_path))


def test_deleted_tumours_are_published_and_not_counted(files):
    successor = Manifest.load(files).successor("less", "gliodex test", deleted=(0, 2))
    successor.publish(files)
    read = Manifest.load(files)
    assert read == successor
    assert (read.deleted, read.count, read.schema) == ((0, 2), 1, 3)


def test_a_campaign_keeps_how_much_of_a_draw_is_still_to_come(files):
    campaign = Campaign(7, {}, draws=5, count=9, part=2)
    Manifest.load(files).successor("", "gliodex test", campaigns={campaign.key: campaign}).publish(files)
    assert Manifest.load(files).campaigns == {campaign.key: campaign}
    assert campaign.key == Campaign(7, {}).key


def test_a_manifest_that_does_not_know_of_deletion_has_nothing_deleted(files):
    record = dataclasses.asdict(Manifest.load(files)) | {"version": 4, "schema": 1}
    del record["deleted"]
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    body = {"format": "gliodex store", "schema": 1, "sha256": hashlib.sha256(canonical).hexdigest(), "manifest": record}
    path_of(files, 4).write_text(json.dumps(body))
    read = Manifest.load(files)
    assert (read.schema, read.deleted, read.count) == (1, (), 3)
    assert read.successor("", "gliodex test").schema == SCHEMA
