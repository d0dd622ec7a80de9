"""The exceptions of gliodex: one small tree, each saying what was wrong, where, and what to do next.

`GliodexError` is everything a user can mend: the command line prints its message on one line and exits with 2.
Anything else that escapes is a fault of the program and exits with 1.

A message mentions parameters as `‹top_k›` or `‹space=sri24›`, so that each face can write them in its own way: Python
and HTTP as `top_k` and `space=sri24`, the command line as `--top-k` and `--space sri24` (see `plain`, `flagged`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

_MENTION = re.compile(r"‹(\w+)(?:=([^›]*))?›")
_COMMAND = re.compile(r"‹`([^`›]*)`((?: \w+(?:=[^ ›]*)?)*)›")


def command(*words: object, **options: object) -> str:
    """Mention a command in a message.

    Args:
        words: The command and its arguments.
        options: Parameters of it; those that are None or False are left out.
    """
    given = [name if value is True else f"{name}={value}" for name, value in options.items() if value]
    return f"‹{' '.join(['`' + ' '.join(map(str, words)) + '`', *given])}›"


def plain(text: str) -> str:
    """Write what a message mentions for Python and HTTP: `name`, `name=value`, and a command beside its parameters."""

    def command(found: re.Match[str]) -> str:
        return f"`{found[1]}`" + (f" with {', '.join(found[2].split())}" if found[2] else "")

    text = _COMMAND.sub(command, text)
    return _MENTION.sub(lambda found: found[1] if found[2] is None else f"{found[1]}={found[2]}", text)


def flagged(text: str) -> str:
    """Write what a message mentions for the command line: `--name`, `--name value`, and whole commands."""

    def flag(name: str, value: str | None) -> str:
        return f"--{name.replace('_', '-')}" + ("" if value is None else f" {value}")

    def command(found: re.Match[str]) -> str:
        options = (option.partition("=") for option in found[2].split())
        return f"`{' '.join([found[1], *(flag(name, value or None) for name, _, value in options)])}`"

    return _MENTION.sub(lambda found: flag(found[1], found[2]), _COMMAND.sub(command, text))


class GliodexError(Exception):
    """Root of the tree: catch this to catch every error that gliodex raises on purpose.

    Args:
        message: What was wrong, and where.
        hint: What to do about it.
        parameter: Name of the parameter that is to be changed; by default the first that the message mentions.

    Attributes:
        message: As given, with parameters as `‹name›` or `‹name=value›`.
        hint: Likewise; empty where there is nothing to do.
        parameter: Name of the parameter, None where there is none.
    """

    def __init__(self, message: str = "", *, hint: str = "", parameter: str | None = None) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint
        mentioned = _MENTION.search(message)
        self.parameter = parameter or (mentioned[1] if mentioned else None)

    @property
    def text(self) -> str:
        """Message and hint, for `plain` or `flagged`."""
        return f"{self.message}: {self.hint}" if self.hint else self.message

    def __str__(self) -> str:
        """Message and hint, parameters by their names in Python."""
        return plain(self.text)

    def __reduce__(self) -> tuple[object, ...]:
        """Keep all that it carries on the way between processes, whatever a subclass is made with."""
        return _unpickled, (type(self), self.message), vars(self)


def _unpickled(kind: type[GliodexError], message: str) -> GliodexError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    return error


@contextmanager
def about(name: str) -> Iterator[None]:
    """Name the parameter whose value is being read or checked, for errors that do not know it.

    Args:
        name: The parameter, as in Python.
    """
    try:
        yield
    except GliodexError as error:
        error.parameter = error.parameter or name
        raise


class InputError(GliodexError, ValueError):
    """A file, array or option that cannot be used as given."""


class UnsolvedError(InputError):
    """A tumour whose equations could not be solved."""


class OutputError(GliodexError, OSError):
    """A place that cannot be written to."""


class StoreError(GliodexError):
    """Something about a tumour store."""


class NotAStoreError(StoreError):
    """The path holds no gliodex store."""


class NewerSchemaError(StoreError):
    """The store was written by a newer schema than this version reads."""


class DamagedStoreError(StoreError):
    """A byte of the store is not what was written."""


class StoreLockedError(StoreError):
    """Another process is committing to the store."""


class UnknownParametersError(StoreError):
    """The tumour was added as a density alone: nobody knows what it was grown with."""


class UnknownTumourError(StoreError, KeyError):
    """The snapshot holds no tumour of that id."""
