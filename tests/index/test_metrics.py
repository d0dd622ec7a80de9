import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.index import open_retriever, prepare
from gliodex.store import open_store

from .brute_force import masks_of, population, queries, run_of
from .retriever_conformance import RetrieverTests


def jaccard(a, b):
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 0.0


def norm_of_difference(a, b):
    return -float(np.linalg.norm((a.astype(np.float64) - b).ravel()))


BY_NAME = {"jaccard": jaccard, "l2": norm_of_difference}


class TestJaccardConforms(RetrieverTests):
    def open(self, store):
        return open_retriever(store, measure="jaccard")

    def rebuild(self, store):
        prepare(store, "dice", rebuild=True)
        return self.open(store)


class TestEuclideanConforms(RetrieverTests):
    def open(self, store):
        return open_retriever(store, measure="l2")

    def rebuild(self, store):
        prepare(store, "dice", rebuild=True)
        return self.open(store)


@pytest.fixture(scope="module")
def store(make_atlas, make_store, ball):
    """More tumours than the first look of a search."""
    atlas = make_atlas((18, 13, 10), spacing=6.0)
    densities = population(atlas.frame, ball, 120)
    return open_store(make_store(atlas, densities[:50], densities[50:]))


@pytest.mark.parametrize("measure", BY_NAME)
@pytest.mark.parametrize("k", [1, 15, 500])
def test_hits_are_the_best_by_the_measure(store, measure, k):
    index, few = open_retriever(store, measure=measure), 0
    for core, whole in queries(store):
        rows = []
        for tumour in store.ids.tolist():
            parts = [BY_NAME[measure](q, m) for q, m in zip((core, whole), masks_of(store, tumour), strict=True)]
            rows.append((-sum(parts), tumour))
        rows = sorted(rows)[:k]
        hits = index.search(core, whole, k=k)
        assert hits.ids.tolist() == [tumour for _, tumour in rows]
        np.testing.assert_array_equal(hits.scores, [-negative for negative, _ in rows])
        few += hits.evaluated < len(store)
    assert few or k > 15


@pytest.mark.parametrize("measure", BY_NAME)
def test_distinct_and_deleted(store, measure):
    core, whole = masks_of(store, 70)
    hits = open_retriever(store, measure=measure).search(core, whole, k=500, distinct=True)
    assert len({run_of(store, t) for t in hits.ids.tolist()}) == len(hits) == len(store)


def test_measures_differ(store):
    """Jaccard ranks the sum of two masks otherwise than Dice does, though each mask alone alike."""
    rankings = {}
    for measure in ("dice", "jaccard", "l2"):
        index = open_retriever(store, measure=measure)
        rankings[measure] = [index.search(*query, k=30).ids.tolist() for query in queries(store)]
    assert rankings["dice"] != rankings["jaccard"] != rankings["l2"]


@pytest.mark.parametrize("options", [{"method": "ds64"}, {"search_thresholds": True}])
def test_other_ways_of_searching_have_no_other_measure(store, options):
    with pytest.raises(InputError, match="jaccard"):
        open_retriever(store, measure="jaccard", **options)
