"""A comparison over several stores, such as of both growth models: a folder each, and their tables together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..retrieval.multi_store import distinct_names
from ..retrieval.outputs import staged_folder
from ..simulate import described
from ..store.reader import open_store
from .patient_cohort import closer_of

Row = dict[str, Any]
Announce = Callable[[str, int, int], None]

Request = TypeVar("Request")
Found = TypeVar("Found")


def over_stores(
    paths: list[str],
    out: Path,
    request_of: Callable[[str, Path], Request],
    check: Callable[[Request], object],
    compare: Callable[[Request, Announce], Found],
    announce: Announce = lambda what, done, total: None,
    against: Callable[[dict[str, int], dict[str, Found]], str] | None = None,
) -> None:
    """Compare in each of several stores; one alone has its results in `out` itself.

    Args:
        paths: of the stores.
        out: folder for the results: of several, a folder each, and table.md with all their tables.
        request_of: asks for the comparison in the store of a path, with its results in a folder.
        check: refuses what could not be compared; all stores are looked at before there is any work.
        compare: compares in one store, and leaves table.md and more in its folder.
        announce: told how far it has come.
        against: says how they did against each other, from how many tumours each holds and what `compare` gave, by
            name.

    Raises:
        GliodexError: anything the user can mend; what earlier stores gave is kept then.
    """
    if len(paths) == 1:
        compare(request_of(paths[0], out), announce)
        return
    named = distinct_names(paths)
    stores = {name: open_store(path) for name, path in named.items()}
    requests = {name: request_of(path, out / name) for name, path in named.items()}
    for request in requests.values():
        check(request)
    found: dict[str, Found] = {}
    parts: list[str] = []
    for name, store in stores.items():
        found[name] = compare(requests[name], partial(_about, announce, name))
        title = f"## {name}: {described(store.manifest.model)}, {len(store):,} tumours"
        parts += [title, (out / name / "table.md").read_text().strip()]
    with staged_folder(out) as folder:
        if against is not None and (said := against({name: len(store) for name, store in stores.items()}, found)):
            parts.append(said)
        (folder / "table.md").write_text("\n\n".join(parts) + "\n")


def _about(announce: Announce, name: str, what: str, done: int, total: int) -> None:
    announce(f"{name}: {what}", done, total)


def refined_against(sizes: dict[str, int], found: dict[str, list[Row]]) -> str:
    """Say which store's answers are the closer to the patients, stage by stage, patient by patient.

    Args:
        sizes: how many tumours each store holds, by name; the others are held against the first.
        found: of each, what `compare_stages` gave.

    Returns:
        A sentence a stage and other store, in Markdown; nothing where no, or too few, patients were asked.
    """
    first, *others = sizes
    said = []
    for other in others:
        for stage in dict.fromkeys(row["stage"] for row in found[first] if row["set"] == "patients"):
            scores = [
                {row["label"]: row["score"] for row in found[name] if (row["set"], row["stage"]) == ("patients", stage)}
                for name in (first, other)
            ]
            apart = [scores[1][label] - score for label, score in scores[0].items() if label in scores[1]]
            if sentence := closer_of((first, sizes[first]), (other, sizes[other]), apart):
                said.append(f"Patients, {stage}: {sentence}")
    return "\n\n".join(said)
