"""Outlines of a store's tumours."""

import numpy as np


def outlines(store, tumour, whole, core):
    """Masks of a tumour at levels of a byte."""
    levels = store.integers(int(tumour)) >> 4
    return np.asarray(levels >= core), np.asarray(levels >= whole)
