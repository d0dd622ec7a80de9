"""`gliodex query`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..retrieval.options import FLAT
from .console import stages
from .generated import with_options
from .render import show, show_several


@with_options(FLAT.values())
def query(
    stores: Annotated[
        list[str],
        typer.Argument(
            metavar="STORE",
            help="Folder of the store; STORE@3 is its version 3. Several of one atlas, such as of both growth models, "
            "are compared.",
        ),
    ],
    out_folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    **options: Any,
) -> None:
    """Find the simulated tumor that resembles a patient's most, and warp it to the patient."""
    from ..retrieval import QueryRequest, run_queries, run_query

    request = QueryRequest.of(stores[0], out_folder, options)
    if len(stores) == 1:
        with stages() as announce:
            found, record = run_query(request, announce)
        show(found, record, out_folder)
        return
    with stages() as announce:
        compared, answers = run_queries(request, stores, announce)
    show_several(compared, answers, out_folder)
