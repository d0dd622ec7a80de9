"""What the routes of a service share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from ..store.cores import available_cores
from .counters import Counters
from .jobs import Jobs
from .problems import RefusedError
from .queue import Queue
from .settings import ServiceSettings
from .shelf import Shelf

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
        stopping: answers that wait for something are to end.
    """

    settings: ServiceSettings
    shelf: Shelf
    jobs: Jobs
    queue: Queue
    counters: Counters = field(default_factory=Counters)
    stopping: bool = field(default=False, init=False)

    @classmethod
    def begin(cls, settings: ServiceSettings) -> Context:
        """Open the stores and the queue.

        Raises:
            GliodexError: a store cannot be opened.
        """
        return cls(settings, Shelf(settings.stores), Jobs(settings.folder), Queue(settings))

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(available_cores(), "search")
        self._under_way = 0

    async def work(self, what: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what takes a processor's time in a thread, as many at a time as there are cores.

        Raises:
            RefusedError: too many wait already.
        """
        if self._under_way >= _AT_ONCE:
            raise RefusedError(
                429, "too many requests", "too many requests wait: ask again in a second", headers={"retry-after": "1"}
            )
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: what(*args, **kwargs))
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """End its threads."""
        self._pool.shutdown(cancel_futures=True)
