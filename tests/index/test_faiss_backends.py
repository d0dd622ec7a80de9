import faiss
import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.index import faiss_backends
from gliodex.index.faiss_backends import (
    BinaryEngine,
    FlatEngine,
    answers_as_the_cpu,
    flat_on_gpu,
    gpu_resources,
    inverted_lists,
)
from gliodex.index.graph import Graph, as_bytes
from gliodex.store import open_store

from .brute_force import delete, grow


def unit(codes):
    return codes / np.linalg.norm(codes, axis=-1, keepdims=True)


def clustered(n, latent=16, seed=0):
    """Codes of core and whole around a few centres, (n, 2, latent) float16."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((12, 2, latent))
    return unit(centres[rng.integers(0, 12, n)] + 0.3 * rng.standard_normal((n, 2, latent))).astype(np.float16)


def sums(codes, query):
    """Distances of core and of whole, summed, one row at a time in float64."""
    return np.array([np.linalg.norm(row.astype(np.float64) - query, axis=1).sum() for row in codes])


@pytest.fixture
def query():
    return unit(clustered(1, seed=7)[0].astype(np.float32))


@pytest.mark.parametrize("k", [1, 9, 300, 500])
def test_the_flat_engine_finds_the_smallest_sums(query, k):
    codes = clustered(300)
    rows, distances = FlatEngine(codes).nearest(query, k)
    expected = sums(codes, query)
    np.testing.assert_allclose(distances, expected[rows], atol=1e-5)
    assert set(np.argsort(expected, kind="stable")[:k].tolist()) <= set(rows.tolist())


def test_the_flat_engine_adds_distances_not_their_squares(query):
    """A row that is best by the sum and another that is best by the sum of squares."""

    def away(start, distance):
        across = np.random.default_rng(1).standard_normal(16)
        across = unit(across - (across @ start) * start)
        angle = 2 * np.arcsin(distance / 2)
        return np.cos(angle) * start + np.sin(angle) * across

    codes = np.array([[away(query[0], 1.0), query[1]], [away(query[0], 0.55), away(query[1], 0.55)]])
    np.testing.assert_allclose(np.linalg.norm(codes - query, axis=2), [[1.0, 0], [0.55, 0.55]], atol=1e-6)
    rows, distances = FlatEngine(codes.astype(np.float16)).nearest(query, 2)
    assert rows[np.argmin(distances)] == 0


def test_equal_codes_are_equally_far_wherever_they_stand(query):
    codes = clustered(1000)
    codes[[3, 500, 999]] = codes[20]
    for part in (codes, codes[:501], codes[3:]):
        rows, distances = FlatEngine(part).nearest(query, len(part))
        same = [d for row, d in zip(rows, distances, strict=True) if (part[row] == codes[20]).all()]
        assert len(same) >= 3
        assert len(set(same)) == 1


@pytest.mark.parametrize("k", [1, 5, 40, 100])
def test_the_binary_engine_finds_all_as_near_as_the_last(k):
    rng = np.random.default_rng(k)
    codes = rng.integers(0, 4, (60, 4), np.uint8)  # many ties
    asked = rng.integers(0, 4, 4, np.uint8)
    expected = np.bitwise_count(codes ^ asked).sum(1)
    rows, distances = BinaryEngine(codes).nearest(asked, k)
    found = dict(zip(rows.tolist(), distances.tolist(), strict=True))
    assert found == {row: expected[row] for row in found}
    last = np.sort(expected)[min(k, 60) - 1]
    assert set(np.flatnonzero(expected <= last).tolist()) <= found.keys()


def test_inverted_lists_tell_true_distances_and_miss_few(query):
    codes = clustered(3000)
    engine = inverted_lists(codes, clustered(1300, seed=3).reshape(1300, -1).astype(np.float32))
    rows, distances = engine.nearest(query, 15)
    expected = sums(codes, query)
    np.testing.assert_allclose(distances, expected[rows], atol=1e-5)
    assert len(set(np.argsort(expected)[:15].tolist()) & set(rows.tolist())) >= 12


def test_lists_that_end_too_soon_are_no_excuse(query):
    """More are asked for than the probed lists hold."""
    codes = clustered(3000)
    engine = inverted_lists(codes, clustered(1300, seed=3).reshape(1300, -1).astype(np.float32))
    rows, _ = engine.nearest(query, 2900)
    assert len(set(rows.tolist())) >= 2900


class TestGraph:
    @pytest.fixture
    def store(self, make_atlas, make_store, ball):
        atlas = make_atlas((12, 12, 12))
        balls = [ball(atlas.frame, atlas.frame.world([6, 6, n % 11]), 15) for n in range(40)]
        return open_store(make_store(atlas, balls[:25], balls[25:]))

    def graph(self, store, **made_with):
        return Graph(store.derived / "codes.graph", made_with, "again")

    def codes(self, store):
        return clustered(1000)[: len(store.ids_in_segments)].reshape(-1, 32)

    def test_a_graph_that_grew_is_bit_for_bit_one_made_anew(self, store, ball):
        self.graph(store).refresh(store.segments, self.codes(store))
        grow(store.path, store.frame, [store.density(n) for n in range(20)])
        grown = open_store(store.path)
        refreshed, *_ = self.graph(grown).refresh(grown.segments, self.codes(grown))
        anew, *_ = self.graph(grown).refresh(grown.segments, self.codes(grown), rebuild=True)
        assert bytes(as_bytes(refreshed)) == bytes(as_bytes(anew))

    def test_only_what_is_kept_is_found(self, store, query):
        left = delete(store.path, 3, 4, 5, *store.segments[1].ids)
        kept = np.flatnonzero(~left.deleted)
        self.graph(store).refresh(store.segments, self.codes(store))
        codes = self.codes(left)
        rows, distances = self.graph(left).engine(left.segments, codes, kept).nearest(query, 100)
        assert sorted(rows.tolist()) == list(range(len(kept)))
        np.testing.assert_allclose(distances, sums(codes[kept].reshape(-1, 2, 16), query)[rows], atol=1e-5)

    def test_it_is_made_anew_for_other_codes(self, store):
        self.graph(store, weights="a").refresh(store.segments, self.codes(store))
        told = []
        self.graph(store, weights="a").refresh(store.segments, self.codes(store), progress=lambda *p: told.append(p))
        assert not told
        self.graph(store, weights="b").refresh(store.segments, self.codes(store), progress=lambda *p: told.append(p))
        assert told == [(25, 40), (40, 40)]

    def test_it_keeps_the_time_that_it_took(self, store):
        graph = self.graph(store)
        graph.refresh(store.segments, self.codes(store))
        assert graph.seconds() > 0


class TestGpu:
    """With FAISS's GPU functions replaced, as there is none to test on."""

    @pytest.fixture(autouse=True)
    def asked_anew(self):
        gpu_resources.cache_clear()
        yield
        gpu_resources.cache_clear()

    @pytest.fixture
    def pretended(self, monkeypatch):
        monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
        for name, value in {
            "StandardGpuResources": object,
            "index_cpu_to_gpu": lambda resources, device, index: index,
            "index_binary_cpu_to_gpu": lambda resources, device, index: index,
        }.items():
            monkeypatch.setattr(faiss, name, value, raising=False)
        return monkeypatch

    def test_none_there_is_said(self):
        if faiss.get_num_gpus():
            pytest.skip("there is one")
        with pytest.raises(InputError, match="faiss-gpu"):
            gpu_resources()

    def test_one_that_answers_as_the_cpu_is_taken(self, pretended):
        answers_as_the_cpu()

    def test_one_that_answers_otherwise_is_told(self, pretended):
        class Wrong(faiss.IndexFlatL2):
            def search(self, x, k, params=None):
                distances, rows = super().search(x, k)
                return distances, (rows + 100) % self.ntotal

        pretended.setattr(faiss, "index_cpu_to_gpu", lambda resources, device, index: Wrong(index.d))
        with pytest.raises(RuntimeError, match="otherwise than the CPU"):
            answers_as_the_cpu()

    def test_one_whose_process_fails_is_refused(self, pretended):
        """The other process has no GPU to pretend with, so it does fail."""
        if hasattr(faiss, "GpuIndexFlat"):
            pytest.skip("FAISS has GPUs")
        with pytest.raises(InputError, match=r"cannot search on the GPU \(.*StandardGpuResources"):
            gpu_resources()

    def test_more_than_a_gpu_can_find_at_once_is_found_without_it(self, pretended):
        class Small(faiss.IndexBinaryFlat):
            def search(self, x, k, params=None):
                assert k <= 2048
                return super().search(x, k)

        def moved(resources, device, index):
            small = Small(index.d)
            small.add(faiss.rev_swig_ptr(index.xb.data(), index.ntotal * index.d // 8).reshape(index.ntotal, -1))
            return small

        pretended.setattr(faiss, "index_binary_cpu_to_gpu", moved)
        codes = np.random.default_rng(0).integers(0, 256, (5000, 4), np.uint8)
        rows, distances = BinaryEngine(codes, object()).nearest(codes[9], 3000)
        expected = np.bitwise_count(codes ^ codes[9]).sum(1)
        np.testing.assert_array_equal(distances, expected[rows])
        assert set(np.flatnonzero(expected <= np.sort(expected)[2999]).tolist()) <= set(rows.tolist())

    def test_engines_on_it_find_what_those_on_the_cpu_find(self, pretended, query):
        codes = clustered(3000)
        anchors = clustered(1300, seed=3).reshape(1300, -1).astype(np.float32)
        best = set(np.argsort(sums(codes, query))[:10].tolist())
        for engine in (flat_on_gpu(codes, object()), inverted_lists(codes, anchors, object())):
            rows, distances = engine.nearest(query, 10)
            np.testing.assert_allclose(distances, sums(codes, query)[rows], atol=1e-5)
            assert len(best & set(rows.tolist())) >= 8
            assert engine._most == faiss_backends._MOST_ON_GPU
