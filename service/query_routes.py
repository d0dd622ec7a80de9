"""Routes of queries, which are jobs: ask, follow, fetch, cancel, delete; and look before asking."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request, UploadFile
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from ..errors import GliodexError, InputError
from ..index import what_is_missing
from ..retrieval.imaging.segmentation import Segmentation, from_files
from ..retrieval.request import check_options
from .asking import FILES, Options, QueryForm, request_of
from .context import Context
from .jobs import ENDED, Job, State
from .previews import preview_of
from .problems import RefusedError, problem_of, unusable
from .uploads import save_upload, suffix_of

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

    labels: dict[str, int] = Field(description="Voxels of each label.")
    core_labels: list[int]
    whole_labels: list[int]
    volumes_ml: dict[str, float]
    orientation: str
    spacing_mm: list[float]
    shape: list[int]
    warnings: list[str]
    thumbnail_png: str = Field(description="Three planes through the tumour, base64.")


def query_routes(context: Context) -> APIRouter:
    """Make these routes."""
    router = APIRouter(prefix="/v1", tags=["queries"])

    @router.post("/previews", dependencies=[Depends(_a_form)])
    async def preview(form: Annotated[QueryForm, Form(media_type="multipart/form-data")]) -> Preview:
        """Say what is understood of a segmentation; nothing is kept."""
        with context.jobs.scratch() as folder:
            given = await context.look(_taken, context, form, folder, None)
            return Preview(**await context.look(preview_of, given))

    @router.post("/queries", status_code=202, dependencies=[Depends(_a_form)])
    async def ask(form: Annotated[QueryForm, Form(media_type="multipart/form-data")]) -> Response:
        """Accept a query; it is worked on as a job."""
        one = context.shelf[form.store]
        if missing := await context.look(what_is_missing, one.store, form.method):
            raise unusable(problem_of(InputError(missing), stores=context.settings.stores).detail, "method")
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
        raise RefusedError(415, "not a form", "the request is no form with files: send multipart/form-data")


def progress_of(job: Job, state: State) -> Progress:
    """Tell how far a job has come."""
    record = asdict(state)
    record.pop("deaths")
    files = sorted(p.name for p in job.result.iterdir() if p.is_file()) if state.status == "done" else []
    return Progress(id=job.name, **record, files=files)


def _taken(context: Context, form: QueryForm, folder: Path, job: Job | None) -> Segmentation:
    """Keep the files of a form, and read what can be read before the work.

    Raises:
        RefusedError, GliodexError: something cannot be used.
    """
    files: dict[str, str] = {}
    for field in FILES:
        upload: UploadFile | None = getattr(form, field)
        if upload is None:
            continue
        head = upload.file.read(2)
        upload.file.seek(0)
        files[field] = field + suffix_of(head)
        save_upload(upload.file, field, folder / files[field], context.settings.limits)
    asked = {"options": form.model_dump(include=set(Options.model_fields), exclude_unset=True), "files": files}
    with _told_of(files, folder):
        request = request_of(asked, folder, "", folder)
        if job is not None:
            check_options(request)
            job.ask(asked)
        elif request.seg is None and request.core_mask is None and request.whole_mask is None:
            raise unusable("segmentation is missing: send a label map, or two masks", "segmentation")
        return from_files(request.seg, (request.core_mask, request.whole_mask), request.core, request.whole)


@contextmanager
def _told_of(files: dict[str, str], folder: Path) -> Iterator[None]:
    """Name fields in what is said of their files."""
    try:
        yield
    except RefusedError:
        raise
    except GliodexError as error:
        problem = problem_of(error, {field: folder / name for field, name in files.items()})
        raise RefusedError(problem.status, problem.title, problem.detail, problem.field) from error


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
