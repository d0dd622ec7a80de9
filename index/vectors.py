"""Rows of numbers that describe tumours: how derived data keeps and returns them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..store.reader import TumorStore
from .derived_cache import Derived, Progress


def pack_rows(rows: NDArray[np.generic]) -> tuple[bytes, dict[str, int]]:
    """Lay out the rows of a segment, (n, width): the bytes, all checked when the file is opened, and the layout."""
    data = np.ascontiguousarray(rows).tobytes()
    data += b"\0" * (-len(data) % 8)
    return data, {"rows": rows.shape[0], "head": len(data)}


def open_rows(
    store: TumorStore, derived: Derived, width: int, dtype: str, progress: Progress | None = None
) -> NDArray[Any]:
    """Rows of all of `store.ids_in_segments`, (n, width), made where they are missing.

    Raises:
        DamagedStoreError, OutputError, StoreLockedError: see `Derived.refresh`.
    """
    data, packed = derived.open(store, progress)
    parts = [
        data[s.start : s.start + s.layout["rows"] * width * np.dtype(dtype).itemsize].view(dtype).reshape(-1, width)
        for s in packed
    ]
    return np.concatenate(parts) if parts else np.zeros((0, width), dtype)
