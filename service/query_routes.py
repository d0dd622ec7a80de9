"""Routes of queries, which are jobs: ask, follow, fetch, cancel, delete; and look before asking."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, UploadFile
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from ..errors import GliodexError, InputError
from ..index import what_is_missing
from ..retrieval.imaging.conventions import CONVENTIONS
from ..retrieval.options import FILES
from ..retrieval.request import check_options
from .context import Context
from .jobs import ENDED, Job, State
from .problems import RefusedError, problem_of, unusable
from .schemas import QueryForm, option_names, request_of
from .uploads import LABELLED, save_upload

_POLL_S, _KEEP_ALIVE_S = 0.2, 15.0
_MEDIA = {".json": "application/json", ".html": "text/html", ".png": "image/png", ".gz": "application/gzip"}

_REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"


class Progress(BaseModel):
    """How far a job has come."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "3AhgZv4-l55_oBi_Ab4LAg",
                    "status": "running",
                    "stage": "search",
                    "stages": [["starting", 1795416562.2], ["read", 1795416562.4], ["search", 1795416570.9]],
                    "attempt": 1,
                    "queued_at": 1795416560.4,
                    "started_at": 1795416561.4,
                    "ended_at": None,
                    "problem": None,
                    "files": [],
                }
            ]
        }
    )

    id: str
    status: str = Field(description="queued, running, done, failed or cancelled.")
    stage: str
    stages: list[tuple[str, float]] = Field(description="Stages begun, each with the seconds since the epoch.")
    attempt: int
    queued_at: float
    started_at: float | None
    ended_at: float | None
    problem: dict[str, Any] | None = Field(description="Why it failed, a problem document.")
    files: list[str] = Field(description="Files of the result.")


class Preview(BaseModel):
    """What was understood of a segmentation."""

    summary: list[str] = Field(description="How the labels were read, with the volumes of both masks.")
    format: str = Field(description="Format of the segmentation's file; empty of two masks.")
    reading: str = Field(description="What the labels were read as, and how that is known; empty of two masks.")
    convention: str | None = Field(description="Name of the convention of the labels, if it is one.")
    source: str | None = Field(description="Where that convention is laid down.")
    labels: dict[str, int] = Field(description="Voxels of each label.")
    names: dict[str, str] = Field(description="What the file calls its labels.")
    meanings: dict[str, str] = Field(description="Tissue that each label marks, as far as that is known.")
    core_labels: list[int]
    whole_labels: list[int]
    volumes_ml: dict[str, float]
    orientation: str = Field(description="Directions of the voxel axes by the header, which cannot be checked.")
    spacing_mm: list[float]
    shape: list[int]
    warnings: list[str]
    thumbnail_png: str = Field(description="Three planes through the tumour, base64.")


class ConventionFacts(BaseModel):
    """What the numbers of a label map mean."""

    name: str = Field(description="As the option `labels` takes it.")
    title: str
    meanings: dict[str, str] = Field(description="Tissue of each label.")
    files: list[str] = Field(description="Regular expressions of what files of this convention are called.")
    source: str = Field(description="Where it is laid down.")


def query_routes(context: Context) -> APIRouter:
    """Make these routes."""
    router = APIRouter(prefix="/v1", tags=["queries"])

    @router.post("/previews", dependencies=[Depends(_a_form)])
    async def preview(form: Annotated[QueryForm, Form(media_type="multipart/form-data")]) -> Preview:
        """Say what is understood of a segmentation; nothing is kept. A T1c sent with it tells labels apart."""
        with context.jobs.scratch() as folder:
            return Preview(**(await context.look(_taken, context, form, folder, None))["preview"])

    @router.get("/conventions")
    def conventions() -> list[ConventionFacts]:
        """Tell the conventions of labels that are known."""
        return [
            ConventionFacts(
                name=known.name,
                title=known.title,
                meanings={str(value): str(tissue) for value, tissue in known.meanings.items()},
                files=list(known.files),
                source=known.source,
            )
            for known in CONVENTIONS.values()
        ]

    @router.post("/queries", status_code=202, dependencies=[Depends(_a_form)])
    async def ask(form: Annotated[QueryForm, Form(media_type="multipart/form-data")]) -> Response:
        """Accept a query; it is worked on as a job."""
        one = context.shelf[form.store]
        if missing := await context.look(what_is_missing, one.store, form.index):
            raise unusable(problem_of(InputError(missing), stores=context.settings.stores).detail, "index")
        about = {"store": one.name, "version": one.store.version, "digest": one.store.manifest.digest}
        async with context.place():
            with context.jobs.making() as job:
                await context.look(_taken, context, form, job.uploads, job)
                job.ask(job.asked | about)
            await asyncio.to_thread(context.queue.put, job.name)
        context.counters.accepted.inc()
        told = progress_of(job, job.read()).model_dump()
        return JSONResponse(told, 202, {"location": f"/v1/queries/{job.name}"})

    @router.get("/queries/{name}")
    def progress(name: str) -> Progress:
        """Tell how far a job has come."""
        job = context.jobs[name]
        return progress_of(job, job.read())

    @router.get(
        "/queries/{name}/events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    def events(name: str) -> StreamingResponse:
        """Send a server-sent event each time a job comes further, until it ends."""
        return StreamingResponse(_events(context, context.jobs[name]), media_type="text/event-stream")

    @router.get("/queries/{name}/result")
    def result(name: str) -> Response:
        """Send the answer: matches, scores, parameters, everything needed to repeat it."""
        return _file(context.jobs[name], "matches.json")

    @router.get("/queries/{name}/files/{file}", response_class=FileResponse)
    def file(name: str, file: str) -> Response:
        """Send a file of the result."""
        return _file(context.jobs[name], file)

    @router.post("/queries/{name}/cancel", status_code=202)
    def cancel(name: str) -> Progress:
        """Stop a job."""
        job = context.jobs[name]
        job.cancel()
        return progress_of(job, job.read())

    @router.delete("/queries/{name}", status_code=204)
    def delete(name: str) -> None:
        """Delete a job with its files; it is stopped if it runs."""
        context.jobs[name].delete()

    return router


def _a_form(request: Request) -> None:
    """Refuse a body that is none, rather than find it empty."""
    sent = request.headers.get("content-type", "")
    if not sent.startswith(("multipart/form-data", "application/x-www-form-urlencoded")):
        raise RefusedError(415, "not a form", "the request is no form with files", hint="send multipart/form-data")


def progress_of(job: Job, state: State) -> Progress:
    """Tell how far a job has come."""
    record = asdict(state)
    record.pop("deaths")
    files = sorted(p.name for p in job.result.iterdir() if p.is_file()) if state.status == "done" else []
    return Progress(id=job.name, **record, files=files)


def _taken(context: Context, form: QueryForm, folder: Path, job: Job | None) -> dict[str, Any]:
    """Keep the files of a form, and read them before the work.

    Returns:
        As `Reading.read`.

    Raises:
        RefusedError, GliodexError: something cannot be used.
    """
    uploads = {field: upload for field in FILES if (upload := getattr(form, field)) is not None}
    options = form.model_dump(include=set(option_names()), exclude_unset=True)
    if job is not None:
        _check(options, uploads, folder)
    elif not any(field in uploads for field in LABELLED):
        raise unusable("seg is missing", "seg", hint="send a label map, or two masks")
    for field, upload in uploads.items():
        save_upload(upload.file, field, folder, upload.filename or "")
    found = context.reading.read(options, list(uploads), folder, preview=job is None)
    if job is not None:
        job.ask({"options": options, "files": found["files"]})
    return found


def _check(options: dict[str, Any], uploads: dict[str, UploadFile], folder: Path) -> None:
    """Refuse options that do not go together before a file is read."""
    try:
        check_options(
            request_of({"options": options, "files": {field: field for field in uploads}}, folder, "", folder)
        )
    except RefusedError:
        raise
    except GliodexError as error:
        problem = problem_of(error)
        raise RefusedError(problem.status, problem.title, problem.cause, problem.field, hint=problem.remedy) from error


def _file(job: Job, name: str) -> Response:
    status = job.read().status
    if status not in ENDED:
        told = "the job has no result yet: follow it until it is done"
        raise RefusedError(409, "not ready", told, headers={"retry-after": "2"})
    if status != "done":
        raise RefusedError(410, "no result", f"the job is {status} and has no result: its progress tells why")
    there = {p.name: p for p in job.result.iterdir() if p.is_file()}
    if name not in there:
        raise RefusedError(404, "no such file", f"the result has these files: {', '.join(sorted(there))}")
    own = {"content-security-policy": _REPORT_POLICY} if name.endswith(".html") else {}
    return FileResponse(there[name], media_type=_MEDIA.get(there[name].suffix, "application/octet-stream"), headers=own)


async def _events(context: Context, job: Job) -> AsyncIterator[str]:
    last, sent_at = "", 0.0
    while not context.stopping:
        try:
            state = job.read()
        except RefusedError:
            yield "event: deleted\ndata: {}\n\n"
            return
        told = json.dumps(progress_of(job, state).model_dump())
        if told != last:
            last, sent_at = told, time.monotonic()
            yield f"event: progress\ndata: {told}\n\n"
        elif time.monotonic() - sent_at > _KEEP_ALIVE_S:
            sent_at = time.monotonic()
            yield ": still here\n\n"
        if state.status in ENDED:
            return
        await asyncio.sleep(_POLL_S)
