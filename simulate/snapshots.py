"""Tumours that a simulation passes through on its way: each is one more tumour, with its own duration, nearly free.

The density after t days of a run with (D, rho) is the tumour of (D, rho, t). Where in its life a run is looked at
decides what a snapshot is worth: two that differ little in size answer the same queries. A tumour's radius grows about
linearly once it has formed, so equal steps of time give ever closer sizes; `snapshot_shares` draws one moment from each
of `count` parts of the run's life that multiply the volume about equally.
"""

from __future__ import annotations

import numpy as np

from .elementary import exp

EARLIEST_SHARE = 0.5
"""Of a run's duration: before it, few tumours are as large as a store keeps."""


def snapshot_shares(count: int, seed: int, index: int) -> tuple[float, ...]:
    """Shares of the duration at which draw number `index` of the stream named by `seed` is kept, ascending.

    Args:
        count: how many, besides the end.
        seed: of the stream, 0 to 2^64 - 1.
        index: of the draw.
    """
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, index], np.uint64), counter=[0, 0, 0, 1]))
    part = (np.arange(count) + rng.random(count)) / (count + 0.5)
    return tuple(exp(_LN_EARLIEST * (1 - float(v))) for v in part)


_LN_EARLIEST = -0.6931471805599453  # ln(EARLIEST_SHARE), the same on every processor
