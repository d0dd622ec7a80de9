import numpy as np
import pytest

from gliodex.index import DiceIndex
from gliodex.retrieval import expectation
from gliodex.retrieval.expectation import least_expected
from gliodex.store import open_store

from .anatomy import flip_byte


@pytest.fixture
def store(brain_store, tmp_path, monkeypatch):
    """The brain store with a place of its own for what is derived from it, asked with few simulations."""
    store = open_store(brain_store.path)
    index = DiceIndex.open(store)
    monkeypatch.setattr(expectation, "UNSEEN", 5)
    monkeypatch.setattr(store, "derived", tmp_path)
    return store, index


def test_it_is_a_low_score_of_unseen_tumours(store):
    from gliodex.retrieval.benchmark.query_sets import unseen_tumours

    store, index = store
    found = least_expected(store, index)
    scores = []
    for n, (_, integers) in enumerate(unseen_tumours(store, 2_000_000_011)):
        if n == 5:
            break
        scores.append(index.search(integers >= 2457, integers >= 819, 1).scores[0])
    assert found == pytest.approx(np.quantile(scores, 0.01))
    assert 0 < found < 1.9


def test_it_is_kept_until_the_store_has_grown(store, monkeypatch):
    store, index = store
    found = least_expected(store, index)
    monkeypatch.setattr(expectation, "_scores", lambda *asked: [0.123])
    assert least_expected(store, index) == found
    monkeypatch.setattr(type(store), "__len__", lambda self: 30)
    assert least_expected(store, index) == pytest.approx(0.123), "24 tumours were asked"


def test_of_searches_that_find_folded_tumours_it_is_kept_apart(store, monkeypatch):
    store, index = store
    monkeypatch.setattr(expectation, "_scores", lambda asked, _: [0.5 if asked.finds_folded else 0.25])
    folding = store.with_folded()
    monkeypatch.setattr(folding, "derived", store.derived)
    for _ in range(2):
        assert (least_expected(store, index), least_expected(folding, index)) == (0.25, 0.5)


def test_a_damaged_record_is_made_anew(store, monkeypatch):
    store, index = store
    found = least_expected(store, index)
    flip_byte(store.derived / "expectation", 12)
    assert least_expected(store, index) == found


def test_of_another_growth_model_nothing_is_expected(small_store, tmp_path, monkeypatch):
    store = open_store(small_store)
    monkeypatch.setattr(store, "derived", tmp_path)
    assert least_expected(store, None) is None


def test_where_it_cannot_be_kept_it_is_found_again(store, monkeypatch, tmp_path):
    store, index = store
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(store, "derived", tmp_path / "file")
    assert least_expected(store, index) == least_expected(store, index)
