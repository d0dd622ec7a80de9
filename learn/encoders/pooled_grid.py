"""The part of a frame that networks look at, and how finely."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...store.atlas import Atlas
from ...store.frame import Frame

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class BrainBox:
    """A box of a frame, divided into cells of `pool`³ voxels.

    Args:
        low: first voxel along each axis; negative where the box reaches beyond the frame.
        cells: cells along each axis.
        pool: edge of a cell, in voxels.
    """

    low: tuple[int, int, int]
    cells: tuple[int, int, int]
    pool: int

    @classmethod
    def of(cls, atlas: Atlas, pool: int, halvings: int, *, crop: bool = True) -> BrainBox:
        """Fit a box around the tissue of an atlas, or its whole frame, whose cells can be halved so many times."""
        edge = pool * 2**halvings
        inside = np.argwhere(atlas.tissue) if crop else np.array([[0, 0, 0], np.array(atlas.frame.shape) - 1])
        low, high = inside.min(0), inside.max(0) + 1
        size = -(-(high - low) // edge) * edge
        low = (low + high - size) // 2
        first, cells = low.tolist(), (size // pool).tolist()
        return cls((first[0], first[1], first[2]), (cells[0], cells[1], cells[2]), pool)

    def counts(self, mask: Mask) -> NDArray[np.uint8]:
        """Count the voxels of each cell that a mask on the frame holds: (`cells`), up to `pool`³."""
        wanted = [(n, n + count * self.pool) for n, count in zip(self.low, self.cells, strict=True)]
        taken = tuple(slice(max(a, 0), max(b, 0)) for a, b in wanted)
        beyond = [
            (min(max(-a, 0), b - a), min(max(b - size, 0), b - a))
            for (a, b), size in zip(wanted, mask.shape, strict=True)
        ]
        box = np.pad(mask[taken], beyond).view(np.uint8)
        split = [n for count in self.cells for n in (count, self.pool)]
        return np.asarray(box.reshape(split).sum(axis=(1, 3, 5), dtype=np.uint8))

    def as_record(self, frame: Frame) -> dict[str, object]:
        """Plain values for JSON, with the frame that the box belongs to."""
        return {"low": list(self.low), "cells": list(self.cells), "pool": self.pool, "frame": frame.as_record()}

    @classmethod
    def from_record(cls, record: dict[str, list[int]], pool: int) -> BrainBox:
        """Inverse of `as_record`."""
        low, cells = record["low"], record["cells"]
        return cls((low[0], low[1], low[2]), (cells[0], cells[1], cells[2]), pool)
