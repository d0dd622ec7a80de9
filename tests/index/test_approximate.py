import numpy as np
import pytest
from scipy import ndimage

from gliodex.errors import DamagedStoreError, InputError, UnknownTumourError
from gliodex.index import DiceIndex, open_retriever
from gliodex.index.approximate import CandidateRetriever
from gliodex.index.index_registry import prepare, verify_methods
from gliodex.index.resolutions import DS32, DS64
from gliodex.store import open_store

from ..store.breaking import flip
from .brute_force import brute_force, delete, dice, masks_of, population, queries, run_of, simulations
from .retriever_conformance import ExactRetrieverTests, RetrieverTests


class TestDs64Conforms(RetrieverTests):
    def open(self, store):
        return open_retriever(store, "ds64")

    def rebuild(self, store):
        prepare(store, "ds64", rebuild=True)
        return self.open(store)


class TestDs32Conforms(RetrieverTests):
    def open(self, store):
        return open_retriever(store, "ds32")

    def rebuild(self, store):
        prepare(store, "ds32", rebuild=True)
        return self.open(store)


class TestRerankedConforms(ExactRetrieverTests):
    """All of the store re-ranked is exact search."""

    def open(self, store):
        return open_retriever(store, "ds32", rerank=1000)

    def rebuild(self, store):
        prepare(store, "ds32", rebuild=True)
        return self.open(store)


@pytest.fixture
def store(make_atlas, make_store, ball):
    atlas = make_atlas((30, 26, 21))
    return open_store(make_store(atlas, population(atlas.frame, ball, 30)))


@pytest.mark.parametrize("grid", [DS64, DS32], ids=lambda grid: grid.name)
def test_ranks_are_those_of_the_dice_of_zoomed_masks(store, grid):
    """Against brute force: every density zoomed with order 0, then thresholds applied, as the authors do."""
    factor = grid.edge / 128
    small = {}
    for tumour in store.ids.tolist():
        zoomed = ndimage.zoom(store.density(tumour), factor, order=0, mode="nearest")
        small[tumour] = [zoomed >= np.float32(store.thresholds[name]) for name in ("core", "whole")]
    retriever = open_retriever(store, grid.name)
    for query in queries(store):
        low = [ndimage.zoom(mask, factor, order=0, mode="nearest") for mask in query]
        rows = sorted((-sum(dice(q, m) for q, m in zip(low, small[t], strict=True)), t) for t in small)
        hits = retriever.search(*query, k=len(store))
        assert hits.ids.tolist() == [tumour for _, tumour in rows]
        np.testing.assert_array_equal(hits.scores, [-score for score, _ in rows])


class Backwards:
    """Ranks tumours from the last to the first, whatever is asked."""

    name = "backwards"

    def __init__(self, store):
        self.store = store
        self.asked = []

    def __len__(self):
        return len(self.store)

    def encode(self, core, whole):
        return None

    def nearest(self, code, k):
        self.asked.append(k)
        ids = self.store.ids[::-1][:k]
        return ids, ids.astype(np.float64)


class TestRerank:
    def test_candidates_keep_their_order_without(self, store):
        core, whole = masks_of(store, 3)
        hits = CandidateRetriever(store, Backwards(store), DiceIndex.open(store)).search(core, whole, k=4)
        assert hits.ids.tolist() == store.ids[::-1][:4].tolist()
        assert hits.scores.tolist() == hits.ids.tolist()
        assert hits.evaluated == 4
        for tumour, found in zip(hits.ids, zip(hits.dice_core, hits.dice_whole, strict=True), strict=True):
            assert found == tuple(dice(q, m) for q, m in zip((core, whole), masks_of(store, int(tumour)), strict=True))

    @pytest.mark.parametrize("rerank", [1, 4, 11, 100])
    def test_the_best_of_so_many_candidates_are_put_in_the_order_of_their_dice(self, store, rerank):
        retriever = CandidateRetriever(store, Backwards(store), DiceIndex.open(store), rerank)
        among = store.ids[::-1][: max(rerank, 4)].tolist()
        for core, whole in queries(store):
            hits = retriever.search(core, whole, k=4)
            expected = [t for t in brute_force(store, core, whole)[0].tolist() if t in among][:4]
            assert hits.ids.tolist() == expected
            assert hits.evaluated == len(among)

    def test_distinct_hits_are_the_best_of_each_simulation_among_the_candidates(self, make_atlas, make_store, ball):
        store = open_store(simulations(make_atlas((20, 17, 11)), make_store, ball))
        candidates = Backwards(store)
        retriever = CandidateRetriever(store, candidates, DiceIndex.open(store), 12)
        core, whole = masks_of(store, 3)
        hits = retriever.search(core, whole, k=3, distinct=True)
        among, found = store.ids[::-1][:12].tolist(), []
        for tumour in brute_force(store, core, whole)[0].tolist():
            if tumour in among and run_of(store, tumour) not in [run_of(store, t) for t in found]:
                found.append(tumour)
        assert hits.ids.tolist() == found[:3]
        # where too few simulations are among them, more candidates are asked for
        assert len(retriever.search(core, whole, k=13, distinct=True)) == 13
        assert candidates.asked[-1] > 13

    def test_a_negative_number_is_refused(self, store):
        with pytest.raises(InputError, match="rerank must not be negative, not -1"):
            CandidateRetriever(store, Backwards(store), DiceIndex.open(store), -1)


class TestCompare:
    def test_dices_are_those_of_the_densities(self, store):
        index, ids = DiceIndex.open(store), store.ids[::-3]
        for core, whole in queries(store):
            found = index.compare(ids, core, whole)
            for n, tumour in enumerate(ids.tolist()):
                its = masks_of(store, tumour)
                assert found[:, n].tolist() == [dice(core, its[0]), dice(whole, its[1])]

    @pytest.mark.parametrize("wrong", [-1, 30, 10**6])
    def test_unknown_ids_are_refused(self, store, wrong):
        core, whole = masks_of(store, 3)
        with pytest.raises(UnknownTumourError, match=f"holds no tumour {wrong}"):
            DiceIndex.open(store).compare(np.array([0, wrong]), core, whole)

    def test_deleted_ids_are_refused(self, store):
        core, whole = masks_of(store, 3)
        left = delete(store.path, 5)
        with pytest.raises(UnknownTumourError, match="holds no tumour 5"):
            DiceIndex.open(left).compare(np.array([4, 5]), core, whole)


def test_each_method_has_its_own_files(store):
    for method in ("dice", "ds64", "ds32"):
        open_retriever(store, method)
    sizes = [(store.derived / method / "blocks.bin").stat().st_size for method in ("dice", "ds64", "ds32")]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] > 0


def test_damage_names_the_method_to_make_anew(store):
    open_retriever(store, "ds32")
    flip(store.derived / "ds32" / "blocks.bin", 3)
    assert any("with index=ds32, rebuild" in line for line in verify_methods(store))
    with pytest.raises(DamagedStoreError, match="gliodex index STORE` with index=ds32, rebuild"):
        open_retriever(store, "ds32")
    core, whole = masks_of(store, 2)
    assert open_retriever(store, "ds64").search(core, whole).ids[0] == 2
    prepare(store, "ds32", rebuild=True)
    assert verify_methods(store) == []
    assert open_retriever(store, "ds32").search(core, whole).ids[0] == 2
