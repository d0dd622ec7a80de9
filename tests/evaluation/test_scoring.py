import numpy as np
import pytest

from gliodex.evaluation.scoring import Share, accuracy, runtime
from gliodex.evaluation.timing import HITS, Answers


def answers(scores, seconds=None):
    n = len(scores)
    return Answers(
        np.zeros((n, HITS), np.int64),
        np.array(scores),
        np.full(n, 0.01) if seconds is None else np.array(seconds),
        np.array([0.002, 0.004, 0.003]),
        np.arange(n),
        np.array([3.0, 1.0, 2.0]),
        1000,
    )


TRUTH = np.linspace(1.9, 0.5, HITS)


def test_exact_answers_are_right_everywhere():
    scores = accuracy(answers([TRUTH] * 4), np.stack([TRUTH] * 4), slice(None))
    for n in (1, 5, 15):
        assert scores[f"top_{n}"]["found"] == scores[f"top_{n}"]["of"] == 4
    assert scores["recall"] == 1
    assert scores["loss"] == 0


@pytest.mark.parametrize(("place", "right"), [(0, [1, 5, 15]), (1, [5, 15]), (4, [5, 15]), (5, [15]), (14, [15])])
def test_the_best_hit_counts_where_it_is_among_the_n_best(place, right):
    found = np.r_[TRUTH[place], np.full(HITS - 1, -1.0)]
    scores = accuracy(answers([found]), TRUTH[None], slice(None))
    assert [n for n in (1, 5, 15) if scores[f"top_{n}"]["found"]] == right
    assert scores["loss"] == pytest.approx(TRUTH[0] - TRUTH[place], abs=1e-5)
    assert scores["recall"] == pytest.approx(1 / HITS, abs=1e-4)


def test_a_tie_with_the_best_counts_as_the_best():
    truth = np.r_[1.5, 1.5, np.full(HITS - 2, 0.3)]
    scores = accuracy(answers([np.r_[1.5, np.full(HITS - 1, -1.0)]]), truth[None], slice(None))
    assert scores["top_1"]["found"] == 1


def test_only_the_queries_of_the_set_count():
    wrong = np.full(HITS, 0.1)
    given, truth = answers([TRUTH, wrong, wrong], [0.1, 0.2, 0.4]), np.stack([TRUTH] * 3)
    assert accuracy(given, truth, slice(0, 1))["top_1"]["found"] == 1
    assert accuracy(given, truth, slice(1, 3))["top_1"]["found"] == 0
    assert runtime(given, slice(1, 3))["p50_ms"] == pytest.approx(300)


def test_runtime_summarises_in_the_units_it_names():
    told = runtime(answers([TRUTH] * 3, [0.001, 0.002, 0.003]), slice(None))
    assert told["p50_ms"] == 2.0
    assert told["encoding_ms"] == 3.0
    assert told["cold_s"] == 2.0
    assert told["evaluated"] == 1.0
    assert told["memory_bytes"] == 1000


@pytest.mark.parametrize(("found", "of"), [(0, 10), (10, 10), (41, 62), (935, 1000)])
def test_intervals_are_wilsons(found, of):
    """Against the formula: its bounds are where a normal test of the share just fails."""
    share = Share.of_queries(np.arange(of) < found)
    assert (share.found, share.of) == (found, of)
    assert share.percent == 100 * found / of
    for bound in (share.low, share.high):
        if 0 < bound < 1:
            assert abs(found / of - bound) / np.sqrt(bound * (1 - bound) / of) == pytest.approx(1.96, abs=0.02)
