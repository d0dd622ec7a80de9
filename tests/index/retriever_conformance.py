"""What every retriever must hold, exact or approximate: inherit `RetrieverTests` and say how it is opened."""

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.index import Hits
from gliodex.store import open_store

from .brute_force import (
    assert_same_hits,
    brute_force,
    commit_drawn,
    delete,
    dice,
    grow,
    masks_of,
    population,
    queries,
    run_of,
    runs_in,
    simulations,
)


class RetrieverTests(ABC):
    """Inherit, and define `open` and `rebuild`; raise `atlas_shape` where a method needs a larger grid."""

    atlas_shape = (20, 17, 11)

    @abstractmethod
    def open(self, store):
        """Open the retriever of a snapshot, bringing its derived data up to it."""

    @abstractmethod
    def rebuild(self, store):
        """Open the retriever of a snapshot from derived data made anew."""

    def ranking(self, store, core, whole, *, distinct=False, without=()):
        """Ids of all tumours but some, best first; of each simulation the best alone."""
        ids = [t for t in self.open(store).search(core, whole, k=len(store)).ids.tolist() if t not in without]
        if not distinct:
            return ids
        first = {}
        for tumour in ids:
            first.setdefault(run_of(store, tumour), tumour)
        return list(first.values())

    @pytest.fixture
    def atlas(self, make_atlas):
        return make_atlas(self.atlas_shape)

    @pytest.fixture
    def store(self, atlas, make_store, ball):
        densities = population(atlas.frame, ball, 20)
        return open_store(make_store(atlas, densities[:11], densities[11:]))

    def test_dice_values_are_those_of_the_densities(self, store):
        retriever = self.open(store)
        for core, whole in queries(store):
            hits = retriever.search(core, whole, k=7)
            for tumour, core_dice, whole_dice in zip(hits.ids, hits.dice_core, hits.dice_whole, strict=True):
                its_core, its_whole = masks_of(store, int(tumour))
                assert core_dice == dice(core, its_core)
                assert whole_dice == dice(whole, its_whole)

    def test_hits_are_columns_of_one_length_and_type(self, store):
        core, whole = masks_of(store, 3)
        hits = self.open(store).search(core, whole, k=6)
        assert len(hits) == 6
        assert hits.ids.dtype == np.int64
        for name in ("scores", "dice_core", "dice_whole"):
            column = getattr(hits, name)
            assert column.dtype == np.float64
            assert column.shape == (6,)
        assert 6 <= hits.evaluated <= len(store)

    def test_the_best_come_first_and_ties_are_in_the_order_of_ids(self, store):
        retriever = self.open(store)
        for core, whole in queries(store):
            hits = retriever.search(core, whole, k=len(store))
            order = np.lexsort((hits.ids, -hits.scores))
            np.testing.assert_array_equal(order, np.arange(len(store)))

    def test_twins_are_both_found_with_equal_scores_lower_id_first(self, store):
        by_content = {}
        for tumour in store.ids.tolist():
            by_content.setdefault(store.integers(tumour).tobytes(), []).append(tumour)
        pairs = [ids for ids in by_content.values() if len(ids) == 2]
        assert pairs
        retriever = self.open(store)
        for first, second in pairs:
            hits = retriever.search(*masks_of(store, first), k=len(store))
            places = {int(tumour): place for place, tumour in enumerate(hits.ids)}
            assert hits.scores[places[first]] == hits.scores[places[second]]
            assert places[first] < places[second]

    def test_a_larger_k_than_the_store_gives_every_tumour_once(self, store):
        retriever = self.open(store)
        for core, whole in queries(store):
            for k in (len(store), len(store) + 5):
                assert sorted(retriever.search(core, whole, k=k).ids.tolist()) == store.ids.tolist()

    def test_fewer_hits_are_the_beginning_of_more(self, store):
        retriever = self.open(store)
        core, whole = masks_of(store, 2)
        more = retriever.search(core, whole, k=len(store))
        for k in (1, 2, 15):
            np.testing.assert_array_equal(retriever.search(core, whole, k=k).ids, more.ids[:k])

    def test_the_same_query_gives_the_same_hits(self, store):
        retriever = self.open(store)
        again = self.open(open_store(store.path))
        for core, whole in queries(store):
            hits = retriever.search(core, whole, k=9)
            assert_same_hits(retriever.search(core, whole, k=9), hits)
            assert_same_hits(again.search(core.copy(order="F"), whole.copy(order="F"), k=9), hits)

    def test_searching_does_not_change_the_masks(self, store):
        core, whole = masks_of(store, 1)
        before = core.copy(), whole.copy()
        self.open(store).search(core, whole)
        np.testing.assert_array_equal(core, before[0])
        np.testing.assert_array_equal(whole, before[1])

    def test_empty_masks_have_a_dice_of_zero_with_everything(self, store):
        empty = np.zeros(store.frame.shape, bool)
        hits = self.open(store).search(empty, empty, k=5)
        assert len(hits) == 5
        assert not hits.dice_core.any()
        assert not hits.dice_whole.any()

    def test_full_masks_have_a_dice_of_one_with_a_full_tumour(self, store):
        full = np.ones(store.frame.shape, bool)
        hits = self.open(store).search(full, full, k=len(store))
        best = int(np.argmax(hits.dice_core + hits.dice_whole))
        assert (hits.dice_core[best], hits.dice_whole[best]) == (1.0, 1.0)
        assert all(masks.all() for masks in masks_of(store, int(hits.ids[best])))

    def test_a_grown_store_gives_what_a_rebuild_gives(self, store, ball):
        self.open(store)
        frame = store.frame
        grow(store.path, frame, [ball(frame, frame.world([6, 5, 4]), 25), np.zeros(frame.shape, np.float32)])
        grow(store.path, frame, [ball(frame, frame.world([12, 9, 6]), 30)])
        grown = open_store(store.path)
        assert len(grown) == len(store) + 3
        refreshed = [self.open(grown).search(*query, k=len(grown)) for query in queries(grown)]
        anew = [self.rebuild(grown).search(*query, k=len(grown)) for query in queries(grown)]
        for hits, expected in zip(refreshed, anew, strict=True):
            assert_same_hits(hits, expected)

    def test_an_older_snapshot_never_returns_a_newer_tumour(self, store, ball):
        query = masks_of(store, 4)
        before = self.open(store).search(*query, k=len(store) + 5)
        density = store.density(4)
        grow(store.path, store.frame, [density, density])
        newest = open_store(store.path)
        assert newest.ids[-1] in self.open(newest).search(*query, k=len(newest)).ids
        older = open_store(store.path, store.version)
        for snapshot in (store, older):
            assert_same_hits(self.open(snapshot).search(*query, k=len(newest)), before)

    def test_a_retriever_keeps_its_snapshot_while_the_store_grows(self, store):
        query = masks_of(store, 4)
        retriever = self.open(store)
        before = retriever.search(*query, k=len(store))
        grow(store.path, store.frame, [store.density(4)])
        self.open(open_store(store.path))
        assert_same_hits(retriever.search(*query, k=len(store) + 5), before)

    def test_an_empty_store_has_no_hits(self, atlas, make_store):
        store = open_store(make_store(atlas))
        mask = np.ones(store.frame.shape, bool)
        hits = self.open(store).search(mask, mask, k=3)
        assert len(hits) == len(hits.scores) == len(hits.dice_core) == len(hits.dice_whole) == 0

    @pytest.fixture
    def simulated(self, atlas, make_store, ball):
        return open_store(simulations(atlas, make_store, ball))

    @pytest.mark.parametrize("k", [1, 3, 8, 100])
    def test_distinct_hits_are_of_different_simulations(self, simulated, k):
        retriever = self.open(simulated)
        for core, whole in queries(simulated):
            hits = retriever.search(core, whole, k=k, distinct=True)
            runs = [run_of(simulated, tumour) for tumour in hits.ids.tolist()]
            assert len(set(runs)) == len(hits) == min(k, runs_in(simulated))

    def test_tumours_that_nobody_drew_are_all_distinct(self, store):
        retriever = self.open(store)
        for core, whole in queries(store):
            for k in (4, len(store) + 5):
                assert_same_hits(retriever.search(core, whole, k=k, distinct=True), retriever.search(core, whole, k=k))

    def test_deleted_tumours_are_never_found(self, simulated):
        self.open(simulated)
        gone = simulated.ids[1::3].tolist()
        left = delete(simulated.path, *gone)
        retriever = self.open(left)
        assert len(left) == len(simulated) - len(gone)
        for core, whole in queries(simulated):  # the deleted ones' own masks are among them
            for distinct in (False, True):
                hits = retriever.search(core, whole, k=len(simulated) + 5, distinct=distinct)
                assert hits.ids.tolist() == self.ranking(simulated, core, whole, distinct=distinct, without=gone)
                assert hits.evaluated <= len(left)
            assert not set(gone) & set(retriever.search(core, whole, k=4).ids.tolist())

    def test_folded_tumours_are_found_where_they_are_asked_for_alone(self, simulated):
        folding = open_store(simulated.path)
        segments = [replace(record, folded=tuple(range(0, record.count, 2))) for record in folding.segments]
        folding.manifest = replace(folding.manifest, segments=tuple(segments))
        folded = folding.folded.tolist()
        assert 3 < len(folded) < len(simulated) - 3
        assert len(folding) == len(simulated), "they are tumours of the store"
        usual, asked_for = self.open(folding), self.open(folding.with_folded())
        for core, whole in queries(simulated):
            everywhere = len(simulated) + 5
            assert usual.search(core, whole, k=everywhere).ids.tolist() == self.ranking(
                simulated, core, whole, without=folded
            )
            assert asked_for.search(core, whole, k=everywhere).ids.tolist() == self.ranking(simulated, core, whole)

    def test_where_the_best_of_a_simulation_is_deleted_the_next_stands_for_it(self, simulated):
        query = masks_of(simulated, 0)
        best = int(self.open(simulated).search(*query, k=1, distinct=True).ids[0])
        assert best == 0
        others = [t for t in simulated.ids.tolist() if run_of(simulated, t) == run_of(simulated, best) and t != best]
        assert len(others) == 2
        hits = self.open(delete(simulated.path, best)).search(*query, k=100, distinct=True)
        assert hits.ids.tolist() == self.ranking(simulated, *query, distinct=True, without=[best])
        assert len(set(others) & set(hits.ids.tolist())) == 1

    def test_a_simulation_stays_one_when_its_lowest_id_or_first_segment_is_deleted(self, simulated):
        for gone in ([0], [1], list(simulated.segments[0].ids)[2:], [11]):
            left = delete(simulated.path, *gone)
            missing = sorted(set(simulated.ids.tolist()) - set(left.ids.tolist()))
            for core, whole in queries(simulated)[:6]:
                hits = self.open(left).search(core, whole, k=100, distinct=True)
                expected = self.ranking(simulated, core, whole, distinct=True, without=missing)
                assert hits.ids.tolist() == expected

    def test_a_store_whose_tumours_are_all_deleted_has_no_hits(self, simulated):
        left = delete(simulated.path, *simulated.ids.tolist())
        mask = np.ones(left.frame.shape, bool)
        for retriever in (self.open(left), self.rebuild(left)):
            for distinct in (False, True):
                hits = retriever.search(mask, mask, k=3, distinct=distinct)
                assert len(hits) == len(hits.scores) == len(hits.dice_core) == len(hits.dice_whole) == 0

    def test_a_retriever_and_an_older_version_keep_what_was_deleted_later(self, simulated):
        query = masks_of(simulated, 7)
        retriever = self.open(simulated)
        before = retriever.search(*query, k=100)
        left = delete(simulated.path, 7, 8)
        assert 7 not in self.open(left).search(*query, k=100).ids
        assert_same_hits(retriever.search(*query, k=100), before)
        assert_same_hits(self.open(open_store(simulated.path, simulated.version)).search(*query, k=100), before)

    def test_a_store_that_shrank_and_grew_gives_what_a_rebuild_gives(self, simulated, ball):
        self.open(simulated)
        frame = simulated.frame
        delete(simulated.path, 3, *simulated.segments[1].ids, simulated.ids[-1])
        commit_drawn(
            simulated.path, frame, "one", [simulated.density(3), ball(frame, frame.world([6, 5, 4]), 25)], [2, 7]
        )
        changed = delete(simulated.path, 5)
        assert changed.ids[-2:].tolist() == [len(simulated), len(simulated) + 1], "ids are never used again"
        asked = queries(simulated)
        refreshed, anew = (
            [make(changed).search(*query, k=100, distinct=distinct) for query in asked for distinct in (False, True)]
            for make in (self.open, self.rebuild)
        )
        for hits, expected in zip(refreshed, anew, strict=True):
            assert_same_hits(hits, expected)
        for query, hits in zip(asked, anew[1::2], strict=True):
            assert hits.ids.tolist() == self.ranking(changed, *query, distinct=True)

    @pytest.mark.parametrize("k", [0, -3])
    def test_a_k_below_one_is_refused(self, store, k):
        mask = np.ones(store.frame.shape, bool)
        with pytest.raises(InputError, match="k must be at least 1"):
            self.open(store).search(mask, mask, k=k)

    @pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
    @pytest.mark.parametrize("which", ["core", "whole"])
    def test_a_mask_that_is_not_boolean_is_refused_by_name(self, store, dtype, which):
        masks = {name: np.ones(store.frame.shape, bool) for name in ("core", "whole")}
        masks[which] = masks[which].astype(dtype)
        with pytest.raises(InputError, match=f"{which} must be a boolean"):
            self.open(store).search(**masks)

    @pytest.mark.parametrize("which", ["core", "whole"])
    def test_a_mask_off_the_frame_is_refused_by_name(self, store, which):
        masks = {name: np.ones(store.frame.shape, bool) for name in ("core", "whole")}
        masks[which] = masks[which][1:]
        with pytest.raises(InputError, match=f"{which} must be a boolean array on the store's frame"):
            self.open(store).search(**masks)


class ExactRetrieverTests(RetrieverTests):
    """What a retriever must hold besides whose hits are the best by Dice."""

    @pytest.mark.parametrize("more", [0, 1, 50])
    def test_as_many_distinct_hits_as_simulations_are_the_best_of_each(self, simulated, more):
        retriever = self.open(simulated)
        runs = runs_in(simulated)
        assert runs < len(simulated)
        for core, whole in queries(simulated):
            hits = retriever.search(core, whole, k=runs + more, distinct=True)
            ids, scores, cores, wholes = brute_force(simulated, core, whole, distinct=True)
            assert len(ids) == runs
            assert_same_hits(hits, Hits(ids, scores, cores, wholes, 0))

    def test_hits_are_those_of_brute_force(self, store):
        retriever = self.open(store)
        for core, whole in queries(store):
            ids, scores, cores, wholes = brute_force(store, core, whole)
            for k in (1, 7, len(store)):
                expected = Hits(ids[:k], scores[:k], cores[:k], wholes[:k], 0)
                assert_same_hits(retriever.search(core, whole, k=k), expected)

    def test_of_equal_tumours_of_a_simulation_the_lowest_id_stands_for_it(self, simulated):
        lowest = {}
        for tumour in simulated.ids.tolist():
            lowest.setdefault(run_of(simulated, tumour), tumour)
        empty = np.zeros(simulated.frame.shape, bool)
        hits = self.open(simulated).search(empty, empty, k=100, distinct=True)
        assert hits.ids.tolist() == list(lowest.values())
