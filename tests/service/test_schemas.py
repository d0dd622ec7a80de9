from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from gliodex.errors import InputError
from gliodex.index import ENGINES, MEASURES, METHODS, RANKINGS
from gliodex.index.index_names import FaissIndex, IndexName, MetricName
from gliodex.retrieval.options import FILES, FLAT
from gliodex.retrieval.refinement.refinement_options import NoRefinement, Tmcmc
from gliodex.service.schemas import Options, QueryForm, request_of


def test_all_ways_of_searching_can_be_asked_for():
    assert get_args(IndexName) == tuple(METHODS)
    assert set(get_args(MetricName)) == {*MEASURES, *RANKINGS}
    assert get_args(FaissIndex) == ENGINES


def test_a_form_without_options_is_a_request_without_any():
    asked = {"options": {}, "files": {"seg": "seg.nii.gz"}}
    request = request_of(asked, Path("uploads"), "brain@3", Path("out"))
    assert request.seg == Path("uploads/seg.nii.gz")
    assert (request.store, request.out, request.keep) == ("brain@3", Path("out"), False)
    assert request.refinement == NoRefinement()
    for field in fields(request):
        if field.name in FLAT and field.name != "seg":
            assert getattr(request, field.name) == FLAT[field.name].default, field.name


def test_each_option_arrives():
    options = {
        "core_labels": "1,4",
        "whole_labels": "1,2,4",
        "space": "sri24",
        "labels": "brats",
        "strip": "deepbet",
        "n4": True,
        "reorient": "LPS",
        "registration": "syn",
        "registration_seed": 7,
        "top_k": 3,
        "one_per_simulation": True,
        "index": "ds64",
        "rerank": 50,
        "thresholds": "fixed",
        "include_folded": True,
        "refine": "tmcmc",
        "simulation_space": "atlas",
        "max_simulations": 1000,
        "prior": "store",
        "init": "matches",
        "correlation_length_mm": 8.0,
        "particles": 64,
        "chains": 2,
    }
    others = {"store", "metric", "faiss_index", "simulations_per_round", "rounds", "arch"}
    assert set(options) | others == set(Options.model_fields)
    request = request_of({"options": options, "files": {}}, Path(), "s", Path("out"))
    assert (request.core_labels, request.whole_labels) == ((1, 4), (1, 2, 4))
    assert (request.space, request.registration, request.registration_seed) == ("sri24", "syn", 7)
    assert (request.index, request.rerank, request.thresholds, request.top_k) == ("ds64", 50, "fixed", 3)
    assert (request.labels, request.strip, request.n4, request.reorient) == ("brats", "deepbet", True, "LPS")
    assert request.one_per_simulation
    assert request.include_folded
    assert request.refinement == Tmcmc(
        simulation_space="atlas",
        max_simulations=1000,
        prior="store",
        init="matches",
        correlation_length_mm=8.0,
        particles=64,
        chains=2,
    )


def test_each_file_arrives():
    request = request_of({"options": {}, "files": {name: f"{name}.mha" for name in FILES}}, Path("u"), "s", Path("out"))
    for name in FILES:
        assert getattr(request, name) == Path(f"u/{name}.mha")


def test_the_form_has_all_options_but_those_of_one_machine():
    here = {name for name, one in FLAT.items() if one.local}
    assert here == {"transform", "threads", "device", "scheduler", "surrogate", "keep"}
    assert set(QueryForm.model_fields) == set(FLAT) - here | {"store"}


def test_an_option_of_another_method_is_refused():
    with pytest.raises(InputError, match="rounds is for refine=npe"):
        request_of({"options": {"refine": "local", "rounds": 3}, "files": {}}, Path(), "s", Path("out"))
