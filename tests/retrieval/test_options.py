"""Options are declared once: every face has them, and refuses what cannot be used by the option's name."""

import subprocess
import sys
from pathlib import Path

import pytest

from gliodex.errors import InputError
from gliodex.retrieval import QueryRequest
from gliodex.retrieval.options import FILES, FLAT, split
from gliodex.retrieval.refinement.refinement_options import METHODS, Local, NoRefinement, Npe, Tmcmc

ANOTHER = """
from gliodex.retrieval import options
from gliodex.retrieval.option_declaration import declared, option

@declared()
class More(options.QueryOptions):
    hue: int = option(default=7, description="A hue.", panel=options.SEARCH, ge=1, le=9)

options.FLAT = options.flat_options(More)
import inspect
from typer.testing import CliRunner
from gliodex.cli.main import app
from gliodex.retrieval.api import personalize
from gliodex.service.schemas import QueryForm

print("--hue" in CliRunner().invoke(app, ["query", "--help"], terminal_width=100).output)
print(inspect.signature(personalize).parameters["hue"].default == 7)
print(QueryForm.model_json_schema()["properties"]["hue"]["maximum"] == 9)
print(options.split({"hue": 3})["hue"] == 3)
"""


def test_an_option_that_is_added_is_in_every_face():
    pytest.importorskip("fastapi", reason="pip install 'gliodex[serve]'")
    ran = subprocess.run([sys.executable, "-c", ANOTHER], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True"] * 4, ran.stderr


def test_options_of_a_method_are_split_from_the_others():
    assert split({}) == {"refinement": NoRefinement()}
    given = {"top_k": 3, "refine": "tmcmc", "particles": 64, "rounds": None, "init": "matches"}
    assert split(given) == {"top_k": 3, "refinement": Tmcmc(particles=64, init="matches")}


@pytest.mark.parametrize(
    ("given", "said", "parameter"),
    [
        ({"hue": 3}, "there is no option hue: the options are seg, ", "hue"),
        ({"refine": "magic"}, "refine=magic is none of none, local, tmcmc, npe, lmi", "refine"),
        ({"refine": "local", "rounds": 3}, "rounds is for refine=npe: leave it out, or choose such", "rounds"),
        ({"simulation_space": "atlas"}, "simulation_space is for refine=local or refine=tmcmc or", "simulation_space"),
        ({"max_simulations": 3}, "max_simulations is for refine=local or refine=tmcmc", "max_simulations"),
        ({"refine": "npe", "rounds": 0}, "rounds must be at least 1, not 0", "rounds"),
    ],
)
def test_what_does_not_belong_is_refused(given, said, parameter):
    with pytest.raises(InputError) as caught:
        split(given)
    assert str(caught.value).startswith(said)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"top_k": 0}, "top_k must be at least 1, not 0"),
        ({"top_k": 10_001}, "top_k must be at most 10,000, not 10001"),
        ({"top_k": "x"}, "top_k takes a whole number, not `x`"),
        ({"top_k": 1.5}, "top_k takes a whole number, not 1.5"),
        ({"n4": "maybe"}, "n4 takes true or false, not `maybe`"),
        ({"space": "mars"}, "space=mars is none of sri24, mni152 or atlas"),
        ({"core_labels": "1,,4"}, "core_labels takes labels with commas between them, for example 1,4, not `1,,4`"),
        ({"registration_seed": -1}, "registration_seed must be at least 0, not -1"),
        ({"hue": 1}, "there is no option hue"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(value, said):
    with pytest.raises(InputError) as caught:
        QueryRequest("store", Path("out"), **value)
    assert str(caught.value) == said
    assert caught.value.parameter == next(iter(value))


@pytest.mark.parametrize(
    ("given", "labels"),
    [("1,4", (1, 4)), ("none", ()), ((1, "WT"), (1, "WT")), ([1, 4], (1, 4)), (4, (4,)), (None, None)],
)
def test_labels_are_text_or_numbers(given, labels):
    assert QueryRequest("store", Path("out"), core_labels=given).core_labels == labels


def test_defaults_that_methods_share_or_not_are_said():
    assert FLAT["max_simulations"].description == "Simulations at most. (local, tmcmc; default local 1200)"
    assert FLAT["rounds"].description == "Rounds. (npe; default 4)"
    assert FLAT["rounds"].methods == {"npe": Npe().rounds}
    assert Local().max_simulations == FLAT["max_simulations"].methods["local"]


def test_each_method_is_one_entry():
    assert {name: options().method for name, options in METHODS.items()} == {name: name for name in METHODS}
    assert set(FILES) < set(FLAT)
