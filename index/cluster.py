"""Exact search by the workers of a Dask cluster: each holds the index of some segments, the best of all are merged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..errors import GliodexError
from ..store.cluster import connected
from ..store.locations import files_at
from ..store.reader import TumorStore
from .dice import DiceIndex, dice_data
from .protocol import Hits, Mask
from .resolutions import FULL

if TYPE_CHECKING:
    from distributed import Client

Found = tuple[Hits, list[tuple[str, int]]]


class ClusterDiceIndex:
    """`DiceIndex` on a cluster: the same answers. Get it from `cluster_index`."""

    name = FULL.name

    def __init__(self, store: TumorStore, client: Client) -> None:
        self._store, self._client = store, client
        self._count = int(np.count_nonzero(~store.left_out))
        names = [record.name for record in store.segments]
        workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
        self._parts = [tuple(names[n::workers]) for n in range(min(workers, len(names)))]

    def __len__(self) -> int:
        return self._count

    def search(self, core: Mask, whole: Mask, k: int = 15, *, distinct: bool = False) -> Hits:
        """See `DiceIndex.search`.

        Raises:
            GliodexError: a worker could not answer.
        """
        location, version = files_at(self._store.path).everywhere, self._store.version
        masks, folded = (np.packbits(core), np.packbits(whole), core.shape), self._store.finds_folded
        try:
            found: list[Found] = self._client.gather(
                [
                    self._client.submit(search_part, location, version, part, *masks, k, distinct, folded, pure=False)
                    for part in self._parts
                ]
            )
        except GliodexError:
            raise
        except Exception as error:  # what Dask raises has no common root
            raise GliodexError(
                f"the cluster could not answer ({type(error).__name__}: {error})", hint="try again"
            ) from error
        return merged(found, k, distinct=distinct)


def search_part(
    location: str,
    version: int,
    names: tuple[str, ...],
    core: np.ndarray,
    whole: np.ndarray,
    shape: tuple[int, int, int],
    k: int,
    distinct: bool,
    folded: bool = False,
) -> Found:
    """Search some segments of a version: what a worker runs. Returns the hits and the simulations they are from."""
    index, store = _opened(location, version, names, folded)
    unpacked = [np.unpackbits(m, count=int(np.prod(shape))).reshape(shape).astype(bool) for m in (core, whole)]
    hits = index.search(unpacked[0], unpacked[1], k, distinct=distinct)
    return hits, [store.run(tumour) for tumour in hits.ids.tolist()]


def merged(found: list[Found], k: int, *, distinct: bool) -> Hits:
    """Merge the best of several parts: equal scores by id, and if `distinct` of each simulation only the best."""
    if not found:
        nothing = np.zeros(0)
        return Hits(np.zeros(0, np.int64), nothing, nothing, nothing, 0)
    columns = ("ids", "scores", "dice_core", "dice_whole")
    ids, scores, core, whole = (np.concatenate([getattr(hits, name) for hits, _ in found]) for name in columns)
    runs = [run for _, of_part in found for run in of_part]
    order = np.lexsort((ids, -scores)).tolist()
    if distinct:
        first_of_run: dict[tuple[str, int], int] = {}
        for place in order:
            first_of_run.setdefault(runs[place], place)
        order = list(first_of_run.values())
    best = np.array(order[:k], np.int64)
    return Hits(ids[best], scores[best], core[best], whole[best], sum(hits.evaluated for hits, _ in found))


@contextmanager
def cluster_index(store: TumorStore, scheduler: str) -> Iterator[ClusterDiceIndex]:
    """Open the index of a snapshot on the cluster at `scheduler`; its workers must see the store at the same place.

    Raises:
        InputError: no scheduler answers there, or it has no workers.
    """
    if files_at(store.path).shared:
        dice_data().refresh(store)
    with connected(scheduler) as client:
        yield ClusterDiceIndex(store, client)


@lru_cache(maxsize=8)
def _opened(location: str, version: int, names: tuple[str, ...], folded: bool) -> tuple[DiceIndex, TumorStore]:
    store = TumorStore(location, version)
    part = (store.with_folded() if folded else store).part(names)
    if not files_at(location).shared:  # several workers of one machine keep their indices apart
        part.derived = part.derived / hashlib.sha256(" ".join(names).encode()).hexdigest()[:12]
    return DiceIndex.open(part), part
