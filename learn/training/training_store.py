"""The tumours that encoders learn from: simulated like the store's, and held apart from it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...simulate import build, settings_of
from ...store.quantization import level_of
from ...store.reader import TumorStore, open_store
from ..encoders.pooled_grid import BrainBox

Progress = Callable[[int, int], None]
"""Called with (tumours done, tumours to do)."""


_FIRST_SEED = 2_022_05


def training_store(store: TumorStore, tumours: int, progress: Progress | None = None) -> TumorStore:
    """Simulate tumours in the atlas of a store, of a campaign that it does not have, into a store beside its indices.

    Called again, it returns what is there.

    Raises:
        InputError: the store's growth model is not one that this version simulates.
        OutputError, StoreLockedError: it cannot be written.
    """
    taken = {campaign.seed for campaign in store.manifest.campaigns.values()}
    seed = next(seed for seed in count(_FIRST_SEED) if seed not in taken)
    path = store.derived / "networks" / f"tumours-{seed}"
    build(
        path,
        tumours,
        seed,
        store.atlas,
        settings=settings_of(store.manifest.model, store.path, "learn from another store (‹learn_from›)"),
        snapshots=0,
        progress=progress and (lambda report: progress(report.count, report.target)),
    )
    return open_store(path)


def given_store(path: str | Path, store: TumorStore, tumours: int) -> TumorStore:
    """Open a store to learn from that someone chose.

    Raises:
        InputError: it holds too few, lies on another frame, or shares a campaign with the store that is searched.
    """
    given = open_store(path)
    if not given.frame.same_as(store.frame):
        raise InputError(f"{path} lies on another frame than {store.path}: its tumours cannot be learned from")
    if shared := given.manifest.campaigns.keys() & store.manifest.campaigns.keys():
        raise InputError(
            f"{path} and {store.path} share the tumours of the campaign {min(shared)}",
            hint="learn from others than those that are searched",
        )
    if given.path == store.path:
        raise InputError(
            f"{path} is the store that is searched",
            hint="learn from another one, or leave out ‹learn_from›",
        )
    if len(given.searched) < tumours:
        raise InputError(f"{path} holds {len(given.searched)} tumours, {tumours} are needed to learn from")
    return given


def counts_of(store: TumorStore, tumours: int, box: BrainBox, progress: Progress | None = None) -> NDArray[np.uint8]:
    """Masks of the first tumours of a store as networks see them: voxels a cell, (tumours, core and whole, *cells)."""
    levels = [level_of(store.thresholds[name]) for name in ("core", "whole")]
    found = np.empty((tumours, 2, *box.cells), np.uint8)
    for n, tumour in enumerate(store.searched[:tumours].tolist()):
        integers = store.integers(tumour)
        found[n] = [box.counts(integers >= level) for level in levels]
        if progress:
            progress(n + 1, tumours)
    return found


def simulated_part(store: TumorStore) -> TumorStore:
    """Leave out all but the tumours that campaigns simulated: what queries and people added is of no prior.

    Nothing is left out of a store without campaigns.
    """
    names = [record.name for record in store.segments if "campaign" in record.provenance]
    return store.part(names) if 0 < len(names) < len(store.segments) else store


def identity_of(store: TumorStore, tumours: int) -> dict[str, object]:
    """Name the first tumours of a store, to tell whether something was learned from the same ones.

    Campaigns name them wherever they are simulated; tumours that were added are named by their segments.
    """
    campaigns = sorted(store.manifest.campaigns)
    segments = [] if campaigns else [record.name for record in store.segments]
    return {"campaigns": campaigns, "segments": segments, "deleted": len(store.manifest.deleted), "tumours": tumours}
