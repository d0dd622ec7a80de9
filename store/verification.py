"""Holding a store's bytes against what was written."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import DamagedStoreError
from .quantization import LEVELS, bounding_box, level_of
from .reader import TumorStore
from .segments import SegmentRecord

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


def verify(store: TumorStore, *, full: bool = False, progress: Progress | None = None) -> list[str]:
    """List everything wrong with a snapshot; an empty list means that it is sound.

    Opening the snapshot has already checked its manifest and the presence and size of every segment file.

    Args:
        store: an open snapshot.
        full: also read every byte: SHA-256 of every file, checksum and range of every density, and its volumes
            against the table.
        progress: called as segments are done.
    """
    found: list[str] = []
    try:
        _ = store.atlas
    except DamagedStoreError as error:
        found.append(str(error))
    for done, record in enumerate(store.segments, 1):
        segment = store.segment(record)
        table = None
        try:
            table = segment.table
        except DamagedStoreError as error:
            found.append(str(error))
        if full:
            found += _damaged_files(store, record)
            for row, tumour in enumerate(record.ids):
                try:
                    integers = segment.integers(row)
                except DamagedStoreError as error:
                    found.append(str(error))
                else:
                    if table is not None:
                        found += _differences(store, tumour, integers, table[row])
        if progress:
            progress(done, len(store.segments))
    return found


def _damaged_files(store: TumorStore, record: SegmentRecord) -> list[str]:
    found = []
    for key in record.files:
        try:
            store.segment(record).checked(key)
        except DamagedStoreError as error:
            found.append(str(error))
    return found


def _differences(
    store: TumorStore,
    tumour: int,
    integers: np.ndarray[tuple[int, ...], np.dtype[np.uint16]],
    row: np.ndarray,
) -> list[str]:
    whole, core, peak = row[6:9]
    measured = [
        np.count_nonzero(integers >= level_of(store.thresholds[name])) * store.frame.voxel_ml
        for name in ("whole", "core")
    ]
    largest = int(integers.max())
    agrees = (
        largest <= LEVELS
        and np.allclose([*measured, largest / LEVELS], [whole, core, peak], atol=1e-6)
        and bounding_box(integers) == tuple(int(v) for v in row[9:15])
    )
    return [] if agrees else [f"tumour {tumour}: its density is not what its table says; rebuild the store"]
