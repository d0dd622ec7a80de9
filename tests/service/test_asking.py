from dataclasses import fields
from pathlib import Path
from typing import get_args

from gliodex.index import MEASURES, METHODS, RANKINGS
from gliodex.retrieval.refinement import StageChoice
from gliodex.service.asking import FILES, Measure, Method, Options, request_of


def test_all_ways_of_searching_can_be_asked_for():
    assert get_args(Method) == tuple(METHODS)
    assert set(get_args(Measure)) == {*MEASURES, *RANKINGS}


def test_a_form_without_options_is_a_request_without_any():
    asked = {"options": {}, "files": {"segmentation": "segmentation.nii.gz"}}
    request = request_of(asked, Path("uploads"), "brain@3", Path("out"))
    assert request.seg == Path("uploads/segmentation.nii.gz")
    assert (request.store, request.out, request.keep) == ("brain@3", Path("out"), False)
    assert request.stage == StageChoice()
    for field in fields(request):
        if field.name not in {"store", "out", "seg", "keep", "stage"}:
            assert getattr(request, field.name) == field.default, field.name


def test_each_option_arrives():
    options = {
        "core": "1,4",
        "whole": "1,2,4",
        "space": "sri24",
        "labels": "brats",
        "strip": "deepbet",
        "n4": True,
        "reorient": "LPS",
        "registration": "syn",
        "top_k": 3,
        "distinct": True,
        "method": "ds64",
        "rerank": 50,
        "thresholds": "fixed",
        "folded": True,
        "refine": "tmcmc",
        "refine_in": "atlas",
        "evaluations": 10,
        "prior": "store",
        "around_matches": True,
        "alike_mm": 8.0,
        "samples": 64,
    }
    assert set(options) | {"store", "measure", "simulations", "rounds"} == set(Options.model_fields)
    request = request_of({"options": options, "files": {}}, Path(), "s", Path("out"))
    assert (request.core, request.whole, request.space, request.registration) == ((1, 4), (1, 2, 4), "sri24", "syn")
    assert (request.method, request.rerank, request.thresholds, request.top_k) == ("ds64", 50, "fixed", 3)
    assert (request.labels, request.strip, request.bias, request.reorient) == ("brats", "deepbet", True, "LPS")
    assert request.distinct
    assert request.folded
    assert request.stage == StageChoice("tmcmc", "atlas", 10, "store", True, 8.0, 64)


def test_each_file_arrives():
    request = request_of({"options": {}, "files": {name: f"{name}.mha" for name in FILES}}, Path("u"), "s", Path("out"))
    assert request.seg == Path("u/segmentation.mha")
    for name in set(FILES) - {"segmentation"}:
        assert getattr(request, name) == Path(f"u/{name}.mha")
