"""What a client did wrong, as problem documents (RFC 9457): which field, what of it, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import GliodexError, InputError, NotAStoreError, OutputError, StoreError, UnknownTumourError, plain

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
        cause: what is wrong.
        remedy: what to do about it; empty where there is nothing.
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

    def __init__(
        self,
        status: int,
        title: str,
        cause: str,
        field: str = "",
        headers: dict[str, str] | None = None,
        *,
        hint: str = "",
    ) -> None:
        super().__init__(cause, hint=hint, parameter=field or None)
        self.problem = Problem(title, status, str(self), field, plain(cause), plain(hint))
        self.headers = headers or {}


def unusable(cause: str, field: str = "", status: int = 422, *, hint: str = "") -> RefusedError:
    """Say that something in a request cannot be used."""
    return RefusedError(status, UNUSABLE, cause, field, hint=hint)


def problem_of(
    error: GliodexError, files: Mapping[str, Path] | None = None, stores: Mapping[str, str] | None = None
) -> Problem:
    """Tell a client what a user of Python would read.

    Args:
        error: what was raised.
        files: uploads by field; where they lie on this machine is not told.
        stores: paths of stores by name; nor where these do.
    """
    if isinstance(error, RefusedError):
        return error.problem
    places = [(error.text.find(str(path)), field) for field, path in (files or {}).items() if str(path) in error.text]
    field = error.parameter or min(places, default=(0, ""))[1]
    status, title = _kind(error)
    detail, cause, remedy = (
        without_places(plain(text), files, stores) for text in (error.text, error.message, error.hint)
    )
    return Problem(title, status, detail, field, cause, remedy)


def without_places(text: str, files: Mapping[str, Path] | None = None, stores: Mapping[str, str] | None = None) -> str:
    """Write the names of fields and stores for the places on this machine that a text names, and hide all others.

    Args:
        text: for a client.
        files: as in `problem_of`.
        stores: likewise.
    """
    for field, path in (files or {}).items():
        text = text.replace(str(path), field)
    for name, place in (stores or {}).items():
        text = text.replace(place, name)
    return _PATH.sub("a file of the service", text)


_PATH = re.compile(r"(?<![\w.])/(?:[\w.@+-]+/)+[\w.@+-]*")


def _kind(error: GliodexError) -> tuple[int, str]:
    if isinstance(error, UnknownTumourError):
        return 404, "no such tumour"
    if isinstance(error, OutputError):
        return 507, "no room"
    if isinstance(error, (NotAStoreError, StoreError)):
        return 503, "the store cannot be used"
    return 422, UNUSABLE
