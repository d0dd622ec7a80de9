"""How an option is declared: once, with all that the command line, HTTP, Python and the reference pages need of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from ..errors import GliodexError, InputError

Options = TypeVar("Options", bound=type)


def option(
    *,
    default: Any,
    description: str,
    panel: str,
    metavar: str | None = None,
    text: bool = False,
    local: bool = False,
    ge: float | None = None,
    le: float | None = None,
) -> Any:
    """Declare an option.

    Args:
        default: Value where nothing is given.
        description: What it is for, as a sentence.
        panel: Heading under which faces list it.
        metavar: What stands for its value in help, such as DAYS.
        text: Whether command line and HTTP give it as text, which the model reads.
        local: Whether it is of one machine alone, and so not offered over HTTP.
        ge: Smallest value.
        le: Largest value.
    """
    extra: dict[str, Any] = {"panel": panel, "metavar": metavar, "text": text, "local": local}
    return Field(default, description=description, json_schema_extra=extra, ge=ge, le=le, kw_only=True)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(Field, option))
def declared(*, kw_only: bool = True) -> Callable[[Options], Options]:
    """Make a class whose fields are options: frozen, and checked when it is made.

    Where a value cannot be used, making it raises an `InputError` that names the option.

    Args:
        kw_only: Whether its fields are given by name alone.
    """

    def make(cls: Options) -> Options:
        config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
        made: Any = dataclass(frozen=True, kw_only=kw_only, config=config)(cls)
        checked = made.__init__

        @functools.wraps(checked)
        def init(self: object, *args: object, **values: object) -> None:
            try:
                checked(self, *args, **values)
            except ValidationError as error:
                raise refusal(error) from None

        made.__init__ = init
        return made  # type: ignore[no-any-return]

    return make


def fields_of(options: type) -> Mapping[str, FieldInfo]:
    """List the declarations of a class's options, by name."""
    found: Mapping[str, FieldInfo] = options.__pydantic_fields__  # type: ignore[attr-defined]
    return found


def refusal(error: ValidationError) -> GliodexError:
    """Say in one sentence what pydantic found wrong first."""
    first = error.errors(include_url=False)[0]
    context, given = first.get("ctx", {}), first.get("input")
    name = next((str(part) for part in reversed(first["loc"]) if isinstance(part, str)), "")
    ours = context.get("error")
    if isinstance(ours, GliodexError):
        ours.parameter = ours.parameter or name
        return ours
    said: dict[str, Callable[[], str]] = {
        "missing": lambda: f"‹{name}› is missing",
        "missing_argument": lambda: f"‹{name}› is missing",
        "unexpected_keyword_argument": lambda: f"there is no option ‹{name}›",
        "literal_error": lambda: f"‹{name}={given}› is none of {context['expected'].replace(chr(39), '')}",
        "greater_than_equal": lambda: f"‹{name}› must be at least {context['ge']:g}, not {given}",
        "greater_than": lambda: f"‹{name}› must be above {context['gt']:g}, not {given}",
        "less_than_equal": lambda: f"‹{name}› must be at most {context['le']:,.10g}, not {given}",
        "int_parsing": lambda: f"‹{name}› takes a whole number, not `{given}`",
        "int_type": lambda: f"‹{name}› takes a whole number, not {given!r}",
        "int_from_float": lambda: f"‹{name}› takes a whole number, not {given}",
        "float_parsing": lambda: f"‹{name}› takes a number, not `{given}`",
        "finite_number": lambda: f"‹{name}› must be a finite number, not {given}",
        "bool_parsing": lambda: f"‹{name}› takes true or false, not `{given}`",
    }
    words = said.get(first["type"])
    other = f"‹{name}›: {first['msg'][:1].lower()}{first['msg'][1:]}"
    return InputError(words() if words else other, parameter=name or None)
