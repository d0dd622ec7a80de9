"""Ways of searching that look at less than the masks, and what makes whole answers of what they find."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..store.reader import TumorStore
from .dice import DiceIndex
from .protocol import Hits, Mask
from .rerankers import Ranking


class Candidates(Protocol):
    """A way of ranking tumours by something else than the Dice of their masks."""

    name: str

    def __len__(self) -> int:
        """Tumours that it ranks."""
        ...

    def encode(self, core: Mask, whole: Mask) -> Any:
        """Describe two masks on the store's frame as `nearest` takes them.

        Raises:
            InputError: a mask is not boolean or not on the frame.
        """
        ...

    def nearest(self, code: Any, k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rank the `k` nearest, all tumours where there are fewer.

        Returns:
            Ids, and what they are ranked by, largest first; equal ones in the order of their ids.
        """
        ...


class CandidateRetriever:
    """A retriever that takes its hits from candidates: in their order, or re-ranked by exact Dice.

    >>> hits = CandidateRetriever(store, DiceIndex.open(store, grid=DS32), DiceIndex.open(store)).search(core, whole)

    Args:
        store: snapshot that both search.
        candidates: rank tumours.
        exact: tells the Dice of what is found.
        rerank: how many candidates to put in the order of their Dice; 0 leaves them as they are ranked.
        ranking: what to put them in the order of instead.
    """

    def __init__(
        self,
        store: TumorStore,
        candidates: Candidates,
        exact: DiceIndex,
        rerank: int = 0,
        ranking: Ranking | None = None,
    ) -> None:
        if rerank < 0:
            raise InputError(f"rerank must not be negative, not {rerank}")
        self.name = candidates.name
        self.candidates = candidates
        self._store, self._exact = store, exact
        self._rerank, self._ranking = rerank, ranking

    def __len__(self) -> int:
        return len(self.candidates)

    def search(self, core: Mask, whole: Mask, k: int = 15, *, distinct: bool = False) -> Hits:
        """See `Retriever.search`; scores are what the hits are ranked by.

        Raises:
            InputError, DamagedStoreError: see `DiceIndex.search`.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, not {k}")
        return self.search_encoded(self.candidates.encode(core, whole), core, whole, k, distinct=distinct)

    def search_encoded(  # noqa: D417 - as `search`
        self,
        code: Any,
        core: Mask,
        whole: Mask,
        k: int,
        *,
        distinct: bool = False,
    ) -> Hits:
        """Search for masks that `candidates` have encoded.

        Args:
            code: of core and whole.
        """
        wanted = max(k, self._rerank)
        while True:
            ids, scores = self.candidates.nearest(code, wanted)
            dices = self._exact.compare(ids, core, whole)
            evaluated = len(ids)
            if self._rerank:
                scores = dices[0] + dices[1] if self._ranking is None else self._ranking(ids, core, whole)
                order = np.lexsort((ids, -scores))
                ids, scores, dices = ids[order], scores[order], dices[:, order]
            kept = self._first_of_each_run(ids) if distinct else np.arange(len(ids))
            if len(kept) >= k or len(ids) < wanted or wanted >= len(self):
                break
            wanted *= 2  # too many of them are stages of the same simulations
        best = kept[:k]
        return Hits(ids[best], scores[best], dices[0, best], dices[1, best], evaluated)

    def _first_of_each_run(self, ids: NDArray[np.int64]) -> NDArray[np.intp]:
        positions = np.searchsorted(self._store.ids_in_segments, ids)
        first: NDArray[np.intp] = np.unique(self._store.trajectories[positions], return_index=True)[1]
        return np.sort(first)
