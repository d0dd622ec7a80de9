import numpy as np
import pytest

pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")

from gliodex.errors import DamagedStoreError, InputError
from gliodex.index import open_retriever, prepare, verify_methods
from gliodex.index.latents import LatentCandidates, graph_data, latent_data
from gliodex.learn import load_encoder
from gliodex.store import open_store

from ..store.breaking import flip
from .brute_force import grow, masks_of, population, queries
from .encoders import ensure_encoder, make_encoder
from .retriever_conformance import RetrieverTests


class LatentTests(RetrieverTests):
    kind, engine = "ae", "flat"

    def open(self, store):
        return open_retriever(ensure_encoder(store, self.kind), self.kind, engine=self.engine)

    def rebuild(self, store):
        prepare(store, self.kind, engine=self.engine, rebuild=True)
        return self.open(store)


class TestFlatConforms(LatentTests):
    pass


class TestInvertedListsConform(LatentTests):
    engine = "ivf"


class TestGraphConforms(LatentTests):
    engine = "hnsw"


class TestHashConforms(LatentTests):
    kind = "hash"


@pytest.fixture
def store(make_atlas, make_store, ball):
    atlas = make_atlas((20, 17, 11))
    densities = population(atlas.frame, ball, 30)
    return open_store(make_store(atlas, densities[:11], densities[11:]))


@pytest.mark.parametrize("kind", ["ae", "vae", "hash"])
@pytest.mark.parametrize("engine", ["flat", "ivf", "hnsw"])
def test_distances_are_those_of_codes_one_at_a_time(store, kind, engine):
    """Against numpy: each tumour encoded alone, distances of core and whole summed in float64."""
    if kind == "hash" and engine != "flat":
        pytest.skip("bits have one engine")
    encoder = load_encoder(ensure_encoder(store, kind), kind)
    codes = {t: encoder.describe(*masks_of(store, t)).astype(np.float64) for t in store.ids.tolist()}
    candidates = LatentCandidates.open(store, kind, engine)
    for query in queries(store):
        asked = encoder.describe(*query).astype(np.float64)
        if kind == "hash":
            expected = {t: (asked != c).sum() for t, c in codes.items()}
        else:
            expected = {t: np.linalg.norm(asked - c, axis=1).sum() for t, c in codes.items()}
        ids, scores = candidates.nearest(candidates.encode(*query), 7)
        assert len(ids) == 7
        np.testing.assert_allclose(-scores, [expected[t] for t in ids.tolist()], atol=2e-3)
        assert -scores.min() <= sorted(expected.values())[6] + 2e-3


def test_of_rows_equally_near_the_lowest_ids_are_taken(store):
    """More tumours than are asked for are equally far: which of them are found must not be left to FAISS."""
    path, frame = store.path, store.frame
    grow(path, frame, [store.density(3)] * 40)
    grown = open_store(path)
    for kind in ("ae", "hash"):
        ensure_encoder(grown, kind)
        hits = open_retriever(grown, kind).search(*masks_of(grown, 3), k=9)
        assert hits.ids.tolist() == [3, *range(len(store), len(store) + 8)]


def test_codes_of_other_weights_are_never_used(store):
    make_encoder(store, "ae", seed=1)
    query = masks_of(store, 5)
    before = {engine: open_retriever(store, "ae", engine=engine).search(*query) for engine in ("flat", "hnsw")}
    make_encoder(store, "ae", seed=2)
    for engine, hits in before.items():
        after = open_retriever(store, "ae", engine=engine).search(*query)
        assert after.scores[-1] != hits.scores[-1]
        codes = load_encoder(store, "ae").describe(*query)
        row = load_encoder(store, "ae").describe(*masks_of(store, int(after.ids[3])))
        assert -after.scores[3] == pytest.approx(np.linalg.norm(codes - row, axis=1).sum(), abs=2e-3)


def test_growing_costs_only_the_new_segments(store, monkeypatch):
    open_retriever(ensure_encoder(store, "ae"), "ae", engine="hnsw")
    grow(store.path, store.frame, [store.density(4)])
    read = []
    from gliodex.store.segments import Segment

    plain = Segment.integers
    monkeypatch.setattr(Segment, "integers", lambda self, row: read.append(self.record.name) or plain(self, row))
    grown = open_store(store.path)
    open_retriever(grown, "ae", engine="hnsw")
    assert set(read) == {grown.segments[-1].name}


def test_damage_of_codes_and_graph_is_found_and_said(store):
    ensure_encoder(store, "ae")
    open_retriever(store, "ae", engine="hnsw")
    assert verify_methods(store) == []
    graph = graph_data(store, "ae").path
    flip(graph, graph.stat().st_size // 2)
    with pytest.raises(DamagedStoreError, match="with index=ae, faiss_index=hnsw, rebuild"):
        open_retriever(store, "ae", engine="hnsw")
    assert len(verify_methods(store)) == 1
    flip(latent_data(store, "ae").folder(store) / "blocks.bin", 100)
    with pytest.raises(DamagedStoreError, match="with index=ae, rebuild"):
        open_retriever(store, "ae")
    assert len(verify_methods(store)) == 2
    prepare(store, "ae", engine="hnsw", rebuild=True)
    assert verify_methods(store) == []


def test_a_twin_added_alone_is_as_far_as_its_twin(store):
    """Networks compute a mask alone otherwise than among others."""
    path = store.path
    for tumour in (3, 3, 9):
        grow(path, store.frame, [store.density(tumour)])
    grown = open_store(path)
    for kind in ("ae", "vae"):
        hits = open_retriever(ensure_encoder(grown, kind), kind).search(*masks_of(grown, 5), k=len(grown))
        scores = dict(zip(hits.ids.tolist(), hits.scores, strict=True))
        assert scores[3] == scores[30] == scores[31]
        assert scores[9] == scores[32]


def test_codes_are_never_made_by_other_weights_than_they_are_named_after(store):
    """An encoder trained anew between the naming and the making."""
    make_encoder(store, "ae", seed=1)
    derived = latent_data(store, "ae")
    make_encoder(store, "ae", seed=2)
    with pytest.raises(InputError, match="trained anew"):
        derived.refresh(store)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("cnn", {}, "cnn is none of"),
        ("thresholds", {"engine": "hnsw"}, "faiss_index=hnsw is one of ae and vae"),
        ("hash", {"engine": "ivf"}, "faiss_index=ivf is one of ae and vae"),
    ],
)
def test_what_cannot_be_prepared_is_refused(store, name, options, said):
    with pytest.raises(InputError, match=said):
        prepare(store, name, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "ae"}, "gliodex train encoder ae"),
        ({"method": "dice", "engine": "ivf"}, "faiss_index=ivf is one of ae and vae"),
        ({"method": "hash", "engine": "hnsw"}, "faiss_index=hnsw is one of ae and vae"),
        ({"method": "ds64", "device": "cuda"}, "device=cuda is for"),
        ({"method": "ae", "engine": "hnsw", "device": "cuda"}, "no graphs on a GPU"),
        ({"method": "ae", "measure": "jaccard"}, "leave out index"),
        ({"method": "cnn"}, "cnn is none of dice"),
        ({"measure": "jacard"}, "jacard is none of dice"),
        ({"method": "ae", "engine": "hsnw"}, "hsnw is none of flat"),
        ({"method": "ae", "device": "gpu"}, "gpu is none of cpu"),
    ],
)
def test_options_that_do_not_go_together_are_refused(store, options, said):
    with pytest.raises(InputError, match=said):
        open_retriever(store, **options)
