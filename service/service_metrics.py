"""What a service counts of itself, for Prometheus."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .middleware import App, Message, Receive, Scope, Send


class Counters:
    """Counters of one service; each has a registry of its own, so that several can live in a process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "gliodex_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "gliodex_request_seconds",
            "Time from a request's first byte to its answer.",
            ["route"],
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 30),
            registry=self.registry,
        )
        self.accepted = Counter("gliodex_jobs_accepted", "Jobs accepted.", registry=self.registry)
        self.jobs = Gauge("gliodex_jobs", "Jobs by status.", ["status"], registry=self.registry)
        self.tumours = Gauge("gliodex_store_tumours", "Tumours of a store.", ["store"], registry=self.registry)


class Counted:
    """A layer that counts requests by the pattern of their route, so that ids of jobs appear nowhere.

    Args:
        app: what it counts the requests of.
        counters: to count with.
    """

    def __init__(self, app: App, counters: Counters) -> None:
        self._app, self._counters = app, counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it when it has been answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = str(getattr(scope.get("route"), "path", "unknown"))
            self._counters.requests.labels(scope["method"], route, str(status)).inc()
            self._counters.seconds.labels(route).observe(time.perf_counter() - begun)
