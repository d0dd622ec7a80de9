import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliodex.errors import DamagedStoreError, OutputError
from gliodex.store.checksummed_file import read_sealed, seal_of, write_sealed

from .breaking import flip


@given(record=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5)), data=st.binary(max_size=50))
def test_what_is_written_is_read(tmp_path_factory, record, data):
    path = tmp_path_factory.mktemp("sealed") / "file"
    sha256 = write_sealed(path, record, data)
    found = read_sealed(path, "make")
    assert (found.record, bytes(found.data), found.sha256) == (record, data, sha256)
    assert seal_of(path) == sha256


def test_every_flipped_byte_and_every_cut_is_found(tmp_path):
    path = tmp_path / "file"
    write_sealed(path, {"a": 1}, b"some bytes")
    whole = path.read_bytes()
    for n in range(len(whole)):
        flip(path, n, 0x80)
        with pytest.raises(DamagedStoreError, match="make it anew with again"):
            read_sealed(path, "again")
        path.write_bytes(whole[:n])
        with pytest.raises(DamagedStoreError):
            read_sealed(path, "again")
        path.write_bytes(whole)
    assert read_sealed(path, "again").record == {"a": 1}


def test_no_file_has_no_seal_and_cannot_be_read(tmp_path):
    assert seal_of(tmp_path / "none") is None
    with pytest.raises(DamagedStoreError, match="cannot be read"):
        read_sealed(tmp_path / "none", "again")


@pytest.mark.parametrize("length", [0, 1, 31])
def test_a_file_too_short_for_a_seal_is_there_all_the_same(tmp_path, length):
    path = tmp_path / "file"
    sha256 = write_sealed(path, {"a": 1}, b"bytes")
    path.write_bytes(path.read_bytes()[:length])
    assert seal_of(path) not in (None, sha256)


def test_other_content_has_another_seal(tmp_path):
    seals = {write_sealed(tmp_path / "file", *content) for content in (({}, b"a"), ({}, b"b"), ({"a": 0}, b"a"))}
    assert len(seals) == 3


def test_where_it_cannot_be_written_what_was_there_stays(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_sealed(path, {}, b"before")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", full)
        with pytest.raises(OutputError, match="No space left"):
            write_sealed(path, {}, b"after")
    assert bytes(read_sealed(path, "again").data) == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_record_is_json_behind_its_length(tmp_path):
    """So that other programs can read it."""
    path = tmp_path / "file"
    write_sealed(path, {"a": [1, 2]}, b"data")
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "big")
    assert json.loads(content[8 : 8 + length]) == {"a": [1, 2]}
    assert content[8 + length : -32] == b"data"
