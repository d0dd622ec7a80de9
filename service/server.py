"""Running a service: the server of this process, and workers in another that is replaced when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..errors import InputError, OutputError
from .app import make_app
from .context import Context
from .middleware import LOOPBACK, Guard
from .problems import RefusedError
from .queue import Queue
from .settings import ServiceSettings

log = logging.getLogger("gliodex.service")

_SHORTEST_TOKEN = 16
_HEADERS_S = 20.0
_STOP_S = 15.0
_LOCK = "service.lock"


def serve(
    settings: ServiceSettings,
    host: str = "127.0.0.1",
    port: int = 8080,
    token_file: Path | None = None,
    ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until told to stop.

    Args:
        settings: of the service; its folder is made.
        host: address to listen at.
        port: likewise; 0 takes a free one.
        token_file: holds what clients must show; none is asked for on the loopback without it.
        ready: told the address once requests are answered.

    Raises:
        InputError: the address is for others too and there is no token, the token is too short, or the folder holds
            other things.
        OutputError: the folder, the port or the queue cannot be used, or another service has them.
        GliodexError: a store cannot be opened.
    """
    token = _token(token_file)
    loopback = host in LOOPBACK
    if token is None and not loopback:
        raise InputError(
            f"‹host={host}› lets others ask this service: give a secret with ‹token_file›, for example one made by "
            f"`python3 -c 'import secrets; print(secrets.token_urlsafe())'`"
        )
    with _own(settings), _listening(host, port) as listener:
        context = Context.begin(settings)
        _reach(context.queue)
        if settings.redis is None:  # otherwise others may be at them
            context.jobs.clear()
        _run(context, make_app(context, token, LOOPBACK if loopback else None), listener, ready)


def _run(context: Context, app: Guard, listener: socket.socket, ready: Callable[[str], None]) -> None:
    _allow_many_connections()
    sys.setswitchinterval(1e-3)  # the thread that talks to clients is not to wait for those that search
    config = uvicorn.Config(
        app,
        http=_Protocol,
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config, context, ready)
    with _Workers(context.settings):
        server.run([listener])


def _reach(queue: Queue) -> None:
    """Look whether the queue is there before anything is accepted.

    Raises:
        OutputError: it is not.
    """
    try:
        queue.waiting()
    except RefusedError as error:
        cause = type(error.__cause__).__name__
        said = f"the queue cannot be reached ({cause}): see that the server given with ‹redis› runs, or leave it out"
        raise OutputError(said) from error


@contextlib.contextmanager
def _own(settings: ServiceSettings) -> Iterator[None]:
    """Make the service's folder, and keep other services from it; those that share a queue on Redis share it.

    Raises:
        InputError: it holds something else.
        OutputError: it cannot be written, or another service has it.
    """
    folder, lock = settings.folder, settings.folder / _LOCK
    try:
        if folder.is_dir() and not lock.exists() and any(folder.iterdir()):
            raise InputError(f"{folder} holds other things", hint="give ‹state_dir› a new or an empty one")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        handle = lock.open("w")
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}", hint="choose another ‹state_dir›") from error
    with handle:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if settings.redis else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            said = f"another service works in {folder}: stop it, or choose another ‹state_dir›"
            raise OutputError(said) from error
        yield


class _Server(uvicorn.Server):
    """Tells when it is ready, and returns when it is told to stop; uvicorn would have the signal end the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def __init__(self, config: uvicorn.Config, context: Context, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self._context, self._ready = context, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            address = self.servers[0].sockets[0].getsockname()
            name = f"[{address[0]}]" if ":" in address[0] else address[0]
            self._ready(f"http://{name}:{address[1]}")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._context.stopping = True
        await super().shutdown(sockets)


class _Protocol(HttpToolsProtocol):
    """Closes connections on which no request comes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._patience = self.loop.call_later(_HEADERS_S, transport.close)

    def on_message_begin(self) -> None:  # of every request, where a connection has several
        self._patience.cancel()
        self._patience = self.loop.call_later(_HEADERS_S, self.transport.close)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._patience.cancel()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._patience.cancel()
        super().connection_lost(exc)


class _Workers:
    """A process with workers, while this is entered; another one where it dies."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_up, daemon=True)

    def __enter__(self) -> _Workers:
        self._process = self._started()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _keep_up(self) -> None:
        assert self._process is not None
        while not self._stopping.wait(0.5):
            if self._process.poll() is not None:
                log.error("the workers died (%s): others take over", self._process.returncode)
                time.sleep(0.5)
                self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "gliodex.service.worker", str(os.getpid())]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:  # one that dies at once is replaced
            process.stdin.write(self._settings.as_json().encode())
        return process


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # asyncio does this for sockets of its own alone: answers of two pieces would wait 40 ms for each other
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        said = f"cannot listen at {host}:{port} ({error.strerror}): choose another ‹port› or ‹host›"
        raise OutputError(said) from error


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read as a token", hint="give a file with one line of plain characters"
        ) from error
    if len(token) < _SHORTEST_TOKEN:
        raise InputError(
            f"{path} holds a token of {len(token)} characters, at least {_SHORTEST_TOKEN} are wanted: for example "
            f"{secrets.token_urlsafe(24)}"
        )
    return token


def _allow_many_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
