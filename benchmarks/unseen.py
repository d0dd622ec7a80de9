"""Tumours that a store has never seen."""

from collections.abc import Iterator
from itertools import count, islice

import numpy as np

import gliodex
from gliodex.simulate import FisherKolmogorovSettings, Prior
from gliodex.simulate.maker import TumourMaker
from gliodex.store.density import decode
from gliodex.store.integers import level_of


def unseen_integers(store: gliodex.TumorStore, number: int, seed: int) -> Iterator[np.ndarray]:
    """Quantised densities of the first so many tumours of a campaign of ends under another seed."""
    maker = TumourMaker(store.atlas, FisherKolmogorovSettings(), Prior(), seed)
    tumours = (tumour for start in count(0, 64) for tumour in maker.settle(start, 64).tumours)
    return (decode(tumour.chunk, store.frame.shape) for tumour in islice(tumours, number))


def unseen_masks(store: gliodex.TumorStore, number: int, seed: int) -> list[np.ndarray]:
    """Return their masks (core, whole)."""
    levels = [level_of(store.thresholds[name]) for name in ("core", "whole")]
    return [np.stack([u >= level for level in levels]) for u in unseen_integers(store, number, seed)]
