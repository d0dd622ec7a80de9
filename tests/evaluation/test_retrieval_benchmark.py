import json
import shutil
from importlib.util import find_spec

import numpy as np
import pytest

from gliodex.errors import GliodexError, InputError
from gliodex.evaluation import BenchRequest, compare, timing
from gliodex.evaluation.benchmark_output import accuracy_table, cost_table
from gliodex.evaluation.held_out_sets import QuerySet, unseen
from gliodex.evaluation.retrieval_benchmark import chosen_ways
from gliodex.evaluation.retrieval_methods import PAPER, SEARCHED, Way
from gliodex.evaluation.timing import ask
from gliodex.index import DiceIndex, open_retriever
from gliodex.store import open_store

from ..retrieval.anatomy import brats_labels, write_nifti


@pytest.fixture(autouse=True)
def one_cold_start(monkeypatch):
    """Each takes seconds."""
    monkeypatch.setattr(timing, "COLD_STARTS", 1)


@pytest.fixture
def store(brain_store, tmp_path):
    return open_store(shutil.copytree(brain_store.path, tmp_path / "store"))


def test_answers_from_the_process_of_their_own_are_those_of_this_one(brain_store):
    queries = unseen(brain_store, 3, seed=9)
    answers = ask(brain_store, Way("dice"), [queries.first(1), QuerySet("b", queries.shape, [], queries.packed[1:])])
    index = DiceIndex.open(brain_store)
    for n, query in enumerate(queries):
        hits = index.search(*query, 15)
        np.testing.assert_array_equal(answers.ids[n], hits.ids)
        np.testing.assert_array_equal(answers.scores[n], hits.scores)
        assert answers.evaluated[n] == hits.evaluated
    assert (answers.seconds > 0).all()
    assert ((answers.encoding > 0) & (answers.encoding < answers.seconds)).all()
    assert answers.memory > 0
    assert (answers.cold > answers.seconds.max()).all()


@pytest.mark.parametrize("rerank", [0, 10])
def test_candidates_are_scored_by_their_dice_too(store, rerank):
    queries = unseen(store, 2, seed=9)
    answers = ask(store, Way("ds32", rerank=rerank), [queries])
    retriever = open_retriever(store, "ds32", rerank=rerank)
    for n, query in enumerate(queries):
        hits = retriever.search(*query, 15)
        np.testing.assert_array_equal(answers.ids[n], hits.ids)
        np.testing.assert_array_equal(answers.scores[n], hits.dice_core + hits.dice_whole)
        assert answers.evaluated[n] == (15 if rerank else 0)


def test_a_process_that_fails_says_why_in_a_line(brain_store):
    with pytest.raises(GliodexError, match=r"searching by ae failed: .* has no trained encoder ae: [^\n]*$"):
        ask(brain_store, Way("ae"), [unseen(brain_store, 1, seed=9)])


@pytest.mark.slow
def test_the_benchmark_leaves_lines_a_table_and_a_plot(store, tmp_path):
    for n, tumour in enumerate((3, 7)):
        (tmp_path / "cohort" / str(n)).mkdir(parents=True)
        labels = brats_labels(store.density(tumour))
        write_nifti(tmp_path / "cohort" / str(n) / "seg.nii.gz", labels, store.frame.affine)
    told = []
    request = BenchRequest(
        str(store.path),
        tmp_path / "out",
        unseen=3,
        perturbed=2,
        cohort=tmp_path / "cohort",
        space="atlas",
        methods=("ds32",),
        seed=9,
        authors=3,
    )
    rows, authors_s = compare(request, lambda *stage: told.append(stage))
    assert authors_s > 0
    assert [json.loads(line) for line in (tmp_path / "out" / "bench.jsonl").read_text().splitlines()] == rows
    assert [(row["way"], row["set"], row["queries"]) for row in rows] == [
        (way, name, count)
        for way in ("dice", "ds32", "ds32, 200 re-ranked")
        for name, count in (("unseen", 3), ("perturbed", 2), ("patients", 2))
    ]
    exact = [row for row in rows if row["way"] != "ds32"]  # 200 re-ranked are more than the store holds
    assert all(row["top_1"]["found"] == row["queries"] and row["loss"] == 0 for row in exact)
    on_patients = next(row for row in rows if row["way"] == "dice" and row["set"] == "patients")
    assert on_patients["best_dice_sum"] == 2.0, "the store holds the patients' own tumours"
    assert all(row["disk_bytes"] > 0 and row["p50_ms"] <= row["p99_ms"] for row in rows)
    table = (tmp_path / "out" / "table.md").read_text()
    for expected in ("66.1 / 96.7 / 100", "extrapolated to 24", "100.0 ("):
        assert expected in table
    assert (tmp_path / "out" / "accuracy_against_time.png").read_bytes()[:4] == b"\x89PNG"
    assert {"held-out simulations", "patients", "asking ds32"} <= {what for what, _, _ in told}


class TestWays:
    def test_by_default_all_that_are_ready(self, brain_store):
        methods = {way.method for way in chosen_ways(brain_store)}
        radiomics = {"radiomics", "radiomics-standardised"} if find_spec("radiomics") else set()
        assert methods == {"dice", "ds64", "ds32"} | radiomics

    def test_exact_search_is_always_among_them_and_never_re_ranked(self, brain_store):
        names = [way.name for way in chosen_ways(brain_store, ("ds64",))]
        assert names == ["dice", "ds64", "ds64, 200 re-ranked"]

    def test_unknown_and_untrained_methods_are_refused(self, brain_store):
        with pytest.raises(InputError, match="no method cnn"):
            chosen_ways(brain_store, ("cnn",))
        with pytest.raises(InputError, match="gliodex train encoder ae"):
            chosen_ways(brain_store, ("ae",))

    def test_names_tell_them_apart(self):
        assert len({way.name for way in SEARCHED}) == len(SEARCHED)
        assert PAPER.keys() <= {way.name for way in SEARCHED}


@pytest.mark.parametrize("perturbed", [0, 4])
def test_more_spoilt_than_simulated_are_refused_and_nothing_is_left(store, tmp_path, perturbed):
    with pytest.raises(InputError, match="n_perturbed"):
        compare(BenchRequest(str(store.path), tmp_path / "out", unseen=3, perturbed=perturbed, methods=("ds64",)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("learned_from", "said"), [("the store", "the store now holds"), ("seed-9-ab", "seed=9")])
def test_encoders_that_learned_from_what_is_searched_or_asked_are_refused(store, tmp_path, learned_from, said):
    pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")
    from ..index.encoders import make_encoder

    campaigns = list(store.manifest.campaigns) if learned_from == "the store" else [learned_from]
    make_encoder(store, "ae", learned_from=campaigns)
    with pytest.raises(InputError, match=said):
        compare(BenchRequest(str(store.path), tmp_path / "out", unseen=3, methods=("ae",), seed=9))


def test_a_store_with_few_tumours_is_refused(small_store, tmp_path):
    with pytest.raises(InputError, match="takes at least 15"):
        compare(BenchRequest(str(small_store), tmp_path / "out"))


def test_tables_have_a_line_for_each_way_and_what_is_unknown_is_a_question_mark():
    shares = {f"top_{n}": {"found": n, "of": 20, "low": 0.01, "high": 0.2} for n in (1, 5, 15)}
    row = {"way": "ds64", "method": "ds64", "set": "unseen", "queries": 20, "loss": 0.01, "build_s": None} | shares
    row |= {"training_s": 0.0, "p50_ms": 1, "p95_ms": 2, "p99_ms": 3, "encoding_ms": 0.5, "cold_s": 1, "evaluated": 15}
    row |= {"disk_bytes": 5e6, "memory_bytes": 7e6}
    assert (
        "| ds64 | 5.0 (1.0 to 20.0) / 25.0 / 75.0 | 0.0100 | 88.7 / 100 / 100 | 93.5 / 100 / 100 |"
        in accuracy_table([row])
    )
    assert "| ds64 | 1.0 / 2.0 / 3.0 | 0.5 | 1.0 | 15 | ? | 5 MB | 7 MB | 130 |" in cost_table([row])
