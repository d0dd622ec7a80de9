import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gliodex.errors import InputError
from gliodex.index import open_retriever
from gliodex.index.rerankers import RANKED, RANKINGS, Surface, bernoulli_score
from gliodex.store import Frame, open_store

from .brute_force import masks_of, population, queries
from .retriever_conformance import RetrieverTests


@pytest.mark.slow
class TestHausdorffConforms(RetrieverTests):
    def open(self, store):
        return open_retriever(store, measure="hausdorff", rerank=1000)

    def rebuild(self, store):
        return self.open(store)


def border(mask):
    """Voxels of a mask with one of six neighbours outside, one at a time."""
    found = []
    for where in np.argwhere(mask):
        for axis in range(3):
            for step in (-1, 1):
                other = where.copy()
                other[axis] += step
                if not (0 <= other[axis] < mask.shape[axis]) or not mask[tuple(other)]:
                    found.append(tuple(where))
    return np.array(sorted(set(found)))


def hausdorff(a, b, frame):
    """Between all pairs of border voxels."""
    if not a.any() or not b.any():
        return 0.0 if a.any() == b.any() else np.linalg.norm(np.array(frame.shape) * frame.spacing)
    apart = cdist(frame.world(border(a)), frame.world(border(b)))
    return max(np.percentile(apart.min(0), 95), np.percentile(apart.min(1), 95))


@pytest.fixture
def frame():
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ np.diag([2.0, 3.0, 1.5])
    affine = np.eye(4)
    affine[:3, :3] = turn
    return Frame((9, 8, 7), affine)


@pytest.mark.parametrize("seed", range(6))
def test_the_hausdorff_distance_is_that_of_all_pairs_of_border_voxels(frame, seed):
    """On an oblique frame with voxels of three edges."""
    rng = np.random.default_rng(seed)
    a, b = rng.random(frame.shape) < 0.6, rng.random(frame.shape) < 0.05
    pairs = [(a, b), (b, a), (a, a), (a, np.zeros_like(a)), (np.zeros_like(a),) * 2, (np.ones_like(a), b)]
    for one, other in pairs:
        assert Surface(one, frame).distance(Surface(other, frame)) == pytest.approx(hausdorff(one, other, frame))


def test_a_shifted_block_is_as_far_as_it_was_shifted():
    frame = Frame((30, 20, 20), np.diag([2.0, 2.0, 2.0, 1.0]))
    a, b = np.zeros((2, *frame.shape), bool)
    a[3:13, 5:15, 5:15] = True
    b[7:17, 5:15, 5:15] = True
    assert Surface(a, frame).distance(Surface(b, frame)) == 8.0


def test_the_bernoulli_score_is_its_formula_voxel_by_voxel(frame):
    rng = np.random.default_rng(1)
    density, mask = rng.random(frame.shape).astype(np.float32), rng.random(frame.shape) < 0.3
    expected = 0.0
    for where in np.argwhere(mask):
        apart = float(density[tuple(where)]) - 0.2
        expected += 0.5 + 0.5 * (1 if apart > 0 else -1) * (1 - np.exp(-(apart**2)))
    assert bernoulli_score(density, mask, 0.2) == pytest.approx(expected)
    assert bernoulli_score(density, np.zeros_like(mask), 0.2) == 0.0


@pytest.fixture
def store(make_atlas, make_store, ball):
    atlas = make_atlas((20, 17, 11))
    return open_store(make_store(atlas, population(atlas.frame, ball, 20)))


@pytest.mark.parametrize("measure", list(RANKINGS))
def test_the_candidates_are_put_in_its_order(store, measure):
    """Against scores computed one tumour at a time from its density."""
    retriever = open_retriever(store, measure=measure, rerank=12)
    exact = open_retriever(store)
    for core, whole in queries(store):
        hits = retriever.search(core, whole, k=12)
        assert set(hits.ids.tolist()) == set(exact.search(core, whole, k=12).ids.tolist())
        for tumour, score in zip(hits.ids.tolist(), hits.scores, strict=True):
            if measure == "hausdorff":
                there = masks_of(store, tumour)
                expected = -sum(hausdorff(q, t, store.frame) for q, t in zip((core, whole), there, strict=True))
            else:
                density = store.density(tumour)
                expected = bernoulli_score(density, core, 0.6) + bernoulli_score(density, whole, 0.2)
            assert score == pytest.approx(expected)


def test_without_a_number_two_hundred_are_ranked(store):
    assert open_retriever(store, measure="hausdorff")._rerank == RANKED


def test_thresholds_are_not_searched_by_it(store):
    with pytest.raises(InputError, match="metric=bernoulli"):
        open_retriever(store, measure="bernoulli", search_thresholds=True)
