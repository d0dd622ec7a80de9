import dataclasses

import numpy as np
import pytest

import gliodex
from gliodex.errors import (
    DamagedStoreError,
    InputError,
    NotAStoreError,
    UnknownParametersError,
    UnknownTumourError,
)
from gliodex.store import collect_garbage, creating, open_store, verify, writing
from gliodex.store.quantization import dequantise, quantise

from .breaking import flip
from .looking import contents


def test_folded_tumours_are_of_the_store_but_left_out_of_searches(small_store):
    with writing(small_store, "test") as writer:
        segments = writer.manifest.segments
    store = open_store(small_store)
    records = [dataclasses.replace(record, folded=(0,)) for record in segments]
    store.manifest = dataclasses.replace(store.manifest, segments=tuple(records), deleted=(segments[0].first_id,))
    expected = [record.first_id for record in records]
    assert store.folded.tolist() == expected[1:], "a deleted one is not in the store"
    assert store.ids_in_segments[store.left_out].tolist() == expected
    every = store.with_folded()
    assert every.ids_in_segments[every.left_out].tolist() == [store.manifest.deleted[0]]
    assert (every.version, every.pinned) == (store.version, store.pinned)
    np.testing.assert_array_equal(every.density(expected[1]), store.density(expected[1]))


def test_a_store_gives_back_densities_parameters_and_atlas(make_store, small_atlas, ball):
    frame = small_atlas.frame
    densities = [ball(frame, frame.world([18, 16 + n, 15]), 16 + 4 * n) for n in range(3)]
    store = open_store(make_store(small_atlas, densities[:2], densities[2:]))
    assert len(store) == 3
    assert store.version == 3
    assert store.ids.tolist() == [0, 1, 2]
    assert store.ids.dtype == np.int64
    assert store.frame.same_as(frame)
    for tumour, density in enumerate(densities):
        read = store.density(tumour)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, dequantise(quantise(density)))
        np.testing.assert_array_equal(store.integers(tumour), quantise(density))
    assert store.parameters(2).duration == 300.0
    assert store.parameters(1).duration == 301.0
    assert store.provenance(1) == {"method": "test", "draw": 1, "snapshot": 0}
    assert store.atlas.digest == small_atlas.digest
    np.testing.assert_array_equal(store.atlas.grey, small_atlas.grey)


def test_the_public_name_opens_the_same_store(small_store):
    assert gliodex.open_store is open_store
    assert len(gliodex.open_store(small_store)) == 5


def test_a_reader_does_not_see_what_is_committed_after_it_opened(tiny_store, commit):
    before = open_store(tiny_store)
    density = before.density(1)
    commit(tiny_store)
    assert (len(before), before.version) == (3, 3)
    assert before.ids.tolist() == [0, 1, 2]
    with pytest.raises(UnknownTumourError):
        before.density(3)
    np.testing.assert_array_equal(before.density(1), density)
    after = open_store(tiny_store)
    assert (len(after), after.version) == (5, 4)
    np.testing.assert_array_equal(after.density(3), after.density(0))


def test_old_versions_are_opened_by_name_and_by_number(tiny_store):
    for store in (
        open_store(f"{tiny_store}@2"),
        open_store(tiny_store, 2),
        open_store(str(tiny_store), version=2),
    ):
        assert (store.version, store.ids.tolist()) == (2, [0, 1])
    assert len(open_store(f"{tiny_store}@1")) == 0
    assert open_store(f"{tiny_store}@1").ids.dtype == np.int64


@pytest.mark.parametrize("number", ["two", "", "-1", "1.5"])
def test_a_version_that_is_no_number_is_refused(tiny_store, number):
    with pytest.raises(InputError, match="@3"):
        open_store(f"{tiny_store}@{number}")


def test_a_version_that_does_not_exist_is_refused(tiny_store):
    with pytest.raises(InputError, match="no version 8: it holds versions 1 to 3"):
        open_store(f"{tiny_store}@8")


def test_a_folder_with_an_at_sign_in_its_name_opens(tmp_path, tiny_atlas):
    path = tmp_path / "lab@home"
    with creating(path, tiny_atlas, {}, "test"):
        pass
    assert open_store(path).version == 1
    assert open_store(f"{path}@1").version == 1


def test_a_missing_store_below_a_folder_with_an_at_sign_is_no_store(tmp_path):
    (tmp_path / "lab@home").mkdir()
    with pytest.raises(NotAStoreError):
        open_store(tmp_path / "lab@home" / "missing")


def test_what_is_no_store_is_said_to_be_none(tmp_path):
    (tmp_path / "file").write_text("hello")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "file", f"{tmp_path / 'missing'}@2"):
        with pytest.raises(NotAStoreError, match="is not a gliodex store"):
            open_store(path)


METHODS = ["density", "parameters", "known_parameters", "integers", "provenance"]


@pytest.mark.parametrize("tumour", [-1, 3, 10**9])
@pytest.mark.parametrize("method", METHODS)
def test_an_unknown_id_is_refused_by_number(tiny_store, tumour, method):
    with pytest.raises(UnknownTumourError, match=f"holds no tumour {tumour}") as caught:
        getattr(open_store(tiny_store), method)(tumour)
    assert isinstance(caught.value, KeyError)


def test_an_empty_store_knows_no_tumour(tiny_store):
    with pytest.raises(UnknownTumourError):
        open_store(f"{tiny_store}@1").density(0)


def test_numpy_ids_are_taken(tiny_store):
    store = open_store(tiny_store)
    np.testing.assert_array_equal(store.density(store.ids[2]), store.density(2))


KEYS = ["zarr.json", "table/zarr.json", "table/c/0/0", "density/zarr.json", "density/c/0/0/0/0"]


@pytest.mark.parametrize("key", KEYS)
def test_opening_names_a_missing_segment_file_and_its_tumours(tiny_store, key):
    path = tiny_store / "segments" / open_store(tiny_store).segments[0].name / key
    path.unlink()
    with pytest.raises(DamagedStoreError, match=r"is missing \(tumours 0 to 1\)") as caught:
        open_store(tiny_store)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("key", KEYS)
def test_opening_names_a_truncated_segment_file_and_its_tumours(tiny_store, key):
    path = tiny_store / "segments" / open_store(tiny_store).segments[1].name / key
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedStoreError, match=r"bytes instead of \d+ \(tumours 2 to 2\)") as caught:
        open_store(tiny_store)
    assert str(path) in str(caught.value)


def test_a_version_that_does_not_name_a_damaged_segment_still_opens(tiny_store):
    path = tiny_store / "segments" / open_store(tiny_store).segments[1].name / "table/c/0/0"
    path.unlink()
    assert open_store(f"{tiny_store}@2").parameters(1).duration == 301.0


def test_a_damaged_atlas_does_not_hide_the_densities(tiny_store):
    folder = tiny_store / open_store(tiny_store).manifest.atlas["folder"]
    flip(folder / "grey/zarr.json", 20)
    store = open_store(tiny_store)
    assert store.density(0).any()
    with pytest.raises(DamagedStoreError, match="grey"):
        _ = store.atlas


@pytest.fixture
def thinned(tiny_store, tiny_tumours):
    """Path of a store in version 5: tumours 0 to 6 in three segments, of which 1, 2 and 4 are deleted."""
    with writing(tiny_store, "test") as writer:
        writer.commit_tumours([*tiny_tumours, tiny_tumours[0]], {"method": "test"})
        writer.delete([1, 2, 4])
    return tiny_store


@pytest.mark.parametrize("method", METHODS)
def test_a_deleted_tumour_is_as_unknown_as_one_that_never_was(thinned, method):
    store = open_store(thinned)
    for tumour in (1, 2, 4):
        with pytest.raises(UnknownTumourError, match=f"holds no tumour {tumour}:"):
            getattr(store, method)(tumour)
    for tumour in (0, 3, 5, 6):
        getattr(store, method)(tumour)


def test_rows_of_segments_say_which_of_them_are_deleted(thinned):
    store = open_store(thinned)
    assert store.ids_in_segments.tolist() == [0, 1, 3, 4, 5, 6]  # the segment of tumour 2 alone is no longer named
    assert store.deleted.tolist() == [False, True, False, True, False, False]
    assert store.ids.tolist() == [0, 3, 5, 6]
    assert len(store) == 4
    assert store.ids.dtype == store.ids_in_segments.dtype == np.int64


def test_tumours_beside_a_deleted_one_keep_their_densities_and_parameters(thinned):
    before, after = contents(open_store(thinned, 4)), contents(open_store(thinned))
    assert list(before) == list(range(7))
    assert after == {tumour: before[tumour] for tumour in (0, 3, 5, 6)}


def test_a_tumour_added_without_parameters_says_that_nobody_knows_them(tiny_store, tiny_tumours):
    with writing(tiny_store, "test") as writer:
        writer.commit_tumours([dataclasses.replace(tiny_tumours[0], parameters=None)], {"kind": "added"})
    store = open_store(tiny_store)
    with pytest.raises(UnknownParametersError, match=r"tumour 3 .* without its growth parameters"):
        store.parameters(3)
    assert store.known_parameters(3) is None
    assert store.known_parameters(0) == store.parameters(0) == tiny_tumours[0].parameters
    np.testing.assert_array_equal(store.density(3), store.density(0))
    assert store.provenance(3) == {"kind": "added", "draw": 0, "snapshot": 0}
    assert verify(store, full=True) == []


def test_snapshots_of_one_simulation_share_its_trajectory(tmp_path, tiny_atlas, tiny_tumours):
    # (campaign, draw, snapshot) of each tumour, by commit; None is a commit that belongs to no campaign
    commits = [
        [("a", 4, 2), ("a", 4, 1), ("a", 4, 0), ("a", 7, 1)],
        [("b", 4, 1), ("b", 4, 0)],
        [("a", 7, 0), ("a", 9, 0)],
        [(None, -1, 0), (None, -1, 0), (None, 3, 1), (None, 3, 0)],
        [(None, 3, 0)],
    ]
    with creating(tmp_path / "s", tiny_atlas, {}, "test") as writer:
        for rows in commits:
            tumours = [dataclasses.replace(tiny_tumours[0], draw=draw, snapshot=n) for _, draw, n in rows]
            campaign = rows[0][0]
            writer.commit_tumours(tumours, {"campaign": campaign} if campaign else {"kind": "added"})
    store = open_store(tmp_path / "s")
    assert store.trajectories.tolist() == [0, 0, 0, 3, 4, 4, 3, 7, 8, 9, 10, 10, 12]
    assert [store.provenance(n)["snapshot"] for n in range(4)] == [2, 1, 0, 1]
    with writing(tmp_path / "s", "test") as writer:
        writer.delete([0, 2, 3])
    # rows are still counted from what lies in the segments, so the others keep their trajectories
    assert open_store(tmp_path / "s").trajectories.tolist() == store.trajectories.tolist()
    assert open_store(tmp_path / "s", 1).trajectories.tolist() == []


def test_a_reader_goes_on_through_commits_deletions_and_garbage_collection(tiny_store, commit):
    expected = contents(open_store(tiny_store))
    lazy = open_store(tiny_store)  # has read nothing yet but the manifest
    commit(tiny_store)
    assert contents(lazy) == expected
    with writing(tiny_store, "test") as writer:
        writer.delete([0, 1, 2, 3])
    late = open_store(tiny_store, 3)
    collect_garbage(tiny_store, keep=3)
    for reader in (lazy, late):
        assert contents(reader) == expected
        assert (len(reader), reader.version) == (3, 3)
        assert verify(reader, full=True) == []
    assert open_store(tiny_store).ids.tolist() == [4]


def test_a_reader_whose_version_was_collected_reads_what_newer_versions_share_and_names_what_is_gone(tiny_store):
    reader = open_store(tiny_store)
    expected = contents(reader)
    with writing(tiny_store, "test") as writer:
        writer.delete([2])
    collect_garbage(tiny_store)
    assert reader.integers(0).tobytes() == expected[0][0]
    gone = tiny_store / "segments" / reader.segments[1].name / "density/c/0/0/0/0"
    with pytest.raises(DamagedStoreError, match="is missing") as caught:
        reader.density(2)
    assert str(gone) in str(caught.value)
