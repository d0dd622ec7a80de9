import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliodex.index import MEASURES
from gliodex.index.top_k import bound_scores, largest, reaching


@pytest.mark.parametrize("measure", MEASURES.values(), ids=lambda measure: measure.name)
@pytest.mark.parametrize("seed", range(5))
def test_bounds_are_scored_bit_for_bit_as_scores_are(measure, seed):
    """Else a bound that equals the worst of the best could be taken for less."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 40_000, (2, 3000))
    asked = tuple(rng.integers(0, 40_000, 2).tolist()) if seed else (0, 0)
    sizes[:, :100] = 0
    shared = np.minimum(np.minimum(sizes, np.array(asked)[:, None]), rng.integers(0, 40_000, sizes.shape))
    expected = sum(measure.of(shared[m], sizes[m] + asked[m]) for m in (0, 1))
    np.testing.assert_array_equal(bound_scores(measure.formula, shared.astype(np.uint32), sizes, asked), expected)


VALUES = st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 0.5, 1.25, 2.0]), max_size=40)


@given(values=VALUES, data=st.data())
def test_the_largest_are_those_of_a_sort(values, data):
    values = np.array(values, np.float64)
    k = data.draw(st.integers(0, len(values)))
    places = largest(values, k)
    assert len(set(places.tolist())) == k
    np.testing.assert_array_equal(np.sort(values[places]), np.sort(values)[len(values) - k :])


@given(values=VALUES, score=st.sampled_from([-1e300, 0.0, 0.5, 3.0]), data=st.data())
def test_those_that_reach_a_score_are_found_but_not_those_left_out(values, score, data):
    values = np.array(values, np.float64)
    without = data.draw(st.lists(st.integers(0, max(len(values) - 1, 0)), unique=True)) if len(values) else []
    found = reaching(values, score, np.array(without, np.int64))
    assert found.tolist() == [n for n in range(len(values)) if values[n] >= score and n not in without]
