"""All ways of searching a store, by the names that the command line gives them."""

from __future__ import annotations

from ..errors import InputError
from ..store.reader import TumorStore
from .candidates import CandidateRetriever, Candidates
from .derived import Derived, Progress
from .dice import DiceIndex, dice_data
from .grids import DS32, DS64, FULL
from .measures import DICE, MEASURES
from .protocol import Retriever
from .radiomics import RADIOMICS, STANDARDISED, RadiomicsCandidates
from .threshold_search import LEVEL_COUNTS, ThresholdSearch

_GRIDS = {grid.name: grid for grid in (FULL, DS64, DS32)}

METHODS = (*_GRIDS, RADIOMICS.method, STANDARDISED)
"""Names of all ways of ranking tumours."""

_DERIVED: dict[str, Derived] = {name: dice_data(grid) for name, grid in _GRIDS.items()} | {
    derived.method: derived for derived in (LEVEL_COUNTS, RADIOMICS)
}
PREPARED = tuple(_DERIVED)
"""Names of all that can be prepared for searching."""


def open_retriever(
    store: TumorStore,
    method: str = FULL.name,
    *,
    measure: str = DICE.name,
    rerank: int = 0,
    search_thresholds: bool = False,
) -> Retriever:
    """Open a way of searching a snapshot, adding the segments that its index does not hold yet.

    Args:
        store: to search.
        method: one of `METHODS`.
        measure: of exact search, one of `MEASURES`.
        rerank: candidates to put in the order of their exact Dice; of no use to exact search.
        search_thresholds: find the thresholds too, by exact Dice.

    Raises:
        InputError: thresholds are to be found, or another measure taken, by a method that cannot.
        DamagedStoreError, OutputError, StoreLockedError: see `DiceIndex.open`.
    """
    if search_thresholds:
        if method != FULL.name:
            raise InputError(f"thresholds are found by the method {FULL.name} alone, not by {method}")
        if measure != DICE.name:
            raise InputError(f"thresholds are found by Dice alone, not by {measure}")
        return ThresholdSearch.open(store)
    if method == FULL.name:
        return DiceIndex.open(store, measure=MEASURES[measure])
    if measure != DICE.name:
        raise InputError(f"the measure {measure} is one of exact search: leave out the method {method}")
    exact = DiceIndex.open(store)
    candidates: Candidates
    if method in _GRIDS:
        candidates = DiceIndex.open(store, grid=_GRIDS[method])
    else:
        candidates = RadiomicsCandidates.open(store, standardised=method == STANDARDISED)
    return CandidateRetriever(store, candidates, exact, rerank)


def prepare(store: TumorStore, name: str, *, rebuild: bool = False, progress: Progress | None = None) -> None:
    """Bring what a way of searching needs up to a snapshot; only new segments are read.

    Args:
        store: to search.
        name: one of `PREPARED`.
        rebuild: make it anew.
        progress: told how far it has come.

    Raises:
        DamagedStoreError, OutputError, StoreLockedError: see `Derived.refresh`.
    """
    _DERIVED[name].refresh(store, rebuild=rebuild, progress=progress)


def verify_methods(store: TumorStore) -> list[str]:
    """List all that is damaged in what the ways of searching keep beside a store."""
    return [line for derived in _DERIVED.values() for line in derived.verify(store)]
