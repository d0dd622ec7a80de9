"""The query as the paper's authors run it, to have their runtime on this machine: a file a simulation, and a pool.

Each worker opens a compressed npz of a density of the whole frame, applies both thresholds and computes both Dice
(IvanEz/for-loop-tumor).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..store.cores import available_cores
from ..store.reader import TumorStore

Mask = NDArray[np.bool_]


def seconds_a_tumour(
    store: TumorStore,
    core: Mask,
    whole: Mask,
    sample: int,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> float:
    """Time the authors' loop over the first `sample` tumours of a store; seconds a tumour, the pool's start left out.

    The files have just been written, so they come from memory rather than from the disk: the loop is at its best.
    """
    workers = workers or available_cores()
    ids = store.ids[:sample].tolist()
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for n, tumour in enumerate(ids):
            paths.append(Path(folder) / f"{tumour}.npz")
            np.savez_compressed(paths[-1], data=store.density(tumour))
            if progress:
                progress(n + 1, len(ids))
        query = np.stack([core, whole]), (store.thresholds["core"], store.thresholds["whole"])
        context = get_context("spawn")
        with ProcessPoolExecutor(workers, context, _take, (*query, context.Barrier(workers))) as pool:
            list(pool.map(_warm, range(workers)))
            begun = time.perf_counter()
            list(pool.map(_ask, paths))
            return (time.perf_counter() - begun) / len(ids)


def _warm(_: int) -> None:
    assert _together is not None
    _together.wait()  # until every worker has started


_query: tuple[Mask, tuple[float, float]] | None = None
_together: Barrier | None = None


def _take(masks: Mask, thresholds: tuple[float, float], together: Barrier) -> None:
    global _query, _together
    _query, _together = (masks, thresholds), together


def _ask(path: Path) -> float:
    assert _query is not None
    return dice_sum(path, *_query)


def dice_sum(path: Path, masks: Mask, thresholds: tuple[float, float]) -> float:
    """Dice of core and whole with a file's density, summed.

    Args:
        path: of an npz whose `data` is a density.
        masks: core and whole, (2, *shape).
        thresholds: of core and whole.
    """
    with np.load(path) as file:
        density = file["data"]
    total = 0.0
    for mask, threshold in zip(masks, thresholds, strict=True):
        there = density >= threshold
        sizes = mask.sum() + there.sum()
        total += 2.0 * (mask & there).sum() / sizes if sizes else 0.0
    return total
