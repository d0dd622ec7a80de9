"""What a client did wrong, as problem documents (RFC 9457): which field, what of it, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import GliodexError, InputError, NotAStoreError, OutputError, StoreError, UnknownTumourError

MEDIA_TYPE = "application/problem+json"
UNUSABLE = "the request cannot be used"


@dataclass(frozen=True)
class Problem:
    """A problem document.

    Args:
        title: what kind of problem it is.
        status: of HTTP.
        detail: what is wrong, in one sentence for people.
        field: of the request that is wrong; empty where it is none.
        cause: the part of `detail` that says what is wrong.
        remedy: the part that says what to do.
    """

    title: str
    status: int
    detail: str
    field: str = ""
    cause: str = ""
    remedy: str = ""

    def as_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {"type": "about:blank"} | asdict(self)


class RefusedError(InputError):
    """A request that is refused for a reason of HTTP: too large, too many, too slow, not allowed."""

    def __init__(self, status: int, title: str, detail: str, field: str = "", headers: dict[str, str] | None = None):
        super().__init__(detail)
        self.problem = Problem(title, status, detail, field, *_parts(detail))
        self.headers = headers or {}


def unusable(detail: str, field: str = "", status: int = 422) -> RefusedError:
    """Say that something in a request cannot be used."""
    return RefusedError(status, UNUSABLE, detail, field)


def problem_of(
    error: GliodexError, files: Mapping[str, Path] | None = None, stores: Mapping[str, str] | None = None
) -> Problem:
    """Tell a client what a user of the command line would read.

    Args:
        error: what was raised.
        files: uploads by field; where they lie on this machine is not told.
        stores: paths of stores by name; nor where these do.
    """
    if isinstance(error, RefusedError):
        return error.problem
    said, files = str(error), files or {}
    places = [(said.find(str(path)), field) for field, path in files.items() if str(path) in said]
    named = min(places, default=(0, ""))[1]
    if named in {"", "segmentation"} and (meaning := _LABELS.search(said) or _MASKS.search(said)):
        named = meaning.group(1)
    elif not named and (option := _OPTION.search(said)):
        named = field_of(option.group(1))
    status, title = _kind(error)
    detail = in_words_of_the_form(said, files, stores)
    return Problem(title, status, detail, named, *_parts(detail))


_OPTION = re.compile(r"--([a-z0-9][a-z0-9-]*)")
_LABELS = re.compile(r"--(labels)(?![\w-])")
_MASKS = re.compile(r"--(core|whole)(?![\w-])")
"""What is to be said of a segmentation: where a message names one of these, they are what is to be changed."""


def in_words_of_the_form(
    text: str, files: Mapping[str, Path] | None = None, stores: Mapping[str, str] | None = None
) -> str:
    """Say to a client what is meant for users of the command line.

    Args:
        text: with names of files, stores and options.
        files: as in `problem_of`.
        stores: likewise.

    Returns:
        the text with names of fields and stores, and without any place on this machine.
    """
    for field, path in (files or {}).items():
        text = text.replace(str(path), field)
    for name, place in (stores or {}).items():
        text = text.replace(place, name)
    text = _OPTION.sub(lambda option: field_of(option.group(1)), text)
    text = text.replace("give the folder", "send a zip archive of the folder")
    return re.sub(r"(?<![\w.])/(?:[\w.@+-]+/)+[\w.@+-]*", "a file of the service", text)


def field_of(option: str) -> str:
    """Name of the field that stands for an option of the command line."""
    return {"seg": "segmentation"}.get(option, option.replace("-", "_"))


def _kind(error: GliodexError) -> tuple[int, str]:
    if isinstance(error, UnknownTumourError):
        return 404, "no such tumour"
    if isinstance(error, OutputError):
        return 507, "no room"
    if isinstance(error, (NotAStoreError, StoreError)):
        return 503, "the store cannot be used"
    return 422, UNUSABLE


def _parts(detail: str) -> tuple[str, str]:
    """Messages say what is wrong, a colon or semicolon, and what to do."""
    pieces = re.split(r"(?<=[^:;])[:;] ", detail)
    return (detail, "") if len(pieces) == 1 else (": ".join(pieces[:-1]), pieces[-1])
