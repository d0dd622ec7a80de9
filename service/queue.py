"""The queue of jobs: huey, on SQLite in the service's folder or on Redis where one machine is not enough.

It holds names of jobs alone; what a job is lies in its folder, which all machines must see.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import redis
from huey import RedisHuey, SqliteHuey
from huey.consumer import Consumer

from ..errors import InputError
from .problems import RefusedError
from .settings import ServiceSettings

log = logging.getLogger("gliodex.service")

_TIMES = {"socket_connect_timeout": 5, "socket_timeout": 10}
"""Seconds after which a Redis server that says nothing counts as gone."""


class Queue:
    """The queue of a service.

    Args:
        settings: of the service.
        work: what to do with the name of a job, in a worker.

    Raises:
        InputError: the address of the Redis server is none.
    """

    def __init__(self, settings: ServiceSettings, work: Callable[[str], None] | None = None) -> None:
        if settings.redis is None:
            path = settings.folder / "queue.db"
            self._huey = SqliteHuey("gliodex", filename=str(path), fsync=True, results=False)
        else:
            try:
                pool = redis.ConnectionPool.from_url(settings.redis, **_TIMES)
            except ValueError as error:  # not quoted: it may hold a password
                raise InputError(
                    "‹redis› is no address of a Redis server", hint="give redis://HOST:PORT/NUMBER"
                ) from error
            self._huey = RedisHuey("gliodex", connection_pool=pool, results=False)

        def one(name: str) -> None:
            assert work is not None
            work(name)

        self._task = self._huey.task(name="work")(one)

    def put(self, name: str) -> None:
        """Let a worker know of a job; one that this could not be done for is found by workers in time."""
        try:
            self._task(name)
        except Exception as error:  # of SQLite or Redis
            log.error("the queue cannot be written (%s)", type(error).__name__)

    def waiting(self) -> set[str]:
        """Names of the jobs that no worker has taken yet.

        Raises:
            RefusedError: the queue cannot be read.
        """
        try:
            return {str(task.args[0]) for task in self._huey.pending() if task.args}
        except Exception as error:  # of SQLite or Redis
            told = "the service's queue cannot be reached: ask again later"
            raise RefusedError(503, "no queue", told, headers={"retry-after": "30"}) from error

    def consumer(self, workers: int) -> Consumer:
        """Make the threads that take jobs, so many at a time."""
        return self._huey.create_consumer(workers=workers, periodic=False, initial_delay=0.05, max_delay=0.5)
