"""Tumours that a store has never seen."""

import numpy as np

import gliodex
from gliodex.simulate import FisherKolmogorovSettings, Prior
from gliodex.simulate.maker import TumourMaker
from gliodex.store.density import decode
from gliodex.store.integers import level_of


def unseen_masks(store: gliodex.TumorStore, count: int, seed: int) -> list[np.ndarray]:
    """Return the masks (core, whole) of the first `count` tumours of a campaign of ends under another seed."""
    maker, found, start = TumourMaker(store.atlas, FisherKolmogorovSettings(), Prior(), seed), [], 0
    while len(found) < count:
        for tumour in maker.settle(start, 64).tumours:
            integers = decode(tumour.chunk, store.frame.shape)
            found.append(np.stack([integers >= level_of(store.thresholds[name]) for name in ("core", "whole")]))
        start += 64
    return found[:count]
