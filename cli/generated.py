"""Options of commands, made from where they are declared (`retrieval.options`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from ..retrieval.options import FlatOption


def with_options(options: Iterable[FlatOption]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command's function options, which it takes as `**options`.

    Args:
        options: To offer.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [
            one
            for one in inspect.signature(function, eval_str=True).parameters.values()
            if one.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        made = [_parameter(one) for one in options]
        function.__signature__ = inspect.Signature([*own, *made])  # type: ignore[attr-defined]
        return function

    return decorate


def _parameter(one: FlatOption) -> inspect.Parameter:
    flag = f"--{one.name.replace('_', '-')}"
    shown = typer.Option(
        flag,
        metavar=one.metavar,
        help=one.description,
        rich_help_panel=one.panel,
        show_default=one.default not in (None, False),
    )
    kind: Any = str | None if one.text else one.annotation
    return inspect.Parameter(
        one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=Annotated[kind, shown]
    )
