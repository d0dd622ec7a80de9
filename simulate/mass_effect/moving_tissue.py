"""The brain of one run as a tumour pushes it: tissue that moves, and what of it a tumour sees.

The tumour's pressure displaces an elastic body; what the displacement has changed by since the last look carries white
matter, grey matter, CSF and tumour along (paper 001, Eqs. 3 to 6). Masses are conserved, and their shares are the
tissue fractions: they stay in [0, 1] and sum to one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...store.atlas import Atlas
from ...store.frame import Frame
from ..active_box import Medium
from ..live_rows import extent_of_rows
from .advection import carry
from .elastic_stencil import rows_of
from .elasticity import ElasticBody
from .settings import MassEffectSettings
from .tissue import face_coefficients, relative_diffusivity, stiffness
from .transfers import interpolate

Volume = NDArray[np.float32]
Box = tuple[slice, slice, slice]

TISSUES = ("white", "grey", "csf")


@dataclass(frozen=True, eq=False)
class Deformation:
    """What a tumour has made of a brain.

    Args:
        frame: of the maps.
        white, grey, csf: tissue fractions, float32; they sum to one in the brain.
        displacement_mm: (x, y, z, 3), RAS: u of the elastic equations, how far tissue here has been pushed. Tissue is
            carried by its changes, each at its place, along a way that differs from it in second order.
        least_jacobian: smallest ratio of a volume now to what it was, by this displacement; 0 where it folds tissue.
    """

    frame: Frame
    white: Volume
    grey: Volume
    csf: Volume
    displacement_mm: Volume
    least_jacobian: float


class MovingTissue:
    """Tissue that can be pushed again and again, and put back; about 80 MB on a frame of 128³.

    Args:
        atlas: whose brain it is.
        settings: of the model.
    """

    def __init__(self, atlas: Atlas, settings: MassEffectSettings) -> None:
        self._atlas, self._settings = atlas, settings
        self._pooled = settings.voxels_a_cell
        brain = atlas.brain | atlas.tissue
        inside = np.argwhere(brain)
        self._low = inside.min(axis=0)
        self._extent = extent = inside.max(axis=0) + 1 - self._low
        cells = -(-extent // self._pooled)
        shape = tuple((cells * self._pooled + 2 * _MARGIN).tolist())
        self._in_frame: Box = _slices(self._low, extent)
        self._inner: Box = _slices(np.full(3, _MARGIN), extent)
        self._brain = np.zeros(shape, np.bool_)
        self._brain[self._inner] = brain[self._in_frame]
        self._rows = rows_of(self._brain)
        self._free = np.stack([self._brain & np.roll(self._brain, -1, axis) for axis in range(3)])
        self._at_rest = np.zeros((3, *shape), np.float32)
        for n, name in enumerate(TISSUES):
            self._at_rest[n][self._inner] = getattr(atlas, name)[self._in_frame]
        self._at_rest *= self._brain / np.maximum(self._at_rest.sum(axis=0), _EMPTY)

        self._fields = np.zeros((4, *shape), np.float32)
        self._spare = np.zeros((2, *shape), np.float32)
        self._shifts = np.zeros((3, *shape), np.float32)
        self._cell = np.zeros(shape, np.float32)
        self._pools = np.zeros((3, *cells), np.float32)
        counts = self._brain[_slices(np.full(3, _MARGIN), cells * self._pooled)]
        x, y, z = (int(n) for n in cells)
        counts = counts.reshape(x, self._pooled, y, self._pooled, z, self._pooled).sum(axis=(1, 3, 5))
        spacing = np.array(atlas.frame.spacing)
        self._cell_mm = spacing * self._pooled
        self._body = ElasticBody(2 * counts >= self._pooled**3, tuple(self._cell_mm), settings.form)
        self.displacement = np.zeros((3, *cells), np.float32)
        """Of the cells' faces, mm."""
        nothing = np.broadcast_to(np.float32(0), atlas.frame.shape)
        steepest = max(1.0, 1.0 / settings.growth.grey_ratio) / float(spacing.min()) ** 2
        self.medium = Medium(nothing, nothing, nothing, *extent_of_rows(brain), steepest)
        """What a tumour spreads through, as the tissue lies now."""
        self.reset()

    def reset(self) -> None:
        """Put the tissue back to where it is at rest."""
        self._fields[:3] = self._at_rest
        self._fields[3] = 0
        self.displacement[...] = 0
        self._show()

    def push(self, low: tuple[int, int, int], density: Volume, pressure: float) -> tuple[tuple[int, int, int], Volume]:
        """Let a tumour push the tissue to where its pressure is balanced, and carry the tumour along.

        Args:
            low: first voxel of the density.
            density: of the tumour, zero around it.
            pressure: of tumour at density 1, Pa.

        Returns:
            Likewise, after the motion.
        """
        c, begin = self._fields[3], np.array(low) - self._low + _MARGIN
        c[...] = 0
        there, of_box = _overlap(begin, density.shape, c.shape)
        c[there] = density[of_box]
        self._balance(pressure)
        steps = carry(self._fields, self._shifts, *self._rows, self._spare)
        self._show()
        c *= self._cell > 0  # what has come to lie in CSF cannot live there
        np.minimum(c, np.float32(1), out=c)
        begin -= _MARGIN
        first, last = (np.clip(at, 0, self._extent) for at in (begin - steps, begin + density.shape + steps))
        x, y, z = (int(v) for v in first + self._low)
        return (x, y, z), c[_slices(first + _MARGIN, last - first)].copy()

    def deformation(self) -> Deformation:
        """Tell how the tissue lies now."""
        frame = self._atlas.frame
        maps = {name: np.zeros(frame.shape, np.float32) for name in TISSUES}
        total = np.maximum(self._fields[:3].sum(axis=0), _EMPTY)
        for n, name in enumerate(TISSUES):
            maps[name][self._in_frame] = (self._fields[n] / total)[self._inner]
        displacement = np.zeros((*frame.shape, 3), np.float32)
        faces = self._on_voxels(self.displacement)
        for axis in range(3):
            centred = (faces[axis] + np.roll(faces[axis], 1, axis)) / 2
            displacement[(*self._in_frame, axis)] = centred[self._inner] * self._brain[self._inner]
        displacement = displacement @ (frame.affine[:3, :3] / np.array(frame.spacing)).T.astype(np.float32)
        return Deformation(frame, **maps, displacement_mm=displacement, least_jacobian=self.least_jacobian())

    def least_jacobian(self) -> float:
        """Smallest ratio of a volume now to what it was; 0 where the displacement folds the tissue."""
        u, h = np.pad(self.displacement, ((0, 0), (1, 0), (1, 0), (1, 0))), self._cell_mm
        centred = [(u[a] + np.roll(u[a], 1, a))[1:, 1:, 1:] / 2 for a in range(3)]
        gradient = np.empty((*centred[0].shape, 3, 3), np.float32)
        for a in range(3):
            for b in range(3):
                if a == b:
                    gradient[..., a, b] = (u[a] - np.roll(u[a], 1, a))[1:, 1:, 1:] / h[a]
                else:
                    thick = centred[a].shape[b] > 1
                    gradient[..., a, b] = np.gradient(centred[a], h[b], axis=b) if thick else 0
        backward = np.linalg.det(np.eye(3, dtype=np.float32) - gradient)  # of where from, by where it is now
        return float(min(1 / backward.max(), 1.0)) if backward.min() > 0 else 0.0

    def _balance(self, pressure: float) -> None:
        stiffness(
            self._fields[:3], self._fields[3], self._brain, self._settings.materials, self._pooled, _MARGIN, self._pools
        )
        lame, shear, density = self._pools
        self._body.stiffen(lame, shear)
        found = self._body.yield_to(np.float32(pressure) * density, self.displacement, self._settings.tolerance)
        change = found.displacement - self.displacement
        self.displacement = found.displacement
        spacing = np.array(self._atlas.frame.spacing, np.float32)
        self._shifts = self._on_voxels(change) / spacing[:, None, None, None]

    def _on_voxels(self, displacement: Volume) -> Volume:
        """Displacement on the faces of voxels."""
        out = np.zeros_like(self._shifts)
        if self._pooled == 1:
            out[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = displacement
            return np.asarray(out * self._free)
        padded = np.pad(displacement, ((0, 0), (1, 1), (1, 1), (1, 1)))
        for axis in range(3):
            within = out[axis][1:-1, 1:-1, 1:-1]  # the margin of a coarser grid is one cell
            interpolate(padded[axis], axis, self._free[axis][1:-1, 1:-1, 1:-1], within, False)
        return out

    def _show(self) -> None:
        settings = self._settings.growth
        relative_diffusivity(
            self._fields[:3].reshape(3, -1),
            *self._rows,
            settings.grey_ratio,
            settings.tissue_fractions == "renormalised",
            self._cell.ravel(),
        )
        x, y, z = self._inner
        cell = self._cell[x.start : x.stop + 1, y.start : y.stop + 1, z.start : z.stop + 1]
        of_grid = (slice(self._in_frame[0].start + 1, self._in_frame[0].stop + 1), *self._in_frame[1:])  # ghost plane
        faces = tuple(face[of_grid] for face in self.medium.whole_grid)
        squares = tuple(float(1 / h**2) for h in self._atlas.frame.spacing)
        face_coefficients(cell, squares, settings.face_mean == "harmonic", faces)


def _slices(begin: NDArray[np.int64], size: NDArray[np.int64]) -> Box:
    x, y, z = (slice(int(a), int(a + n)) for a, n in zip(begin, size, strict=True))
    return x, y, z


def _overlap(begin: NDArray[np.int64], size: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Box, Box]:
    """Part of a grid of `shape` that a box covers, and that part of the box."""
    first, last = np.maximum(begin, 0), np.minimum(begin + size, shape)
    return _slices(first, last - first), _slices(first - begin, last - first)


_MARGIN, _EMPTY = 2, 1e-6
