"""What the routes of a service share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from ..store.cores import available_cores
from .jobs import Jobs
from .problems import RefusedError
from .queue import Queue
from .reading import Reading
from .service_metrics import Counters
from .settings import ServiceSettings
from .store_registry import Shelf

P = ParamSpec("P")
T = TypeVar("T")

_AT_ONCE = 128
"""Pieces of work that may wait for a core."""


@dataclass
class Context:
    """A service at work.

    Args:
        settings: of the service.
        shelf: its stores.
        jobs: its jobs.
        queue: where workers hear of them.
        counters: of what it does.

    Attributes:
        reading: of what clients send.
        stopping: answers that wait for something are to end.
    """

    settings: ServiceSettings
    shelf: Shelf
    jobs: Jobs
    queue: Queue
    counters: Counters = field(default_factory=Counters)
    reading: Reading = field(init=False)
    stopping: bool = field(default=False, init=False)

    @classmethod
    def begin(cls, settings: ServiceSettings) -> Context:
        """Open the stores and the queue.

        Raises:
            GliodexError: a store cannot be opened.
        """
        return cls(settings, Shelf(settings.stores), Jobs(settings.folder), Queue(settings))

    def __post_init__(self) -> None:
        self.reading = Reading(self.settings.limits)
        self._searches = ThreadPoolExecutor(available_cores(), "search")
        self._images = ThreadPoolExecutor(1, "image")  # each may take much memory
        self._under_way = 0
        self._accepting = 0

    async def search(self, what: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what takes some milliseconds in a thread, as many at a time as there are cores.

        Raises:
            RefusedError: too many wait already.
        """
        return await self._work(self._searches, lambda: what(*args, **kwargs))

    async def look(self, what: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what takes seconds and memory in a thread, one at a time.

        Raises:
            RefusedError: too many wait already.
        """
        return await self._work(self._images, lambda: what(*args, **kwargs))

    async def _work(self, pool: ThreadPoolExecutor, what: Callable[[], T]) -> T:
        if self._under_way >= _AT_ONCE:
            raise RefusedError(
                429,
                "too many requests",
                "too many requests wait",
                hint="ask again in a second",
                headers={"retry-after": "1"},
            )
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, what)
        finally:
            self._under_way -= 1

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Keep a place in the queue for a job while it is being accepted.

        Raises:
            RefusedError: as many jobs wait as may.
        """
        self._accepting += 1
        try:
            waiting = await asyncio.to_thread(self._waiting)
            if waiting + self._accepting > self.settings.limits.waiting:
                told = f"{waiting} jobs wait already: ask again in a minute"
                raise RefusedError(429, "too many jobs", told, headers={"retry-after": "60"})
            yield
        finally:
            self._accepting -= 1

    def _waiting(self) -> int:
        """Count the jobs in the queue that are still to be worked on."""
        count = 0
        for name in self.queue.waiting():
            with contextlib.suppress(RefusedError):  # deleted meanwhile
                count += self.jobs[name].read().status == "queued"
        return count

    def close(self) -> None:
        """End its threads and its process."""
        self.reading.close()
        for pool in (self._searches, self._images):
            pool.shutdown(cancel_futures=True)
