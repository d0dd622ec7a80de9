"""The exact index on disk: grown, rebuilt, killed, damaged."""

import dataclasses
import errno
import itertools
import shutil

import numpy as np
import pytest

from gliodex.errors import DamagedStoreError, OutputError, StoreLockedError
from gliodex.index import DiceIndex, build_index, verify_index
from gliodex.store import open_store, writing
from gliodex.store.lock import committer_lock

from ..store.breaking import fails_at, flip, in_fork, killed_at
from .brute_force import brute_force, delete, expect_exact, grow, masks_of, population, queries


@pytest.fixture
def path(make_atlas, make_store, ball):
    """Path of a fresh indexed store of 9 tumours in two segments."""
    atlas = make_atlas((12, 9, 10), spacing=8.0)
    densities = population(atlas.frame, ball, 9)
    path = make_store(atlas, densities[:5], densities[5:])
    DiceIndex.open(open_store(path))
    return path


def blocks(path):
    return path / "derived" / "dice" / "blocks.bin"


def directory_of(path):
    return path / "derived" / "dice" / "directory.json"


def test_other_thresholds_are_taken_from_the_store(path):
    with writing(path, "test") as writer:
        writer._publish("other thresholds", thresholds={"whole": 0.1, "core": 0.85})
    store = open_store(path)
    index = DiceIndex.open(store)
    for core, whole in queries(store):
        expect_exact(index, store, core, whole, 9)


def test_the_length_of_an_index_is_that_of_its_snapshot(path):
    assert len(DiceIndex.open(open_store(path))) == 9
    assert len(DiceIndex.open(open_store(f"{path}@2"))) == 5
    assert len(DiceIndex.open(open_store(f"{path}@1"))) == 0


def test_the_length_of_an_index_leaves_out_what_is_deleted(path):
    delete(path, 0, 3)
    left = delete(path, 8)
    assert len(DiceIndex.open(left)) == 6
    assert len(DiceIndex.open(open_store(path, left.version - 1))) == 7
    assert len(DiceIndex.open(open_store(path, left.version - 2))) == 9
    assert len(DiceIndex.open(delete(path, 1, 2, 4, 5, 6, 7))) == 0


def test_deleting_leaves_every_byte_of_the_index(path):
    before = blocks(path).read_bytes(), directory_of(path).read_bytes()
    with committer_lock(path / "derived" / "dice", "someone"):
        for gone in ([0, 6], [1, 2, 3, 4]):  # the second empties a segment
            left = delete(path, *gone)
            expect_exact(DiceIndex.open(left), left, *masks_of(left, 5), 20)
    assert (blocks(path).read_bytes(), directory_of(path).read_bytes()) == before
    assert verify_index(left) == []


def test_a_rebuilt_index_of_a_shrunken_store_serves_it_and_forgets_emptied_segments(path):
    left = delete(path, 0, 1, 2, 3, 4, 7)
    directory = build_index(left, rebuild=True)
    assert set(directory.segments) == {s.name for s in left.segments}
    assert len(directory.segments) == 1
    expect_exact(DiceIndex.open(left), left, *masks_of(left, 5), 20)
    older = open_store(path, left.version - 1)
    expect_exact(DiceIndex.open(older), older, *masks_of(older, 3), 20)


def test_growing_appends_and_leaves_the_bytes_that_are_there(path):
    before = blocks(path).read_bytes()
    store = open_store(path)
    grow(path, store.frame, [store.density(2), store.density(0)])
    grown = open_store(path)
    calls = []
    index = DiceIndex.open(grown, progress=lambda *call: calls.append(call))
    after = blocks(path).read_bytes()
    assert after.startswith(before)
    assert len(after) > len(before)
    assert calls == [(2, 2)]
    for core, whole in queries(grown):
        expect_exact(index, grown, core, whole, 11)


def test_growing_reads_only_the_new_segments(path):
    store = open_store(path)
    grow(path, store.frame, [store.density(2)])
    for record in store.segments:
        shard = path / "segments" / record.name / "density/c/0/0/0/0"
        flip(shard, 4)
    build_index(open_store(path))
    assert verify_index(open_store(path)) == []


def test_an_index_that_is_up_to_date_is_not_written(path):
    def written():  # not when it was read last: that is the system's affair
        return [(s.st_ino, s.st_size, s.st_mtime_ns) for s in (blocks(path).stat(), directory_of(path).stat())]

    state = written()
    with committer_lock(path / "derived" / "dice", "someone"):
        DiceIndex.open(open_store(path))
    assert written() == state


def test_growing_while_another_process_indexes_is_refused_with_its_name(path):
    store = open_store(path)
    grow(path, store.frame, [store.density(0)])
    with committer_lock(path / "derived" / "dice", "gliodex index"):
        with pytest.raises(StoreLockedError, match="gliodex index"):
            DiceIndex.open(open_store(path))
        assert len(DiceIndex.open(store)) == 9


def test_an_older_snapshot_opens_with_the_grown_index(path):
    store = open_store(path)
    grow(path, store.frame, [store.density(1)])
    DiceIndex.open(open_store(path))
    before = blocks(path).read_bytes()
    for version in (2, 3):
        older = open_store(path, version)
        index = DiceIndex.open(older)
        for core, whole in queries(older):
            expect_exact(index, older, core, whole, 20)
    assert blocks(path).read_bytes() == before


def test_an_index_of_other_thresholds_is_stale_and_made_anew(path):
    old = directory_of(path).read_bytes()
    with writing(path, "test") as writer:
        writer._publish("other thresholds", thresholds={"whole": 0.3, "core": 0.5})
    calls = []
    build_index(open_store(path), progress=lambda *call: calls.append(call))
    assert calls == [(5, 9), (9, 9)]
    assert directory_of(path).read_bytes() != old
    assert verify_index(open_store(path)) == []


def test_an_index_of_another_frame_is_never_used(path):
    directory = directory_of(path)
    shifted = open_store(path).frame.affine.copy()
    shifted[0, 3] += 1
    store = open_store(path)
    frame = dataclasses.replace(store.frame, affine=shifted)
    store.manifest = dataclasses.replace(store.manifest, frame=frame.as_record())
    before = directory.read_bytes()
    calls = []
    build_index(store, progress=lambda *call: calls.append(call))
    assert calls[-1] == (9, 9)
    assert directory.read_bytes() != before


def test_garbage_behind_the_published_length_is_overwritten(path):
    before = blocks(path).read_bytes()
    with blocks(path).open("ab") as file:
        file.write(b"\xff" * 999)
    store = open_store(path)
    expect_exact(DiceIndex.open(store), store, *masks_of(store, 2), 9)
    grow(path, store.frame, [store.density(2)])
    grown = open_store(path)
    expect_exact(DiceIndex.open(grown), grown, *masks_of(grown, 2), 10)
    after = blocks(path).read_bytes()
    assert after.startswith(before)
    assert b"\xff" * 999 not in after


def test_an_index_build_killed_at_any_step_can_be_repeated(path, tmp_path):
    store = open_store(path)
    grow(path, store.frame, [store.density(2)])
    grow(path, store.frame, [store.density(0)])
    query = masks_of(store, 2)
    expected = None
    for step in itertools.count(1):
        copy = tmp_path / str(step)
        shutil.copytree(path, copy)
        killed = killed_at(step, lambda copy=copy: build_index(open_store(copy)))
        grown = open_store(copy)
        assert verify_index(grown) == []
        expected = expected or brute_force(grown, *query)
        hits = DiceIndex.open(grown).search(*query, k=11)
        np.testing.assert_array_equal(hits.ids, expected[0])
        np.testing.assert_array_equal(hits.scores, expected[1])
        assert verify_index(grown) == []
        if not killed:
            break
    assert step > 8


def test_a_full_disk_while_indexing_is_an_output_error_that_says_what_to_do(path):
    store = open_store(path)
    grow(path, store.frame, [store.density(2)])
    grown = open_store(path)
    with committer_lock(path / "derived" / "dice", "warm"):
        pass
    for step in itertools.count(2):
        error = fails_at(step, lambda: build_index(grown), errno.ENOSPC)
        if error is None:
            break
        assert isinstance(error, OutputError)
        assert "gliodex index" in str(error)
        assert verify_index(store) == []
        shutil.rmtree(path / "derived")
        DiceIndex.open(store)
    assert step > 5
    expect_exact(DiceIndex.open(grown), grown, *masks_of(grown, 2), 10)


def test_a_full_disk_while_rebuilding_is_an_output_error(path):
    store = open_store(path)
    raised = {}
    for step in itertools.count(2):
        error = fails_at(step, lambda: build_index(store, rebuild=True), errno.ENOSPC)
        if error is None:
            break
        if not isinstance(error, OutputError):
            raised[step] = repr(error)
    assert step > 5
    assert raised == {}


def test_an_open_index_survives_a_rebuild_by_another_process(path):
    store, older = open_store(path), open_store(f"{path}@2")
    grow(path, store.frame, [np.random.default_rng(n).random(store.frame.shape, np.float32) for n in range(40)])
    grown = open_store(path)
    query = masks_of(grown, 20)
    expected = brute_force(grown, *query)[0]

    def search_after_rebuild():
        index = DiceIndex.open(grown)
        build_index(older, rebuild=True)
        hits = index.search(*query, k=len(grown))
        np.testing.assert_array_equal(hits.ids, expected)

    assert in_fork(search_after_rebuild) == 0


def test_a_rebuild_mends_every_kind_of_damage(path):
    store = open_store(path)
    sound = blocks(path).read_bytes()
    for damage in (
        lambda: flip(blocks(path), 0),
        lambda: flip(blocks(path), len(sound) - 1),
        lambda: blocks(path).unlink(),
        lambda: blocks(path).write_bytes(sound[:10]),
        lambda: flip(directory_of(path), 30),
        lambda: directory_of(path).write_text(""),
    ):
        damage()
        assert verify_index(store)
        build_index(store, rebuild=True)
        assert verify_index(store) == []
        assert blocks(path).read_bytes() == sound
        expect_exact(DiceIndex.open(store), store, *masks_of(store, 3), 9)


def test_a_store_without_an_index_has_no_damage_in_it(make_atlas, make_store):
    assert verify_index(open_store(make_store(make_atlas((9, 9, 9))))) == []


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_no_flipped_byte_of_the_index_gives_a_wrong_score(path, mask):
    store = open_store(path)
    query = masks_of(store, 2)
    expected = brute_force(store, *query)
    names = {s.name for s in store.segments}
    refusals = []
    positions = range(0, blocks(path).stat().st_size, 3)
    for position in positions:
        flip(blocks(path), position, mask)
        found = verify_index(store)
        assert len(found) == 1
        assert str(blocks(path)) in found[0]
        assert any(name in found[0] for name in names)
        try:
            hits = DiceIndex.open(store).search(*query, k=9)
        except DamagedStoreError as error:
            refusals.append(str(error))
        else:
            np.testing.assert_array_equal(hits.ids, expected[0])
            np.testing.assert_array_equal(hits.scores, expected[1])
        flip(blocks(path), position, mask)
    assert all(str(blocks(path)) in message and "with rebuild" in message for message in refusals)
    assert len(refusals) > 0.9 * len(positions) - 10
    assert verify_index(store) == []


def test_a_damaged_body_names_the_tumour_when_it_is_compared(path):
    store = open_store(path)
    full = next(t for t in store.ids.tolist() if 0 < masks_of(store, t)[0].sum() < np.prod(store.frame.shape))
    blamed = set()
    for position in range(0, blocks(path).stat().st_size, 5):
        flip(blocks(path), position)
        try:
            DiceIndex.open(store).search(*masks_of(store, full), k=9)
        except DamagedStoreError as error:
            words = str(error).split()
            if "tumour" in words:
                blamed.add(int(words[words.index("tumour") + 1]))
        flip(blocks(path), position)
    assert full in blamed
    assert blamed <= set(store.ids.tolist())


def test_every_flipped_byte_of_the_directory_is_reported_and_never_searched(path):
    store = open_store(path)
    for position in range(0, directory_of(path).stat().st_size, 3):
        flip(directory_of(path), position)
        assert [str(directory_of(path)) in line for line in verify_index(store)] == [True]
        with pytest.raises(DamagedStoreError, match=r"directory\.json is damaged"):
            DiceIndex.open(store)
        flip(directory_of(path), position)


def test_a_cut_or_missing_data_file_is_reported_and_never_searched(path):
    store = open_store(path)
    content = blocks(path).read_bytes()
    for length in (0, 1, len(content) // 2, len(content) - 1):
        blocks(path).write_bytes(content[:length])
        with pytest.raises(DamagedStoreError, match="cut short"):
            DiceIndex.open(store)
        assert [str(blocks(path)) in line for line in verify_index(store)] == [True]
    blocks(path).unlink()
    with pytest.raises(DamagedStoreError, match="missing"):
        DiceIndex.open(store)


def test_a_missing_directory_means_that_the_index_is_made_anew(path):
    store = open_store(path)
    directory_of(path).unlink()
    expect_exact(DiceIndex.open(store), store, *masks_of(store, 2), 9)
    assert verify_index(store) == []


def test_a_damaged_density_is_never_indexed(path):
    store = open_store(path)
    grow(path, store.frame, [store.density(2)])
    grown = open_store(path)
    flip(path / "segments" / grown.segments[-1].name / "density/c/0/0/0/0", 6)
    with pytest.raises(DamagedStoreError, match="tumour 9 is damaged"):
        DiceIndex.open(grown)
    expect_exact(DiceIndex.open(store), store, *masks_of(store, 2), 9)
