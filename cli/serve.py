"""`gliodex serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .console import say


def serve(
    stores: Annotated[
        list[str],
        typer.Argument(metavar="STORE...", help="Folders or URLs of stores; NAME=STORE gives one another name."),
    ],
    host: Annotated[str, typer.Option(help="Address to listen at; others than this machine need --token-file.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    token_file: Annotated[
        Path | None, typer.Option(metavar="F", help="File with the secret that clients must show.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Jobs that are worked on at a time.")] = 1,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where jobs and the queue are kept. (default: gliodex/service in the user's state folder)",
            show_default=False,
        ),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(
            metavar="redis://...",
            envvar="GLIODEX_REDIS",
            help="Queue of several machines, which all see --state-dir and the stores; a database of its own.",
        ),
    ] = None,
    max_queued: Annotated[int, typer.Option(min=1, help="Jobs that may wait; more are refused.")] = 32,
    job_timeout_min: Annotated[float, typer.Option(min=0.1, help="Minutes after which a job is stopped.")] = 60.0,
    keep_days: Annotated[float, typer.Option(min=0, help="Days to keep finished results.")] = 7.0,
    max_upload_mib: Annotated[int, typer.Option(min=1, help="Largest request, MiB.")] = 256,
) -> None:
    """Answer queries over HTTP, and show a page in the browser."""
    try:
        from ..service.server import serve as run
        from ..service.settings import MIB, Limits, ServiceSettings
    except ImportError as error:
        raise InputError("a service needs other packages", hint="pip install 'gliodex[serve]'") from error

    limits = Limits(
        upload_bytes=max_upload_mib * MIB, waiting=max_queued, job_s=60 * job_timeout_min, kept_s=24 * 3600 * keep_days
    )
    settings = ServiceSettings(_named(stores), state_dir or _state_folder(), limits, redis, workers)
    run(settings, host, port, token_file, lambda url: say(f"ready at {url}; control-C ends it"))


def _named(stores: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for given in stores:
        name, equals, path = given.partition("=")
        if not equals:
            name, path = given.rstrip("/").rpartition("/")[2], given
        if name in found:
            raise InputError(f"two stores are called {name}", hint=f"name one with NAME={path}")
        found[name] = path if "://" in path else str(Path(path).resolve())
    return found


def _state_folder() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "gliodex" / "service"
