"""Errors carry what was wrong, what to do and of which parameter; each face writes parameters in its own way."""

import pickle

import pytest

from gliodex import errors
from gliodex.errors import GliodexError, InputError, OutputError, UnknownTumourError, about, command, flagged, plain

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GliodexError)]


def test_python_names_parameters_and_the_command_line_flags():
    error = InputError("‹top_k› must be at least 1, not 0", hint="leave it out, or give ‹space=sri24›")
    assert str(error) == "top_k must be at least 1, not 0: leave it out, or give space=sri24"
    assert flagged(error.text) == "--top-k must be at least 1, not 0: leave it out, or give --space sri24"
    assert error.parameter == "top_k"


def test_commands_are_whole_on_the_command_line():
    text = f"make it with {command('gliodex index', '/a b/store', index='ae', rebuild=True, device=None)}"
    assert flagged(text) == "make it with `gliodex index /a b/store --index ae --rebuild`"
    assert plain(text) == "make it with `gliodex index /a b/store` with index=ae, rebuild"
    assert plain(command("gliodex train")) == flagged(command("gliodex train")) == "`gliodex train`"


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_come_whole_through_processes(kind):
    error = kind("‹t1› is wrong", hint="give ‹t1c›", parameter="t1c")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.parameter) == (kind, "t1 is wrong: give t1c", "t1c")


def test_errors_that_are_made_otherwise_come_whole_too():
    pytest.importorskip("fastapi", reason="pip install 'gliodex[serve]'")
    from gliodex.service.client import ServiceError
    from gliodex.service.problems import RefusedError

    refused = pickle.loads(pickle.dumps(RefusedError(429, "too many", "too many wait", "t1", hint="come again")))
    assert (str(refused), refused.problem.status, refused.parameter) == ("too many wait: come again", 429, "t1")
    failed = pickle.loads(pickle.dumps(ServiceError({"detail": "gone", "status": 410})))
    assert (str(failed), failed.problem["status"]) == ("gone", 410)


def test_the_parameter_is_named_by_whoever_knows_it():
    with pytest.raises(InputError) as caught, about("t1c"), about("t1"):
        raise InputError("the file is empty")
    assert caught.value.parameter == "t1"
    with pytest.raises(InputError) as caught, about("t1"):
        raise InputError("‹strip=deepbet› needs a package")
    assert caught.value.parameter == "strip"


def test_kinds_are_what_python_expects_too():
    assert isinstance(OutputError("x"), OSError)
    assert isinstance(InputError("x"), ValueError)
    assert str(UnknownTumourError("no tumour 7")) == "no tumour 7"
