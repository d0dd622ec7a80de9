"""The queue of jobs: huey, on SQLite in the service's folder or on Redis where one machine is not enough.

It holds names of jobs alone; what a job is lies in its folder, which all machines must see.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from huey import RedisHuey, SqliteHuey
from huey.consumer import Consumer

from ..errors import InputError
from .settings import ServiceSettings

log = logging.getLogger("gliodex.service")


class Queue:
    """The queue of a service.

    Args:
        settings: of the service.
        work: what to do with the name of a job, in a worker.

    Raises:
        InputError: the Redis client is not installed.
    """

    def __init__(self, settings: ServiceSettings, work: Callable[[str], None] | None = None) -> None:
        if settings.redis is None:
            path = settings.folder / "queue.db"
            self._huey = SqliteHuey("gliodex", filename=str(path), fsync=True, results=False)
        else:
            try:
                import redis  # noqa: F401 - without it, huey fails with an AttributeError
            except ImportError as error:
                raise InputError("a queue on Redis needs another package: pip install redis") from error
            self._huey = RedisHuey("gliodex", url=settings.redis, results=False)

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
        """Names of the jobs that no worker has taken yet."""
        return {str(task.args[0]) for task in self._huey.pending() if task.args}

    def consumer(self, workers: int) -> Consumer:
        """Make the threads that take jobs, so many at a time."""
        return self._huey.create_consumer(workers=workers, periodic=False, initial_delay=0.05, max_delay=0.5)
