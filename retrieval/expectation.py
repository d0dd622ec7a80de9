"""How well tumours of a store's prior are found in it: what an observation must reach to be explained by that prior."""

from __future__ import annotations

import contextlib
import math
from itertools import islice
from pathlib import Path

import numpy as np

from ..errors import DamagedStoreError, InputError, OutputError
from ..index.protocol import Retriever
from ..store.integers import level_of
from ..store.reader import TumorStore
from ..store.sealed import read_sealed, write_sealed

UNSEEN = 300
"""Simulations that are searched for."""

_SHARE = 0.01  # of them that may score less
_GROWN = 1.1  # as much may a store have grown since they were
_COMMAND = "gliodex query --refine"


def least_expected(store: TumorStore, retriever: Retriever) -> float | None:
    """Dice sum that 99 % of simulations that a store has never seen reach with their best match.

    It is kept beside the store's indices, and found anew once the store has grown by a tenth.

    Args:
        store: to ask.
        retriever: exact search by Dice.

    Returns:
        None where the store is of another growth model, so that nothing can be simulated.

    Raises:
        DamagedStoreError: a density is damaged.
    """
    path = store.derived / ("expectation-with-folded" if store.finds_folded else "expectation")
    kept = _kept(path, len(store))
    if kept is not None:
        return kept
    try:
        scores = _scores(store, retriever)
    except InputError:
        return None
    found = float(np.quantile(scores, _SHARE))
    with contextlib.suppress(OutputError, OSError):  # a store that cannot be written is asked again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, {"tumours": len(store), "unseen": len(scores), "least_expected": found}, b"")
    return found


def _scores(store: TumorStore, retriever: Retriever) -> list[float]:
    from .benchmark.query_sets import unseen_tumours  # its neighbours load matplotlib

    levels = [level_of(store.thresholds[name]) for name in ("core", "whole")]
    taken = {campaign.seed for campaign in store.manifest.campaigns.values()}
    seed = next(seed for seed in range(_FIRST_SEED, _FIRST_SEED + len(taken) + 1) if seed not in taken)
    scores = []
    for _, integers in islice(unseen_tumours(store, seed), UNSEEN):
        core, whole = (integers >= level for level in levels)
        scores.append(float(retriever.search(core, whole, 1).scores[0]))
    return scores


def _kept(path: Path, tumours: int) -> float | None:
    if not path.is_file():
        return None
    try:
        record = read_sealed(path, _COMMAND).record
    except DamagedStoreError:
        return None
    known = int(record["tumours"])
    found = float(record["least_expected"])
    return found if known <= tumours <= _GROWN * known and math.isfinite(found) else None


_FIRST_SEED = 2_000_000_011
