import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval import QueryRequest, run_queries, run_query
from gliodex.retrieval.imaging import registration as registration_module
from gliodex.retrieval.refinement import LocalRefinement
from gliodex.retrieval.refinement.refinement_options import Local, Tmcmc
from gliodex.simulate import MassEffect, MassEffectSettings, Prior, build
from gliodex.store import open_store

from .anatomy import RESULT_FILES, brats_labels, write_nifti

PUSHES = MassEffectSettings(pushes=5)
PRIOR = Prior((0.02, 0.4), (0.01, 0.08), (50, 400), (0.5, 150), (0.1, 120))


def asked(request, stores, announce=None):
    """Ask several stores; returns what compares them, and their records."""
    compared, answers = run_queries(request, stores, announce)
    return compared, {name: record for name, (_, record) in answers.items()}


@pytest.fixture(scope="module")
def both_models(small_atlas, tmp_path_factory):
    """Paths of a store of each model, `still` and `pushing`."""
    folder = tmp_path_factory.mktemp("models")
    build(folder / "still", 8, 5, small_atlas, prior=PRIOR, workers=1)
    build(folder / "pushing", 8, 5, small_atlas, prior=PRIOR, settings=PUSHES, workers=1)
    return [str(folder / "still"), str(folder / "pushing")]


@pytest.fixture
def patient(both_models, small_atlas, tmp_path):
    """Labels of a tumour of the store in which tumours push."""
    density = MassEffect(small_atlas, PUSHES)(open_store(both_models[1]).parameters(3))
    return write_nifti(tmp_path / "seg.nii.gz", brats_labels(density), small_atlas.frame.affine)


def test_each_store_answers_as_it_does_alone_and_the_closest_is_named(both_models, patient, tmp_path):
    compared, records = asked(QueryRequest("", tmp_path / "out", seg=patient, space="atlas", top_k=3), both_models)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"stores.json", "still", "pushing"}
    assert json.loads((tmp_path / "out" / "stores.json").read_text()) == compared
    assert compared["best"] == "pushing"
    for path, name, model in zip(both_models, ("still", "pushing"), ("fisher-kolmogorov", "mass-effect"), strict=True):
        folder = tmp_path / "out" / name
        assert {p.name for p in folder.iterdir()} == RESULT_FILES
        _, alone = run_query(QueryRequest(path, tmp_path / name, seg=patient, space="atlas", top_k=3))
        written = json.loads((folder / "matches.json").read_text())
        for part in ("matches", "patient_space", "store"):
            assert written[part] == records[name][part] == alone[part]
        row = compared["stores"][name]
        assert row["model"].startswith(model)
        assert row["tumours"] == 8
        assert row["matched"] == row["score"] == alone["patient_space"]["score"]
    assert compared["stores"]["pushing"]["score"] == pytest.approx(2, abs=1e-3)


@pytest.mark.slow
def test_what_is_refined_is_compared(both_models, patient, tmp_path):
    local = Local(simulation_space="atlas", max_simulations=40)
    request = QueryRequest("", tmp_path / "out", seg=patient, space="atlas", refinement=local)
    compared, records = asked(request, both_models)
    for name, row in compared["stores"].items():
        assert row["matched"] == records[name]["refinement"]["before"]["score"]
        assert row["score"] == records[name]["patient_space"]["score"] >= row["matched"]
    scores = {name: row["score"] for name, row in compared["stores"].items()}
    assert compared["best"] == max(scores, key=scores.get)


def test_what_a_stage_lacks_in_any_store_is_said_before_there_is_any_work(both_models, patient, tmp_path, monkeypatch):
    def check(self, store):
        if store.path.name == "pushing":
            raise InputError("pushing has no network")

    monkeypatch.setattr(LocalRefinement, "check", check)
    request = QueryRequest(
        "", tmp_path / "out", seg=patient, space="atlas", keep=True, refinement=Local(simulation_space="atlas")
    )
    told, versions = [], [open_store(path).version for path in both_models]
    with pytest.raises(InputError, match="pushing has no network"):
        run_queries(request, both_models, told.append)
    with pytest.raises(InputError, match="pushing has no network"):
        run_query(replace(request, store=both_models[1]), told.append)
    assert told == ["read", "read"]
    assert [open_store(path).version for path in both_models] == versions
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_patient_is_registered_once(brain_store, patient_files, tmp_path, monkeypatch):
    t1, seg = patient_files
    other = shutil.copytree(brain_store.path, tmp_path / "other")
    made, register = [], registration_module.register

    def counted(*arguments, **options):
        made.append(arguments)
        return register(*arguments, **options)

    monkeypatch.setattr("gliodex.retrieval.imaging.patient.register", counted)
    request = QueryRequest("", tmp_path / "out", seg=seg, t1=t1, registration="affine")
    heard = []
    _, records = asked(request, [str(brain_store.path), str(other)], heard.append)
    assert len(made) == 1
    assert (tmp_path / "out" / "transform").is_dir()
    one, two = records.values()
    assert one["matches"] == two["matches"]
    assert one["seconds"]["registration"] == two["seconds"]["registration"] > 0
    assert "other: open index" in heard


def test_stores_that_cannot_be_compared_are_refused_before_anything_is_done(
    both_models, brain_store, patient, tmp_path
):
    request = QueryRequest("", tmp_path / "out", seg=patient, space="atlas")
    with pytest.raises(InputError, match="of another atlas"):
        run_queries(request, [both_models[0], str(brain_store.path)])
    with pytest.raises(InputError, match="two stores are called still"):
        run_queries(request, [both_models[0], both_models[0] + "/"])
    for odd in (".", "/", "stores/transform"):
        with pytest.raises(InputError, match="cannot be called"):
            run_queries(request, [both_models[0], odd])
    with pytest.raises(InputError, match="is a store"):
        run_queries(QueryRequest("", Path(both_models[0]), seg=patient, space="atlas"), both_models)
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_where_one_store_cannot_answer(both_models, small_atlas, make_store, patient, tmp_path):
    empty = make_store(small_atlas)
    with pytest.raises(InputError, match="holds no tumours"):
        run_queries(QueryRequest("", tmp_path / "out", seg=patient, space="atlas"), [both_models[0], str(empty)])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_stage_that_was_interrupted_goes_on_in_the_folder_of_its_store(both_models, patient, tmp_path):
    stage = Tmcmc(simulation_space="atlas", particles=256)
    request = QueryRequest("", tmp_path / "out", seg=patient, space="atlas", refinement=stage)

    class StopError(Exception):
        pass

    def stop(stage):
        if stage.startswith("pushing: refinement") and list((tmp_path / "out" / "pushing").glob("tmcmc.checkpoint*")):
            raise StopError

    with pytest.raises(StopError):
        run_queries(request, both_models, stop)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["pushing"]
    run_queries(request, both_models)
    for name in ("still", "pushing"):
        assert {p.name for p in (tmp_path / "out" / name).iterdir()} == RESULT_FILES


def test_a_mask_that_no_store_holds_is_told_by_each(both_models, small_atlas, tmp_path):
    labels = np.zeros(small_atlas.frame.shape, np.uint8)
    seg = write_nifti(tmp_path / "empty.nii.gz", labels, small_atlas.frame.affine)
    with pytest.raises(InputError):
        run_queries(QueryRequest("", tmp_path / "out", seg=seg, space="atlas"), both_models)
    assert not (tmp_path / "out").exists()
