import errno
import itertools
import json
import os

import numpy as np
import pytest

from gliodex.errors import DamagedStoreError, OutputError
from gliodex.index.segment_file import Directory, append, check_head, damaged_segments, data_path, mapped

from ..store.breaking import fails_at, flip, killed_at

MADE_WITH = {"layout": "test", "frame": {"shape": [1, 2, 3]}, "thresholds": {"core": 0.6, "whole": 0.2}}
LAYOUT = {"head": 8}


def piece(number, length=24):
    return bytes([number]) * length


@pytest.fixture
def folder(tmp_path):
    directory = Directory(MADE_WITH)
    for number in (1, 2):
        directory = append(tmp_path / "dice", directory, f"s{number}", piece(number), LAYOUT)
    return tmp_path / "dice"


def load(folder):
    return Directory.load(folder, MADE_WITH)


def test_appended_segments_are_read_back_where_the_directory_says(folder):
    directory = load(folder)
    data = mapped(folder, directory)
    assert list(directory.segments) == ["s1", "s2"]
    for number, (name, segment) in enumerate(directory.segments.items(), 1):
        assert data[segment.start : segment.start + segment.bytes].tobytes() == piece(number)
        check_head(folder, data, name, segment)
    assert directory.length == len(data) == 48
    assert damaged_segments(folder, directory) == []


def test_where_there_is_no_directory_nothing_is_held(tmp_path):
    directory = load(tmp_path / "missing")
    assert directory == Directory(MADE_WITH)
    assert len(mapped(tmp_path / "missing", directory)) == 0


def test_a_directory_made_with_something_else_is_stale(folder):
    for key, other in (("layout", "x"), ("frame", {}), ("thresholds", {"core": 0.5, "whole": 0.2})):
        stale = Directory.load(folder, MADE_WITH | {key: other})
        assert (stale.length, stale.segments) == (0, {})


def test_what_a_killed_build_left_behind_the_published_length_is_overwritten(folder):
    with data_path(folder).open("ab") as file:
        file.write(b"garbage" * 100)
    directory = append(folder, load(folder), "s3", piece(3), LAYOUT)
    assert data_path(folder).read_bytes() == piece(1) + piece(2) + piece(3)
    assert damaged_segments(folder, directory) == []
    assert load(folder) == directory


def test_every_flipped_byte_of_the_directory_is_damage(folder):
    path = folder / "directory.json"
    sound = load(folder)
    for position in range(0, path.stat().st_size, 2):
        flip(path, position)
        with pytest.raises(DamagedStoreError, match=r"directory\.json is damaged"):
            load(folder)
        flip(path, position)
    assert load(folder) == sound


@pytest.mark.parametrize("content", ["", "[]", "3", "{}", '{"directory": 3, "sha256": ""}', "\x00"])
def test_a_directory_of_nonsense_is_damage(folder, content):
    (folder / "directory.json").write_text(content)
    with pytest.raises(DamagedStoreError, match=r"directory\.json is damaged.*with rebuild"):
        load(folder)


def test_a_truncated_directory_is_damage(folder):
    path = folder / "directory.json"
    content = path.read_bytes()
    for length in range(0, len(content), 5):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedStoreError):
            load(folder)


def test_a_missing_or_cut_data_file_is_damage(folder):
    data_path(folder).write_bytes(piece(1))
    with pytest.raises(DamagedStoreError, match=r"blocks\.bin is missing or cut short"):
        load(folder)
    data_path(folder).unlink()
    with pytest.raises(DamagedStoreError, match=r"blocks\.bin is missing or cut short"):
        load(folder)


def test_every_flipped_byte_of_the_data_is_found_in_its_segment(folder):
    directory = load(folder)
    for position in range(48):
        flip(data_path(folder), position)
        name = "s1" if position < 24 else "s2"
        assert damaged_segments(folder, directory) == [name]
        in_head = position % 24 < 8
        if in_head:
            with pytest.raises(DamagedStoreError, match=f"segment {name} is damaged"):
                check_head(folder, mapped(folder, directory), name, directory.segments[name])
        flip(data_path(folder), position)


def test_an_append_killed_at_any_step_leaves_the_old_or_the_new_directory(folder):
    before = load(folder)
    for step in itertools.count(1):
        killed = killed_at(step, lambda: append(folder, before, "s3", piece(3), LAYOUT))
        found = load(folder)
        assert list(found.segments) in (["s1", "s2"], ["s1", "s2", "s3"])
        assert damaged_segments(folder, found) == []
        if not killed:
            assert "s3" in found.segments
            break
        before.save(folder)
    assert step > 4


def test_a_full_disk_at_any_step_of_an_append_is_an_output_error_and_changes_nothing(folder):
    before = load(folder)
    for step in itertools.count(1):
        error = fails_at(step, lambda: append(folder, before, "s3", piece(3), LAYOUT))
        if error is None:
            break
        assert isinstance(error, OutputError)
        assert os.strerror(errno.ENOSPC) in str(error)
        assert str(folder) in str(error)
        assert damaged_segments(folder, load(folder)) == []
        assert {"s1", "s2"} <= set(load(folder).segments)
        before.save(folder)
    assert step > 4
    assert list(load(folder).segments) == ["s1", "s2", "s3"]


def test_the_directory_is_plain_json(folder):
    record = json.loads((folder / "directory.json").read_text())["directory"]
    assert record["made_with"] == MADE_WITH
    assert record["length"] == 48
    assert record["segments"]["s2"]["start"] == 24


def test_the_mapped_bytes_cannot_be_written(folder):
    data = mapped(folder, load(folder))
    with pytest.raises(ValueError, match="read-only"):
        data[0] = 1
    assert np.asarray(data).dtype == np.uint8
