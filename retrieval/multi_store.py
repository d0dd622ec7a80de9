"""One patient, asked of several stores: which growth model, or which size, explains this tumour best."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..simulate import described
from ..store.reader import TumorStore
from .outputs import DISCLAIMER, query_files, write_record
from .personalization import Stopwatch
from .query import settle, store_of, write_answer
from .request import QueryRequest, check_options
from .result import Answer
from .result_folder import inputs_of, refuse_overwriting, staged_folder


def run_queries(
    request: QueryRequest, stores: list[str], announce: Callable[[str], None] | None = None
) -> tuple[dict[str, Any], dict[str, tuple[Answer, dict[str, Any]]]]:
    """Ask several stores of one patient, who is registered once; each answer has a folder of the store's name.

    Args:
        request: what to do; `request.store` is not looked at.
        stores: paths, each as `QueryRequest.store`.
        announce: told of each stage as it begins.

    Returns:
        The content of stores.json, which compares them: of each its name, model, size, and the Dice sums in the
        patient, and the name of the best; and by name, of each store, the answer and the content of its matches.json.

    Raises:
        GliodexError: anything the user can mend; nothing is written then, though what earlier stores have refined may
            have been kept in them.
    """
    check_options(request)
    requests = {
        name: replace(request, store=path, out=request.out / name) for name, path in distinct_names(stores).items()
    }
    stages = {name: check_options(one) for name, one in requests.items()}
    names, inputs = _files(request, list(requests)), tuple(inputs_of(request))
    refuse_overwriting(request.out, names, inputs)
    watch = Stopwatch(announce)
    with watch.stage("read"):
        patient = request.read_patient()
        opened = {name: store_of(one) for name, one in requests.items()}
        check_atlases(opened)
        for name, stage in stages.items():
            if stage:
                stage.check(opened[name])
    found: dict[str, tuple[Answer, dict[str, Any]]] = {}
    kept = _folders([one.out for one in requests.values()])
    with staged_folder(request.out, names, inputs) as folder, kept:
        patient = request.placement.place(patient, next(iter(opened.values())).atlas, folder, watch.stage)
        for name, store in opened.items():
            own = Stopwatch(_about(name, announce))
            own.seconds |= watch.seconds
            (folder / name).mkdir()
            found[name] = write_answer(requests[name], patient, store, stages[name], folder / name, own)
        compared = comparison(opened, {name: record for name, (_, record) in found.items()})
        write_record(compared, folder, "stores")
    settle(patient, request)
    return compared, found


def _files(request: QueryRequest, stores: list[str]) -> frozenset[str]:
    """Name what is written, relative to the folder of the results."""
    alone = query_files(registers=request.placement.register)
    transform = alone - query_files(registers=False)
    return frozenset(
        {"stores.json", *transform, *(f"{store}/{name}" for store in stores for name in alone - transform)}
    )


@contextmanager
def _folders(paths: list[Path]) -> Iterator[None]:
    """Have folders where interrupted stages leave how far they came, and leave none that is empty."""
    for path in paths:
        path.mkdir(exist_ok=True)
    try:
        yield
    finally:
        for path in paths:
            if not any(path.iterdir()):
                path.rmdir()


def distinct_names(stores: list[str]) -> dict[str, str]:
    """Name stores by their folders: paths by name.

    Raises:
        InputError: two have one name.
    """
    named: dict[str, str] = {}
    for path in stores:
        name = path.rstrip("/").rpartition("/")[2]
        if name in named:
            raise InputError(f"two stores are called {name}: their answers would share a folder", hint="rename one")
        if name in ("", ".", "..", "transform"):
            raise InputError(f"an answer cannot be called by the name of {path}", hint="give a folder of another name")
        named[name] = path
    return named


def check_atlases(stores: dict[str, TumorStore]) -> None:
    """See that a patient who is placed in one store's atlas is placed in all.

    Raises:
        InputError: their atlases differ.
    """
    (first, one), *others = stores.items()
    for name, store in others:
        if store.atlas.digest != one.atlas.digest:
            raise InputError(
                f"{name} is of another atlas ({store.atlas.name}) than {first} ({one.atlas.name})",
                hint="ask each alone",
            )


def comparison(stores: dict[str, TumorStore], records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Say what each store found, and which is closest to the patient: by Dice of core and whole, summed, there."""
    found = {
        name: {
            "model": described(store.manifest.model),
            "version": store.version,
            "tumours": len(store),
            "matched": (records[name]["refinement"] or {"before": records[name]["patient_space"]})["before"]["score"],
            "score": records[name]["patient_space"]["score"],
            "warnings": records[name]["warnings"],
        }
        for name, store in stores.items()
    }
    return {
        "software": f"gliodex {version('gliodex')}",
        "notice": DISCLAIMER,
        "stores": found,
        "best": max(found, key=lambda name: found[name]["score"]),
    }


def _about(name: str, announce: Callable[[str], None] | None) -> Callable[[str], None] | None:
    return announce and (lambda stage: announce(f"{name}: {stage}"))
