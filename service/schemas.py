"""What a client asks for, between a form, a file, and a `QueryRequest`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from fastapi import UploadFile
from pydantic import ConfigDict, Field, create_model

from ..retrieval.options import FILES, FLAT, FlatOption
from ..retrieval.request import QueryRequest

_STORE = Field(None, description="Name of the store; may be left out where there is one.")


def _field(one: FlatOption) -> Any:
    kind = str | None if one.text else one.annotation
    return kind, Field(one.default, description=one.description, **cast(Any, dict(one.bounds)))


Options = create_model(
    "Options",
    __config__=ConfigDict(extra="forbid"),
    __doc__="Options of a query; those of `gliodex query`, with _ for -.",
    store=(str | None, _STORE),
    **cast(Any, {one.name: _field(one) for one in FLAT.values() if not one.local and one.name not in FILES}),
)
"""Options of a query that have no file; those that are of one machine alone are left out."""

QueryForm: Any = create_model(
    "QueryForm",
    __base__=Options,
    __doc__="A query: one segmentation or two masks, what places them, and options.",
    **cast(
        Any,
        {
            name: (UploadFile | None, Field(None, description=f"{FLAT[name].description} A DICOM series as a zip."))
            for name in FILES
        },
    ),
)


def option_names() -> frozenset[str]:
    """Names of a form's fields that are no files."""
    return frozenset(Options.model_fields)


def request_of(asked: dict[str, Any], folder: Path, store: str, out: Path) -> QueryRequest:
    """Make the request that `run_query` takes.

    Args:
        asked: `options`, and under `files` the file of each field.
        folder: where these files are.
        store: path of the store, with a version.
        out: folder for the results.

    Raises:
        InputError: options that cannot be used.
    """
    options = Options(**asked["options"]).model_dump(exclude_unset=True, exclude={"store"})
    files = {field: folder / name for field, name in asked["files"].items()}
    return QueryRequest.of(store, out, options | files)
