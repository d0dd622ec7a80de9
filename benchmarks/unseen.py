"""Tumours that a store has never seen."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

import gliodex
from gliodex.evaluation.held_out_sets import unseen_tumours
from gliodex.store.quantization import level_of


def unseen_integers(store: gliodex.TumorStore, number: int, seed: int) -> Iterator[np.ndarray]:
    """Quantised densities of the first so many tumours of a campaign of ends under another seed."""
    return (integers for _, integers in islice(unseen_tumours(store, seed), number))


def unseen_masks(store: gliodex.TumorStore, number: int, seed: int) -> list[np.ndarray]:
    """Return their masks (core, whole)."""
    levels = [level_of(store.thresholds[name]) for name in ("core", "whole")]
    return [np.stack([u >= level for level in levels]) for u in unseen_integers(store, number, seed)]
