"""The same store in an object store: S3 as moto's server speaks it, through the network."""

import socket

import numpy as np
import pytest
import zarr

from gliodex.errors import DamagedStoreError, InputError, OutputError, StoreLockedError
from gliodex.index import DiceIndex
from gliodex.store import collect_garbage, creating, open_store, verify, writing
from gliodex.store.locations import files_at
from gliodex.store.manifest import Manifest

object_files = pytest.importorskip("gliodex.store.object_files", reason="the object-store extra is not installed")

MODEL = {"model": "test"}


@pytest.fixture
def filled(s3_url, small_atlas, make_tumour):
    """A store of three tumours in two commits."""
    with creating(s3_url, small_atlas, MODEL, "test") as writer:
        writer.commit_tumours([make_tumour(small_atlas.frame, radius=r, draw=r) for r in (14, 18)], {"kind": "test"})
        writer.commit_tumours([make_tumour(small_atlas.frame, radius=22, draw=22)], {"kind": "test"})
    return s3_url


def test_files_come_back_whole_and_in_parts(s3_url):
    files = files_at(s3_url)
    files.create("a/b", b"0123456789")
    assert files.read("a/b") == b"0123456789"
    assert files.read("a/b", 3, 4) == b"3456"
    assert files.sizes() == {"a/b": 10}
    assert files.sizes("a") == {"a/b": 10}
    assert files.sizes_of(["a/b", "a/c"]) == [10, None]
    assert files.remove("a/b") == 10
    assert files.sizes() == {}


def test_a_name_is_given_once_but_a_repeated_put_is_forgiven(s3_url):
    files = files_at(s3_url)
    files.create("name", b"first")
    files.create("name", b"first")
    with pytest.raises(FileExistsError):
        files.create("name", b"other")
    assert files.read("name") == b"first"


def test_missing_and_short_files_are_named(s3_url):
    files = files_at(s3_url)
    files.create("short", b"123")
    with pytest.raises(DamagedStoreError, match="short is cut short: 3 of 5"):
        files.read("short", 0, 5)
    with pytest.raises(DamagedStoreError, match="nothing is missing"):
        files.read("nothing")


def test_a_store_there_is_the_store_on_a_disk(filled, tmp_path, small_atlas, make_tumour):
    with creating(tmp_path / "local", small_atlas, MODEL, "test") as writer:
        writer.commit_tumours([make_tumour(small_atlas.frame, radius=r, draw=r) for r in (14, 18)], {"kind": "test"})
        writer.commit_tumours([make_tumour(small_atlas.frame, radius=22, draw=22)], {"kind": "test"})
    there, here = open_store(filled), open_store(tmp_path / "local")
    assert list(there.ids) == list(here.ids) == [0, 1, 2]
    assert there.atlas.digest == here.atlas.digest
    for tumour in there.ids:
        np.testing.assert_array_equal(there.integers(tumour), here.integers(tumour))
        assert there.parameters(tumour) == here.parameters(tumour)
        assert there.provenance(tumour) == here.provenance(tumour)
    assert verify(there, full=True) == []
    assert list(open_store(f"{filled}@2").ids) == [0, 1]
    u = here.density(1)
    hits = [DiceIndex.open(store).search(u >= 0.6, u >= 0.2, k=3) for store in (there, here)]
    np.testing.assert_array_equal(hits[0].ids, hits[1].ids)
    np.testing.assert_array_equal(hits[0].scores, hits[1].scores)


def test_a_plain_zarr_reader_opens_a_segment(filled):
    store = open_store(filled)
    reader = zarr.storage.ObjectStore(store._files._store, read_only=True)
    density = zarr.open_array(reader, path=f"segments/{store.segments[0].name}/density", mode="r")
    np.testing.assert_array_equal(density[1], store.integers(1))


def test_deleting_and_sweeping(filled):
    with writing(filled, "test") as writer:
        writer.delete([2])
    assert list(open_store(filled).ids) == [0, 1]
    removed, freed = collect_garbage(filled)
    assert removed > 3
    assert freed > 0
    assert Manifest.versions(files_at(filled)) == [4]
    assert verify(open_store(filled), full=True) == []


def test_what_someone_may_be_writing_is_left_alone(filled):
    files = files_at(filled)
    files.create("segments/abcdefabcdef/zarr.json", b"of a commit in the making")
    collect_garbage(filled)
    assert files.sizes_of(["segments/abcdefabcdef/zarr.json"]) == [25]


def test_of_two_committers_the_second_is_told(filled, small_atlas, make_tumour):
    tumour = make_tumour(small_atlas.frame, radius=16)
    with writing(filled, "one") as one, writing(filled, "two") as two:
        one.commit_tumours([tumour], {"kind": "one"})
        with pytest.raises(StoreLockedError, match="another process published version 4 first"):
            two.commit_tumours([tumour], {"kind": "two"})
    assert open_store(filled).provenance(3)["kind"] == "one"


def test_a_place_that_holds_something_else_is_refused(s3_url, small_atlas):
    files_at(s3_url).create("holiday/photo.jpg", b"sea")
    with pytest.raises(InputError, match="already holds something else"), creating(s3_url, small_atlas, MODEL, "test"):
        pass


def test_no_bucket_is_said_in_one_line(s3_url):
    nowhere = s3_url.replace("s3://", "s3://no-such-bucket-")
    with pytest.raises(OutputError, match="cannot reach s3://no-such-bucket-") as caught:
        open_store(nowhere)
    assert "\n" not in str(caught.value)


def test_an_unknown_kind_of_url_is_refused():
    with pytest.raises(InputError, match="gopher://x cannot be used"):
        files_at("gopher://x")


def test_a_server_that_does_not_answer_is_given_up_in_one_line(monkeypatch):
    """It takes the connection and then says nothing: every try times out."""
    monkeypatch.setattr(object_files, "_ANSWER_SECONDS", 1)
    monkeypatch.setattr(object_files, "_PATIENCE_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.getsockname()[1]}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        files = files_at("s3://bucket/store")
        for attempt in (files.sizes, lambda: files.read("name"), lambda: files.create("name", b"1")):
            with pytest.raises(OutputError, match="s3://bucket/store") as caught:
                attempt()
            assert "\n" not in str(caught.value)
