"""What stands between the network and the service: who may ask, how much, how slowly, and what browsers may do."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import ClientDisconnect

from .problems import MEDIA_TYPE, Problem, RefusedError
from .settings import Limits

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("gliodex.service")

_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob:; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
STYLED = _POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
"""Of a page whose scripts style its elements."""

HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")


class Guard:
    """The outermost layer of the service.

    Args:
        app: what it guards.
        limits: of uploads and of patience.
        token: that clients must show for anything under /v1 and for /metrics; None where none is needed.
        hosts: names under which the service may be asked for; None for any. Without it, a page of a stranger could
            ask a service on the loopback in its visitor's name, under a name that it has pointed there.
    """

    def __init__(self, app: App, limits: Limits, token: str | None = None, hosts: tuple[str, ...] | None = None):
        self._app, self._limits, self._hosts = app, limits, hosts
        self._token = token.encode() if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_safely(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                there = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in there),
                ]
                if scope["path"].startswith("/v1"):
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        try:
            self._admit(scope)
            await self._app(scope, self._bounded(receive), send_safely)
        except RefusedError as error:
            if not begun:
                await _answer(send_safely, error.problem, error.headers)
        except ClientDisconnect:
            log.debug("a client went away")
        except asyncio.CancelledError:  # the server stops, and has waited for long enough
            if not begun:
                await _answer(send_safely, Problem("stopping", 503, "the service stops: ask again in a minute"), {})
        except Exception as error:
            log.error("a fault: %s", type(error).__name__)
            if not begun:
                told = f"a fault of the service ({type(error).__name__}): please report it"
                await _answer(send_safely, Problem("a fault of the service", 500, told), {})

    def _admit(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        if self._hosts is not None:
            host = headers.get(b"host", b"").decode("latin-1").rpartition(":")
            name = host[0] if host[1] and host[2].isdigit() else "".join(host)
            if name.lower() not in self._hosts:
                raise RefusedError(
                    421, "not here", "this service is not asked for under that name", hint="use its address"
                )
        path = scope["path"]
        if self._token is not None and (path.startswith("/v1") or path == "/metrics"):
            shown = headers.get(b"authorization", b"")
            kind, _, given = shown.partition(b" ")
            if kind.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
                raise RefusedError(
                    401,
                    "not allowed",
                    "the token is missing or wrong",
                    hint="send the header `Authorization: Bearer TOKEN`",
                    headers={"www-authenticate": "Bearer"},
                )
        if scope["method"] not in _SAFE and _is_foreign(headers):
            raise RefusedError(
                403, "not from here", "pages of other sites may not ask this service", hint="use its own page"
            )
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._limits.upload_bytes:
            raise self._too_large()

    def _too_large(self) -> RefusedError:
        return RefusedError(
            413, "too large", f"a request may have {self._limits.upload_bytes >> 20} MiB", hint="send smaller files"
        )

    def _bounded(self, receive: Receive) -> Receive:
        """Count what comes, and wait for no more than so long while it does."""
        received, complete, begun = 0, False, time.monotonic()

        async def receive_some() -> Message:
            nonlocal received, complete
            if complete:  # what follows is a wait for the client to go away
                return await receive()
            left_s = begun + self._limits.upload_s - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), min(self._limits.silence_s, left_s))
            except TimeoutError:
                raise RefusedError(
                    408, "too slow", "the request did not arrive in time", hint="send it again over a faster connection"
                ) from None
            received += len(message.get("body", b""))
            if received > self._limits.upload_bytes:
                raise self._too_large()
            complete = not message.get("more_body", False)
            return message

        return receive_some


def _is_foreign(headers: dict[bytes, bytes]) -> bool:
    """Whether a browser asks on behalf of another site's page; programs send neither of these headers."""
    if headers.get(b"sec-fetch-site", b"none") not in {b"same-origin", b"none"}:
        return True
    origin = headers.get(b"origin")
    return origin is not None and origin.partition(b"://")[2] != headers.get(b"host")


_SAFE = ("GET", "HEAD", "OPTIONS")


async def _answer(send: Send, problem: Problem, headers: dict[str, str]) -> None:
    body = json.dumps(problem.as_record()).encode()
    told = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), "connection": "close"} | headers
    await send(
        {
            "type": "http.response.start",
            "status": problem.status,
            "headers": [(k.encode(), v.encode()) for k, v in told.items()],
        }
    )
    await send({"type": "http.response.body", "body": body})
