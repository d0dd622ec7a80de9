import json
import shutil

import pytest

from gliodex.evaluation import timing

from ..retrieval.anatomy import brats_labels, write_nifti


@pytest.fixture
def cohort(brain_store, tmp_path):
    from gliodex.store import open_store

    store = open_store(brain_store)
    (tmp_path / "cohort" / "one").mkdir(parents=True)
    write_nifti(tmp_path / "cohort" / "one" / "seg.nii.gz", brats_labels(store.density(5)), store.frame.affine)
    return tmp_path / "cohort"


@pytest.mark.slow
def test_bench_compares_and_prints_its_table(gliodex, brain_store, cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "COLD_STARTS", 1)  # each takes seconds
    store, out = shutil.copytree(brain_store, tmp_path / "store"), tmp_path / "out"
    options = ("--n-test", "2", "--n-perturbed", "1", "--n-reference", "0", "--methods", "ds32", "--seed", "9")
    ran = gliodex("bench", "retrieval", store, "--out", out, *options, "--cohort", cohort, "--space", "atlas")
    assert ran.code == 0, ran.err
    assert {p.name for p in out.iterdir()} == {"bench.jsonl", "table.md", "accuracy_against_time.png"}
    assert (out / "table.md").read_text().strip() in ran.out
    rows = [json.loads(line) for line in (out / "bench.jsonl").read_text().splitlines()]
    assert {row["way"] for row in rows} == {"dice", "ds32", "ds32, 200 re-ranked"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--methods", "cnn"), "no method cnn"),
        (("--methods", "hash"), "gliodex train encoder hash"),
        (("--n-test", "2", "--n-perturbed", "3"), "--n-perturbed"),
        (("--n-test", "2", "--n-perturbed", "1"), "another --seed"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(gliodex, brain_store, tmp_path, options, said):
    ran = gliodex("bench", "retrieval", brain_store, "--out", tmp_path / "out", *options)
    assert ran.code == 2
    assert said in ran.said
    assert not (tmp_path / "out").exists()


def test_plausibility_compares_stores_with_a_cohort(gliodex, brain_store, cohort, tmp_path):
    ran = gliodex(
        "bench", "plausibility", brain_store, "--cohort", cohort, "--space", "atlas", "--out", tmp_path / "out"
    )
    assert ran.code == 0, ran.err
    assert "| 24 | 1 | 1.000 | 1.000 | 2.000 |" in ran.out
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"plausibility.jsonl", "table.md", "plausibility.png"}


def test_a_cohort_without_patients_is_refused_in_a_line(gliodex, brain_store, tmp_path):
    ran = gliodex("bench", "plausibility", brain_store, "--cohort", tmp_path, "--out", tmp_path / "out")
    assert ran.code == 2
    assert "holds no patients" in ran.said


def test_bench_refine_is_a_command_of_its_own(gliodex, tmp_path):
    few = gliodex("bench", "refinement", tmp_path / "store", "--n-synthetic", "1", "--out", tmp_path / "out")
    assert (few.code, "--n-synthetic" in few.said) == (2, True)
    nothing = gliodex("bench", "refinement", tmp_path / "store", "--out", tmp_path / "out")
    assert (nothing.code, str(tmp_path / "store") in nothing.said) == (2, True)
    assert not (tmp_path / "out").exists()


def test_images_that_err_alike_are_a_matter_of_tmcmc(gliodex, brain_store, tmp_path):
    ran = gliodex("bench", "refinement", brain_store, "--out", tmp_path / "out", "--correlation-length-mm", "8")
    assert (ran.code, "name tmcmc in --stages" in ran.said) == (2, True)


def test_a_store_called_refine_is_named_by_its_path(gliodex, tmp_path):
    ran = gliodex("bench", "retrieval", tmp_path / "refine", "--out", tmp_path / "out")
    assert (ran.code, str(tmp_path / "refine") in ran.said) == (2, True)
