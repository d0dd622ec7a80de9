"""One wrong byte in each kind of file of a store: it is found, its file is named, and no wrong density is ever read."""

import dataclasses
import shutil

import numpy as np
import pytest

from gliodex.errors import DamagedStoreError, NewerSchemaError, UnknownTumourError
from gliodex.store import Manifest, creating, open_store, verify
from gliodex.store.local_files import LocalFiles

from .breaking import flip
from .looking import contents, keys, versions

PLACES = 17
"""Bytes that are flipped in each file: the first, the last, and some at even distances between."""

SHARD = "density/c/0/0/0/0"


@pytest.fixture(scope="module")
def life(tmp_path_factory, tiny_atlas, tiny_tumours):
    """Path of a store in version 5: tumours 0 to 5 in three segments, some deleted, some without parameters."""
    path = tmp_path_factory.mktemp("sound") / "store"
    first, second, third = tiny_tumours
    with creating(path, tiny_atlas, {"model": "test"}, "test") as writer:
        writer.commit_tumours([first, second], {"method": "test"})
        writer.commit_tumours([dataclasses.replace(third, parameters=None, snapshot=1)], {"kind": "added"})
        writer.commit_tumours([third, second, first], {"method": "test"})
        writer.delete([1, 4])
    return path


@pytest.fixture(scope="module")
def sound(life):
    """What each version holds."""
    return {version: contents(open_store(life, version)) for version in versions(life)}


@pytest.fixture
def broken(life, tmp_path):
    """A copy of the store to break."""
    shutil.copytree(life, tmp_path / "store")
    return tmp_path / "store"


def places(path):
    return sorted({int(p) for p in np.linspace(0, path.stat().st_size - 1, PLACES)})


def files_of(kind, path):
    """Files of a store of one kind."""
    manifest = open_store(path).manifest
    patterns = {
        "manifest": "manifests/*.json",
        "atlas metadata": f"{manifest.atlas['folder']}/**/zarr.json",
        "atlas map": f"{manifest.atlas['folder']}/*/c/0/0/0",
        "segment metadata": "segments/**/zarr.json",
        "table": "segments/*/table/c/0/0",
        "shard": f"segments/*/{SHARD}",
    }
    return sorted(path.glob(patterns[kind]))


KINDS = {"manifest": 5, "atlas metadata": 5, "atlas map": 4, "segment metadata": 9, "table": 3, "shard": 3}


def read_all(store, expected):
    """Tumours that the store refuses to read for damage; the others are exactly what was written."""
    refused = {}
    for tumour, (integers, parameters, provenance) in expected.items():
        try:
            assert store.integers(tumour).tobytes() == integers
            np.testing.assert_array_equal(store.density(tumour), store.integers(tumour) / np.float32(4095))
            assert store.known_parameters(tumour) == parameters
            assert store.provenance(tumour) == provenance
        except DamagedStoreError as error:
            refused[tumour] = str(error)
    return refused


def test_the_kinds_of_files_are_all_that_a_store_has(life):
    counted = {kind: len(files_of(kind, life)) for kind in KINDS}
    assert counted == KINDS
    assert sum(counted.values()) == len(set(keys(life)) - {"lock"})


@pytest.mark.parametrize("mask", [0x01, 0xFF])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "manifest"])
def test_a_flipped_byte_is_found_and_its_file_named_and_no_wrong_value_is_read(broken, sound, kind, mask):
    for path in files_of(kind, broken):
        key = path.relative_to(broken).as_posix()
        for place in places(path):
            flip(path, place, mask)
            store = open_store(broken)  # sizes and manifest fit, so it opens
            found = verify(store, full=True)
            assert any(str(path) in line for line in found), (key, place)
            assert all(str(path) in line or "tumour " in line for line in found), (key, place)
            refused = read_all(store, sound[5])
            assert all(str(path) in message for message in refused.values()), (key, place)
            flip(path, place, mask)
    assert verify(open_store(broken), full=True) == []


@pytest.mark.parametrize("mask", [0x02, 0xFF])
def test_a_manifest_with_a_flipped_byte_is_refused_or_says_just_what_it_said(broken, sound, mask):
    for version, path in enumerate(files_of("manifest", broken), 1):
        manifest, unseen, nameless = Manifest.load(LocalFiles(broken), version), [], []
        for place in {
            *range(120 if version == 5 else 60),
            *places(path),
        }:  # what comes before the part that the checksum is of, and some of it
            flip(path, place, mask)
            try:
                assert Manifest.load(LocalFiles(broken), version) == manifest
                unseen.append(place)
            except (DamagedStoreError, NewerSchemaError) as error:
                named = path if isinstance(error, DamagedStoreError) else broken
                nameless += [place] * (str(named) not in str(error))
            flip(path, place, mask)
        # a lower number of the schema is not noticed: it only says who can read this, the part below says it again
        schema = path.read_bytes().index(b'"schema": 3') + len('"schema": ')
        assert unseen in ([], [schema])
        assert nameless == []
        assert contents(open_store(broken, version)) == sound[version]


def test_a_damaged_manifest_does_not_stop_other_versions_from_being_read(broken, sound):
    for version, path in enumerate(files_of("manifest", broken), 1):
        flip(path, 300)
        for other in sorted(set(sound) - {version}):
            assert contents(open_store(broken, other)) == sound[other]
        with pytest.raises(DamagedStoreError, match=path.name):
            open_store(broken, version)
        flip(path, 300)


def test_every_byte_of_a_shard_belongs_to_a_tumour_or_to_the_index_and_is_blamed_on_it(broken, sound):
    store = open_store(broken)
    for record in store.segments:
        path = broken / "segments" / record.name / SHARD
        index_begins = path.stat().st_size - 16 * record.count - 4
        index = np.frombuffer(path.read_bytes()[index_begins:-4], "<u8").reshape(-1, 2)
        assert index[:, 1].sum() == index_begins
        for place in [*range(0, index_begins, 5), *range(index_begins, path.stat().st_size)]:
            inside = (index[:, 0] <= place) & (place < index.sum(axis=1))
            hit = [n for n, yes in zip(record.ids, inside, strict=True) if yes or place >= index_begins]
            flip(path, place)
            refused = read_all(open_store(broken), sound[5])
            assert sorted(refused) == [n for n in hit if n in sound[5]]
            flip(path, place)


def test_damage_to_a_deleted_tumour_is_found_too_and_hurts_no_other(broken, sound):
    store = open_store(broken)
    path = broken / "segments" / store.segments[0].name / SHARD
    first, second = (int(n) for n in np.frombuffer(path.read_bytes()[-36:-4], "<u8").reshape(-1, 2)[:, 1])
    flip(path, first + second // 2)
    store = open_store(broken)
    assert read_all(store, sound[5]) == {}
    with pytest.raises(UnknownTumourError):
        store.density(1)
    assert [str(path) in line for line in verify(store, full=True)] == [True, True]  # its tumour and its file
    with pytest.raises(DamagedStoreError, match="tumour 1 is damaged"):
        open_store(broken, 4).density(1)
