"""Where in an atlas's frame tissue can move: the box around the brain, and the cells of its elastic body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...store.atlas import Atlas
from ...store.frame import Frame

Box = tuple[slice, slice, slice]

TISSUES = ("white", "grey", "csf")
"""In the order of their masses."""

MARGIN = 2
"""Voxels around the brain where nothing moves."""

EMPTY = 1e-6
"""Mass below which a voxel counts as empty."""


@dataclass(frozen=True, eq=False)
class TissueGrid:
    """The voxels of a brain, with a margin around them, and the cells that its elastic body has there.

    Args:
        frame: of the atlas.
        low: first voxel of the brain in the frame.
        extent: voxels of the brain along each axis.
        brain: voxels of the brain, (x, y, z) with margins.
        free: faces that tissue can pass, (3, x, y, z): component a between a voxel and the next along axis a.
        at_rest: masses of the `TISSUES` at rest, (3, x, y, z), one in all in the brain.
        body: cells of the elastic body, without margins: those of which at least half is brain.
        cell_mm: their size.
    """

    frame: Frame
    low: NDArray[np.int64]
    extent: NDArray[np.int64]
    brain: NDArray[np.bool_]
    free: NDArray[np.bool_]
    at_rest: NDArray[np.float32]
    body: NDArray[np.bool_]
    cell_mm: tuple[float, float, float]

    @classmethod
    def of(cls, atlas: Atlas, pooled: int) -> TissueGrid:
        """Cut an atlas to the box around its brain.

        Args:
            atlas: whose brain it is.
            pooled: voxels along each edge of an elastic cell.
        """
        within = atlas.brain | atlas.tissue
        inside = np.argwhere(within)
        low = inside.min(axis=0)
        extent = inside.max(axis=0) + 1 - low
        x, y, z = (int(n) for n in -(-extent // pooled))
        shape = tuple(n * pooled + 2 * MARGIN for n in (x, y, z))
        in_frame, inner = slices_of(low, extent), slices_of(np.full(3, MARGIN), extent)
        brain = np.zeros(shape, np.bool_)
        brain[inner] = within[in_frame]
        at_rest = np.zeros((3, *shape), np.float32)
        for n, name in enumerate(TISSUES):
            at_rest[n][inner] = getattr(atlas, name)[in_frame]
        at_rest *= brain / np.maximum(at_rest.sum(axis=0), EMPTY)
        counts = brain[MARGIN:-MARGIN, MARGIN:-MARGIN, MARGIN:-MARGIN]
        counts = counts.reshape(x, pooled, y, pooled, z, pooled).sum(axis=(1, 3, 5))
        free = np.stack([brain & np.roll(brain, -1, axis) for axis in range(3)])
        a, b, c = (float(h * pooled) for h in atlas.frame.spacing)
        return cls(atlas.frame, low, extent, brain, free, at_rest, 2 * counts >= pooled**3, (a, b, c))

    @property
    def in_frame(self) -> Box:
        """The brain's box in the frame."""
        return slices_of(self.low, self.extent)

    @property
    def inner(self) -> Box:
        """The same box in arrays with margins."""
        return slices_of(np.full(3, MARGIN), self.extent)


def slices_of(begin: NDArray[np.int64], size: NDArray[np.int64]) -> Box:
    """Return the slices of a box."""
    x, y, z = (slice(int(a), int(a + n)) for a, n in zip(begin, size, strict=True))
    return x, y, z
