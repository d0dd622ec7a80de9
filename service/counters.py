"""What a service counts of itself, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


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
