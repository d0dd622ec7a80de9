"""The part of the grid that a growing tumour has reached, kept compact and moved ahead of its front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .stencil import edge_exceeds

TAIL = np.float32(1e-8)
"""Density that may be missed at the box's edge."""

_EDGE_LAYERS = 4  # watched for the front; at least the steps between two looks
_GROWTH_LAYERS = 8  # added to a side that the front has reached


@dataclass(frozen=True)
class Faces:
    """Face coefficients on the whole grid, 1/mm²: entry (i, j, k) couples that cell with the next along the axis."""

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    z: NDArray[np.float32]


class ActiveBox:
    """Density and faces of a box of the grid, in arrays of the box's own size with a ghost plane at each x end.

    Compact arrays keep an average tumour in the processor's cache: the loop runs two to three times faster
    than over a window of the whole grid.

    Args:
        faces: of the whole grid.
        low: first voxel of `density` in the grid.
        density: float32, what to start from; zero around it.
    """

    def __init__(self, faces: Faces, low: tuple[int, int, int], density: NDArray[np.float32]) -> None:
        self._faces = faces
        self._grid = np.array(faces.x.shape)
        self._low = np.array(low)
        self._high = self._low + density.shape
        self.u = _with_ghosts(density)
        self._scratch = np.zeros(0, np.float32)
        self._resize(np.array([_GROWTH_LAYERS] * 6))

    @property
    def strides(self) -> tuple[int, int]:
        """Flat distance to the next cell along x and along y."""
        return self.u.shape[1] * self.u.shape[2], self.u.shape[2]

    def flat(self) -> tuple[NDArray[np.float32], ...]:
        """Flat views: density, scratch, and the three faces."""
        return tuple(a.ravel() for a in (self.u, self._scratch, self._x, self._y, self._z))

    def swap(self) -> None:
        """Make the scratch array, just written, the density."""
        self.u, self._scratch = self._scratch, self.u

    def inner(self) -> tuple[NDArray[np.float32], tuple[int, int, int]]:
        """Density without the ghost planes, and the grid index of its first voxel."""
        x, y, z = (int(v) for v in self._low)
        return self.u[1:-1], (x, y, z)

    def follow_front(self) -> None:
        """Grow every side whose outer layers exceed `TAIL`."""
        reached = edge_exceeds(self.u[1:-1], _EDGE_LAYERS, TAIL)
        if reached.any():
            self._resize(np.where(reached, _GROWTH_LAYERS, 0))

    def _resize(self, layers: NDArray[np.int_]) -> None:
        low = np.maximum(self._low - layers[0::2], 0)
        high = np.minimum(self._high + layers[1::2], self._grid)
        if self._scratch.size and (low == self._low).all() and (high == self._high).all():
            return
        grown = np.zeros(high - low, np.float32)
        grown[tuple(slice(a, b) for a, b in zip(self._low - low, self._high - low, strict=True))] = self.u[1:-1]
        self._low, self._high = low, high
        window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        self.u = _with_ghosts(grown)
        self._scratch = np.zeros_like(self.u)
        self._x, self._y, self._z = (_with_ghosts(f[window]) for f in (self._faces.x, self._faces.y, self._faces.z))
        self._x[-2], self._y[:, -1], self._z[:, :, -1] = 0, 0, 0  # nothing leaves the box


def _with_ghosts(box: NDArray[np.float32]) -> NDArray[np.float32]:
    out = np.zeros((box.shape[0] + 2, *box.shape[1:]), np.float32)
    out[1:-1] = box
    return out
