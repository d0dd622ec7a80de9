"""The application: routes, what is said when something goes wrong, and what goes on in the background."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from ..errors import GliodexError
from .context import Context
from .demo_case import Example
from .middleware import STYLED, Guard
from .problems import MEDIA_TYPE, UNUSABLE, Problem, RefusedError, problem_of
from .query_routes import query_routes
from .search_routes import search_routes
from .service_metrics import Counted
from .store_routes import store_routes

log = logging.getLogger("gliodex.service")

_LOOK_S = 2.0
_PAGE = Path(__file__).parent / "page" / "static"


def make_app(context: Context, token: str | None = None, hosts: tuple[str, ...] | None = None) -> Guard:
    """Make the service, ready to be served.

    Args:
        context: what its routes share.
        token: see `Guard`.
        hosts: likewise.
    """
    settings = context.settings

    @contextlib.asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(_follow(context))
        await asyncio.to_thread(context.reading.start)
        yield
        following.cancel()
        context.close()

    app = FastAPI(
        title="gliodex",
        version=version("gliodex"),
        description="Personalise brain-tumour growth models by querying a store of simulated tumours.\n\n"
        "Research software, not a medical device: not for diagnosis or treatment.",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        responses={"4XX": {"description": "Refused", "content": {MEDIA_TYPE: {"schema": _PROBLEM_SCHEMA}}}},
    )
    app.include_router(store_routes(context))
    app.include_router(search_routes(context))
    app.include_router(query_routes(context))
    _service_routes(app, context)
    _page(app)
    _problems(app, settings.stores)
    return Guard(Counted(app, context.counters), settings.limits, token, hosts)


def _service_routes(app: FastAPI, context: Context) -> None:
    example = Example(next(iter(context.shelf)).store.atlas, context.settings.folder / "example")

    sent = {"application/gzip": {"schema": {"type": "string", "format": "binary"}}}

    @app.get("/v1/example/{name}", tags=["service"], response_class=FileResponse, responses={200: {"content": sent}})
    async def example_file(name: Literal["seg", "t1"]) -> Response:
        """Send a file of the built-in example, a synthetic patient."""
        return FileResponse(await asyncio.to_thread(example.file, name), media_type="application/gzip")

    @app.get("/healthz", tags=["service"])
    def health() -> Response:
        """Say whether the service can answer."""
        faults = context.shelf.faults
        return JSONResponse({"status": "ok" if not faults else "degraded", "faults": faults}, 503 if faults else 200)

    @app.get("/metrics", tags=["service"], response_class=PlainTextResponse)
    def metrics() -> Response:
        """Tell Prometheus what the service does."""
        counted: Counter[str] = Counter()
        for job in context.jobs:
            with contextlib.suppress(RefusedError):  # deleted meanwhile
                counted[job.read().status] += 1
        for status in ("queued", "running", "done", "failed", "cancelled"):
            context.counters.jobs.labels(status).set(counted[status])
        for one in context.shelf:
            context.counters.tumours.labels(one.name).set(len(one.store))
        return Response(generate_latest(context.counters.registry), media_type=CONTENT_TYPE_LATEST)


def _page(app: FastAPI) -> None:
    """Serve the page's files, each under its name: what is none of them is answered as what is not there."""

    def served(file: Path, headers: dict[str, str]) -> Callable[[Request], Awaitable[Response]]:
        async def send(_: Request) -> Response:
            return FileResponse(file, headers=headers)

        return send

    for file in sorted(_PAGE.iterdir()):
        # Swagger UI styles its elements itself
        own = {"content-security-policy": STYLED} if file.name == "docs.html" else {}
        name = {"index.html": "", "docs.html": "docs"}.get(file.name, file.name)
        app.add_route(f"/{name}", served(file, own))


def _problems(app: FastAPI, stores: dict[str, str]) -> None:
    """Answer whatever goes wrong with a problem document, and never with a traceback."""

    def answer(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
        return JSONResponse(problem.as_record(), problem.status, headers, media_type=MEDIA_TYPE)

    @app.exception_handler(GliodexError)
    def refused(_: Request, error: GliodexError) -> JSONResponse:
        return answer(problem_of(error, stores=stores), error.headers if isinstance(error, RefusedError) else None)

    @app.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:])
        cause = f"{field or 'the request'}: {first['msg'][:1].lower()}{first['msg'][1:]}"
        remedy = "see /v1/openapi.json for what it may be"
        return answer(Problem(UNUSABLE, 422, f"{cause}; {remedy}", field, cause, remedy))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, RefusedError):  # raised by the guard while a form was read
            return refused(request, error.__cause__)
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL:  # where forms are kept meanwhile
            return no_room(request, error.__cause__)
        cause, remedy = _OF_HTTP.get(error.status_code, (str(error.detail).lower(), ""))
        detail = f"{cause}: {remedy}" if remedy else cause
        problem = Problem(str(error.detail).lower(), error.status_code, detail, "", cause, remedy)
        return answer(problem, dict(error.headers or {}))

    @app.exception_handler(OSError)
    def no_room(_: Request, error: OSError) -> JSONResponse:
        if error.errno not in _FULL:
            raise error
        return answer(Problem("no room", 507, "the service's disk is full: ask again later"), {"retry-after": "600"})

    @app.exception_handler(Exception)
    def fault(_: Request, error: Exception) -> JSONResponse:
        told = f"a fault of the service ({type(error).__name__}): please report it"
        return answer(Problem("a fault of the service", 500, told))


async def _follow(context: Context) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        try:
            await asyncio.to_thread(context.shelf.refresh)
        except Exception as error:
            log.error("stores could not be looked at: %s", type(error).__name__)


_FULL = {errno.ENOSPC, errno.EDQUOT}

_OF_HTTP = {
    400: ("the request cannot be understood", "see /v1/openapi.json"),
    404: ("there is nothing at this address", "see /v1/openapi.json for those that there are"),
    405: ("this address is not asked in this way", "see the header Allow, and /v1/openapi.json"),
}
"""What is said of errors that no route raised: cause and remedy."""

_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("type", "title", "detail", "field", "cause", "remedy")}
    | {"status": {"type": "integer"}},
    "required": ["type", "title", "status", "detail"],
}
