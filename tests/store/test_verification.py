import dataclasses

import numpy as np
import pytest

from gliodex.store import open_store, verify, writing

from .breaking import flip

SEGMENT_FILES = ["zarr.json", "table/zarr.json", "table/c/0/0", "density/zarr.json", "density/c/0/0/0/0"]


def file_of(path, segment, key):
    return path / "segments" / open_store(path).segments[segment].name / key


@pytest.mark.parametrize("full", [False, True])
def test_a_sound_store_has_nothing_to_report(tiny_store, full):
    assert verify(open_store(tiny_store), full=full) == []
    assert verify(open_store(f"{tiny_store}@1"), full=full) == []


@pytest.mark.parametrize("key", SEGMENT_FILES)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_flipped_byte_of_any_segment_file_is_reported_with_the_file(tiny_store, key, place):
    path = file_of(tiny_store, 0, key)
    size = path.stat().st_size
    flip(path, {"first": 0, "middle": size // 2, "last": size - 1}[place])
    found = verify(open_store(tiny_store), full=True)
    assert any(str(path) in line for line in found)


def test_a_flipped_byte_of_a_density_is_reported_with_its_tumour_and_no_other(tiny_store):
    path = file_of(tiny_store, 1, "density/c/0/0/0/0")
    flip(path, 10)
    found = verify(open_store(tiny_store), full=True)
    assert [line for line in found if "tumour 2 is damaged" in line and str(path) in line]
    assert not [line for line in found if "tumour 0" in line or "tumour 1" in line]


def test_damage_in_several_places_is_reported_in_one_go(tiny_store):
    paths = [file_of(tiny_store, 0, "table/c/0/0"), file_of(tiny_store, 1, "density/c/0/0/0/0")]
    paths.append(tiny_store / open_store(tiny_store).manifest.atlas["folder"] / "white/c/0/0/0")
    for path in paths:
        flip(path, 5)
    found = verify(open_store(tiny_store), full=True)
    assert all(any(str(path) in line for line in found) for path in paths)


def test_a_damaged_table_does_not_hide_a_damaged_density_of_its_segment(tiny_store):
    flip(file_of(tiny_store, 0, "table/c/0/0"), 5)
    flip(file_of(tiny_store, 0, "density/c/0/0/0/0"), 5)
    found = verify(open_store(tiny_store), full=True)
    assert any("tumour 0 is damaged" in line for line in found)


@pytest.mark.parametrize("full", [False, True])
def test_every_damaged_atlas_file_is_reported(tiny_store, full):
    atlas = open_store(tiny_store).manifest.atlas
    for key in atlas["files"]:
        path = tiny_store / atlas["folder"] / key
        flip(path, path.stat().st_size // 2)
        found = verify(open_store(tiny_store), full=full)
        assert len(found) == 1
        assert str(path) in found[0]
        flip(path, path.stat().st_size // 2)


def test_without_full_a_damaged_table_is_reported(tiny_store):
    path = file_of(tiny_store, 0, "table/c/0/0")
    flip(path, 5)
    assert [str(path) in line for line in verify(open_store(tiny_store))] == [True]


@pytest.mark.parametrize("key", SEGMENT_FILES)
def test_a_file_that_vanished_since_the_store_was_opened_is_reported(tiny_store, key):
    store = open_store(tiny_store)
    path = file_of(tiny_store, 0, key)
    path.unlink()
    assert any(str(path) in line for line in verify(store, full=True))


@pytest.mark.parametrize("claim", [{"whole_ml": 1.0}, {"core_ml": 1.0}, {"peak": 0.25}])
def test_a_table_that_does_not_describe_its_density_is_reported(tiny_store, tiny_tumours, claim):
    with writing(tiny_store, "test") as writer:
        writer.commit_tumours([dataclasses.replace(tiny_tumours[0], **claim)], {})
    found = verify(open_store(tiny_store), full=True)
    assert len(found) == 1
    assert "tumour 3" in found[0]
    assert verify(open_store(tiny_store)) == []


def test_a_box_that_does_not_hold_its_density_is_reported(tiny_store, tiny_tumours):
    box = tiny_tumours[0].box
    too_small = (box[0] + 1, *box[1:])
    with writing(tiny_store, "test") as writer:
        writer.commit_tumours([dataclasses.replace(tiny_tumours[0], box=too_small)], {})
    assert any("tumour 3" in line for line in verify(open_store(tiny_store), full=True))


def test_progress_counts_every_segment_also_damaged_ones(tiny_store):
    flip(file_of(tiny_store, 0, "table/c/0/0"), 5)
    calls = []
    verify(open_store(tiny_store), progress=lambda *call: calls.append(call))
    assert calls == [(1, 2), (2, 2)]


def test_full_verification_agrees_with_an_independent_count(tiny_store):
    store = open_store(tiny_store)
    table = np.concatenate([store.segment(s).table for s in store.segments])
    for tumour, row in zip(store.ids, table, strict=True):
        density = store.density(tumour)
        voxel_ml = np.prod(store.frame.spacing) / 1000
        assert row[6] == pytest.approx((density >= np.float32(0.2)).sum() * voxel_ml)
        assert row[7] == pytest.approx((density >= np.float32(0.6)).sum() * voxel_ml)
        assert row[8] == density.max()
