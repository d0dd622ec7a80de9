"""The commands and where each is written: a module is imported only when its command runs."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

Places = Mapping[str, "str | Places"]
"""Of each command its place, `module:function` within this package, or of a group those of its commands."""

COMMANDS: Places = {
    "demo": "demo:demo",
    "build": "build:build",
    "query": "query:query",
    "forecast": "forecast:forecast",
    "serve": "serve:serve",
    "info": "stores:info",
    "versions": "tumors:versions",
    "index": "stores:index",
    "add": "tumors:add",
    "delete": "tumors:delete",
    "export": "tumors:export",
    "train": {
        "encoder": "train:train",
        "lmi": "train_lmi:train_lmi",
        "surrogate": "train_surrogate:train_surrogate",
    },
    "bench": {
        "retrieval": "bench:bench",
        "refinement": "bench:bench_refine",
        "lmi": "bench:bench_lmi",
        "surrogate": "bench:bench_surrogate",
        "plausibility": "bench:plausibility",
    },
    "verify": "stores:verify",
    "gc": "stores:gc",
}

_GROUPS = {
    "train": "Train networks: encoders of masks, regression of growth parameters (lmi), surrogates of the solver.",
    "bench": "Benchmarks: accuracy against runtime, what refinement gains, networks, plausibility of growth models.",
}


class _Later(TyperCommand):
    """A command of which only the summary is known until it runs or shows its help."""

    def __init__(self, name: str, place: str | Places) -> None:
        super().__init__(name, help=_GROUPS[name] if not isinstance(place, str) else _summary(place))
        self._place = place

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Make the command itself, and a context of it."""
        assert self.name is not None
        return _made(self.name, self._place).make_context(info_name, args, parent=parent, **extra)


class Group(TyperGroup):
    """A group whose commands are imported when they run."""

    places: Places = COMMANDS

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the commands, in the order of the help."""
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command by its name; None where there is none."""
        return _Later(cmd_name, self.places[cmd_name]) if cmd_name in self.places else None


def _made(name: str, place: str | Places) -> Any:
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    if isinstance(place, str):
        module, function = place.split(":")
        app.command(name)(getattr(import_module(f".{module}", __package__), function))
        return typer.main.get_command(app)
    group = type("Group", (Group,), {"places": place})
    app = typer.Typer(cls=group, add_completion=False, rich_markup_mode="rich", no_args_is_help=True)
    app.callback(help=_GROUPS[name])(_nothing)
    return typer.main.get_command(app)


def _nothing() -> None:
    pass


def _summary(place: str) -> str:
    """First paragraph of a command's docstring, read without importing its module."""
    module, function = place.split(":")
    spec = find_spec(f"{__package__}.{module}")
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    (found,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return (ast.get_docstring(found) or "").split("\n\n")[0]
