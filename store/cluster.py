"""Reaching a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from distributed import Client

_ANSWER_SECONDS, _PATIENCE_SECONDS = 10, 60  # for the scheduler; for its workers


@contextmanager
def connected(scheduler: str) -> Iterator[Client]:
    """Connect to a Dask scheduler that has workers.

    Raises:
        InputError: Dask is not installed, nobody answers, or there are no workers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("‹scheduler› needs another package", hint="pip install 'gliodex[cluster]'") from error
    try:
        client = Client(scheduler, timeout=_ANSWER_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"no Dask scheduler answers at {scheduler}", hint="start one with `dask scheduler`") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE_SECONDS)
        except TimeoutError:
            raise InputError(
                f"the Dask scheduler at {scheduler} has no workers", hint=f"start some with `dask worker {scheduler}`"
            ) from None
        yield client
