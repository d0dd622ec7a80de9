"""Queries from beginning to end: files in, files out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..index import Retriever, cluster_index, open_retriever
from ..store.reader import TumorStore, open_store
from .imaging.ants_transform import AntsMap
from .imaging.intensities import above_background
from .imaging.patient import Patient
from .outputs import as_record, posterior_record, query_files, write_brain, write_images, write_record
from .personalization import Stopwatch, personalize_with
from .refinement import Refinement, keep
from .request import QueryRequest, check_options
from .result import Answer
from .result_folder import inputs_of, refuse_overwriting, staged_folder

Announce = Callable[[str], None]


def run_query(request: QueryRequest, announce: Announce | None = None) -> tuple[Answer, dict[str, object]]:
    """Answer a query and write its files: matches.json, images, report, and the transform if one was made.

    Args:
        request: what to do.
        announce: told of each stage as it begins.

    Returns:
        The answer and the content of matches.json.

    Raises:
        GliodexError: anything the user can mend; nothing is written then.
    """
    watch = Stopwatch(announce)
    refinement = check_options(request)
    names, inputs = query_files(registers=request.placement.register), tuple(inputs_of(request))
    refuse_overwriting(request.out, names, inputs)
    with watch.stage("read"):
        patient, store = request.read_patient(), store_of(request)
        if refinement:
            refinement.check(store)
    with staged_folder(request.out, names, inputs) as folder:
        patient = request.placement.place(patient, store.atlas, folder, watch.stage)
        found, record = write_answer(request, patient, store, refinement, folder, watch)
    settle(patient, request)
    return found, record


def store_of(request: QueryRequest) -> TumorStore:
    """Open the store that is asked, and its atlas.

    Raises:
        GliodexError: it cannot be opened.
    """
    store = open_store(request.store)
    check_keep(request, store)
    store = store.with_folded() if request.include_folded else store
    _ = store.atlas
    return store


def check_keep(request: QueryRequest, store: TumorStore) -> None:
    """Refuse to add to an older version of a store.

    Raises:
        InputError: That is asked for.
    """
    if request.keep and store.pinned:
        raise InputError(
            f"‹keep› adds to the newest version of a store, not to version {store.version}",
            hint="name the store without a version, or leave it out",
        )


def write_answer(
    request: QueryRequest,
    patient: Patient,
    store: TumorStore,
    refinement: Refinement | None,
    folder: Path,
    watch: Stopwatch,
) -> tuple[Answer, dict[str, object]]:
    """Search, refine, and write what was found.

    Args:
        request: what to do.
        patient: placed in the store's atlas.
        store: to search.
        refinement: stage after retrieval.
        folder: for the files.
        watch: times the stages.

    Returns:
        As `run_query`.

    Raises:
        GliodexError: anything the user can mend.
    """
    found = find_answer(request, patient, store, refinement, watch)
    return found, write_files(found, store, request.as_record(), folder, watch)


def find_answer(
    request: QueryRequest, patient: Patient, store: TumorStore, refinement: Refinement | None, watch: Stopwatch
) -> Answer:
    """Search, refine, and add what refinement found to the store where that is asked for.

    Args:
        request: How to search.
        patient: Placed in the store's atlas.
        store: Store to search.
        refinement: Stage after retrieval.
        watch: Times the stages.

    Raises:
        GliodexError: Anything the user can mend.
    """
    with ExitStack() as opened:
        with watch.stage("open index"):
            retriever = opened.enter_context(_retriever(request, store, watch))
        found = personalize_with(
            store,
            retriever,
            patient,
            top_k=request.top_k,
            distinct=request.one_per_simulation,
            refinement=refinement,
            watch=watch,
        )
    if found.before is not None and request.keep:
        with watch.stage("keep"):
            found = _kept(found, store)
    return found


def write_files(
    found: Answer, store: TumorStore, settings: dict[str, object], folder: Path, watch: Stopwatch
) -> dict[str, object]:
    """Write what was found: images, report, posterior.json and, at last, matches.json.

    Args:
        found: What to write.
        store: That was searched.
        settings: How it was searched.
        folder: For the files.
        watch: Times the stages.

    Returns:
        The content of matches.json.
    """
    with watch.stage("write images"):
        maps = write_images(found, store, folder)
        write_brain(found.patient, folder)
    record = as_record(found, store, settings, watch.seconds)
    with watch.stage("report"):
        from .report import write_report  # matplotlib takes a second to import

        background, anatomy = background_of(found.patient, store)
        write_report(found, record, background, anatomy, maps, folder)
    record["seconds"] = {name: round(value, 3) for name, value in watch.seconds.items()}
    write_record(posterior_record(found.posterior), folder, "posterior")
    write_record(record, folder)
    return record


def settle(patient: Patient, request: QueryRequest) -> None:
    """Tell a registration where its files lie once the results are complete."""
    if isinstance(patient.placed, AntsMap) and request.transform is None:
        patient.placed.folder = request.out / "transform"


def _retriever(request: QueryRequest, store: TumorStore, watch: Stopwatch) -> AbstractContextManager[Retriever]:
    if request.scheduler:
        return cluster_index(store, request.scheduler)
    tell = watch.progress("making the index")
    return nullcontext(
        open_retriever(
            store,
            request.index,
            measure=request.metric,
            rerank=request.rerank,
            search_thresholds=request.search_thresholds,
            engine=request.faiss_index,
            device=request.device,
            progress=lambda done, total: tell(f"{done:,} of {total:,} tumours"),
        )
    )


def _kept(found: Answer, store: TumorStore) -> Answer:
    ids, doubt = keep(store, found.posterior, found.spatial)
    return replace(found, kept=tuple(ids), warnings=(*found.warnings, *([doubt] if doubt else [])))


def background_of(patient: Patient, store: TumorStore) -> tuple[NDArray[np.float32], str]:
    """Find what an answer can be shown on: the patient's MRI, or else the atlas's, on the segmentation's grid.

    Returns:
        The image, 0 around the brain, and what it is in words.
    """
    grid = patient.segmentation.frame
    if patient.shown is None:
        return patient.spatial.to_patient(store.atlas.t1, store.frame, grid), "the atlas's T1, as no MRI was given"
    image = above_background(patient.shown)
    data = np.asarray(image.data, dtype=np.float32)
    shown = data if image.frame.same_as(grid) else grid.resample(data, image.frame)
    return shown, f"the patient's {image.path.name}"
