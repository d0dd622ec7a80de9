import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliodex.errors import InputError
from gliodex.index import DiceIndex, build_index
from gliodex.index.resolutions import DS32
from gliodex.store import open_store

from .brute_force import assert_same_hits, commit_drawn, expect_exact, grow, masks_of, population, queries
from .retriever_conformance import ExactRetrieverTests


class TestDiceIndexConforms(ExactRetrieverTests):
    def open(self, store):
        return DiceIndex.open(store)

    def rebuild(self, store):
        directory = build_index(store, rebuild=True)
        assert len(directory.segments) == len(store.segments)
        return DiceIndex.open(store)


@pytest.fixture(scope="module")
def crowd(make_atlas, make_store, ball):
    """170 tumours in three segments: more than the first look of a search."""
    atlas = make_atlas((18, 13, 10), spacing=6.0)
    densities = population(atlas.frame, ball, 170)
    store = open_store(make_store(atlas, densities[:60], densities[60:61], densities[61:]))
    return store, DiceIndex.open(store)


@pytest.mark.parametrize("k", [1, 15, 33, 170, 175])
def test_awkward_queries_give_what_brute_force_gives(crowd, k):
    store, index = crowd
    for core, whole in queries(store):
        expect_exact(index, store, core, whole, k)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_random_queries_give_what_brute_force_gives(crowd, data):
    store, index = crowd
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    tumour = int(rng.integers(len(store)))
    shift = data.draw(st.tuples(*[st.integers(-4, 4)] * 3))
    core, whole = (np.roll(mask, shift, axis=(0, 1, 2)) for mask in masks_of(store, tumour))
    flips = data.draw(st.sampled_from([0, 0.001, 0.05, 0.5]))
    core, whole = (mask ^ (rng.random(mask.shape) < flips) for mask in (core, whole))
    expect_exact(index, store, core, whole, data.draw(st.sampled_from([1, 2, 15, 40, 170, 200])))


@pytest.fixture(scope="module")
def crowded_runs(make_atlas, make_store, ball):
    """Path of 186 tumours of about 50 simulations: more than a few looks, most of them lost to better ones of a run."""
    atlas = make_atlas((18, 13, 10), spacing=6.0)
    path = make_store(atlas)
    rng = np.random.default_rng(4)
    densities = population(atlas.frame, ball, 160)
    densities += [densities[n] for n in rng.integers(160, size=20)]
    draws = np.sort(rng.integers(0, 45, size=180))
    for campaign, part in (("one", slice(0, 70)), ("one", slice(70, 71)), ("two", slice(71, 180))):
        commit_drawn(path, atlas.frame, campaign, densities[part], draws[part].tolist())
    grow(path, atlas.frame, densities[75:81])
    DiceIndex.open(open_store(path))
    return path


@pytest.mark.parametrize("k", [1, 15, 44, 100, 190])
def test_awkward_distinct_queries_give_what_brute_force_gives(crowded_runs, k):
    store = open_store(crowded_runs)
    index = DiceIndex.open(store)
    for core, whole in queries(store):
        expect_exact(index, store, core, whole, k, distinct=True)


def delete_in_memory(store, gone):
    """A snapshot as a version without some tumours would be; nothing of it may have been read before."""
    store.manifest = dataclasses.replace(store.manifest, deleted=tuple(gone))
    return store


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_random_deletions_give_what_brute_force_gives(crowded_runs, data):
    store = open_store(crowded_runs)
    seed, share = data.draw(st.integers(0, 10**6)), data.draw(st.sampled_from([0, 0.01, 0.3, 0.9, 1]))
    rng = np.random.default_rng(seed)
    gone = np.flatnonzero(rng.random(store.manifest.count) < share).tolist()
    whole_store = open_store(crowded_runs)
    index = DiceIndex.open(delete_in_memory(store, gone))
    assert len(index) == len(store) == len(whole_store) - len(gone)
    tumour = int(rng.integers(len(whole_store)))  # deleted or not
    core, whole = (mask ^ (rng.random(mask.shape) < 0.002) for mask in masks_of(whole_store, tumour))
    k = data.draw(st.sampled_from([1, 2, 15, 60, 200]))
    hits = expect_exact(index, store, core, whole, k, distinct=data.draw(st.booleans()))
    assert not set(gone) & set(hits.ids.tolist())


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_many_queries_at_once_get_the_answer_of_each(crowded_runs, threads):
    store = delete_in_memory(open_store(crowded_runs), range(0, 186, 5))
    index = DiceIndex.open(store)
    asked = queries(store)
    for k, distinct in ((7, False), (7, True), (300, True)):
        found = index.search_many(asked, k, distinct=distinct, threads=threads)
        assert len(found) == len(asked)
        for (core, whole), hits in zip(asked, found, strict=True):
            assert_same_hits(hits, index.search(core, whole, k, distinct=distinct))
    assert index.search_many([], 7) == []


def test_many_equal_tumours_of_few_simulations_leave_room_for_others(make_atlas, make_store, ball):
    """The looks at the best bounds see one simulation only: the search must go on until k others are found."""
    atlas = make_atlas((10, 9, 8))
    frame = atlas.frame
    twin = ball(frame, frame.world([5, 4, 4]), 16)
    others = [ball(frame, frame.world([5 - n % 3, 4, 4 + n % 2]), 7.0 + n / 4) for n in range(12)]
    path = make_store(atlas)
    commit_drawn(path, frame, "one", [twin] * 200, [0] * 150 + [1] * 50)
    commit_drawn(path, frame, "one", others, range(2, 14))
    store = open_store(path)
    index = DiceIndex.open(store)
    for k in (1, 2, 3, 10, 14, 15):
        hits = expect_exact(index, store, *masks_of(store, 5), k, distinct=True)
        assert len(hits) == min(k, 14)
    assert hits.ids[:2].tolist() == [0, 150]


def test_a_clear_best_match_is_found_without_comparing_everything(crowd):
    store, index = crowd
    tumour = max(store.ids.tolist(), key=lambda t: 10 < masks_of(store, t)[0].sum() < 200)
    hits = expect_exact(index, store, *masks_of(store, tumour), 1)
    assert hits.scores[0] == 2.0
    assert hits.evaluated < len(store)


def test_ties_at_the_last_place_go_to_the_lowest_ids(make_atlas, make_store, ball):
    atlas = make_atlas((10, 9, 8))
    frame = atlas.frame
    twin = ball(frame, frame.world([5, 4, 4]), 16)
    other = ball(frame, frame.world([2, 4, 4]), 16)
    store = open_store(make_store(atlas, [other] * 5 + [twin] * 100, [twin] * 40, [other] * 3))
    index = DiceIndex.open(store)
    for k in (1, 15, 70, 139, 142):
        expect_exact(index, store, *masks_of(store, 5), k)


@pytest.mark.parametrize("shape", [(8, 8, 8), (16, 8, 24), (7, 9, 15), (1, 17, 3), (9, 16, 8)])
def test_frames_of_any_size_give_what_brute_force_gives(make_atlas, make_store, shape):
    rng = np.random.default_rng(3)
    store = open_store(make_store(box_atlas(make_atlas, shape), [rng.random(shape, np.float32) for _ in range(6)]))
    index = DiceIndex.open(store)
    for core, whole in queries(store):
        expect_exact(index, store, core, whole, 4)
        assert_same_hits(index.search_packed(np.packbits(core), np.packbits(whole), 4), index.search(core, whole, 4))


def test_packed_masks_of_another_frame_and_on_another_grid_are_refused(crowd):
    store, index = crowd
    bits = np.packbits(masks_of(store, 0)[0])
    for core, whole, k in ((bits[:-1], bits, 5), (bits, np.append(bits, 0), 5), (bits, bits, 0)):
        with pytest.raises(InputError, match="give the bits of two masks"):
            index.search_packed(core, whole, k)
    with pytest.raises(InputError, match="on the whole grid"):
        DiceIndex.open(store, grid=DS32).search_packed(bits, bits, 5)


def box_atlas(make_atlas, shape):
    atlas = make_atlas((12, 12, 12))
    affine = atlas.frame.affine
    full, empty = np.ones(shape, np.float32), np.zeros(shape, np.float32)
    frame = dataclasses.replace(atlas.frame, shape=shape, affine=affine)
    return dataclasses.replace(atlas, frame=frame, white=full, grey=empty, csf=empty, t1=full)
