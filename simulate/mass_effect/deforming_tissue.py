"""The brain of one run as a tumour pushes it: tissue that moves, and what of it a tumour sees.

The tumour's pressure displaces an elastic body; what the displacement has changed by since the last look carries white
matter, grey matter, CSF and tumour along (Ezhov et al. 2023, Eqs. 3 to 6). Masses are conserved, and their shares are
the tissue fractions: they stay in [0, 1] and sum to one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...store.atlas import Atlas
from ...store.frame import Frame
from ..active_box import Medium
from ..active_rows import extent_of_rows
from .advection import carry
from .elastic_stencil import rows_of
from .elasticity import ElasticBody
from .settings import MassEffectSettings
from .tissue import face_coefficients, relative_diffusivity, stiffness
from .tissue_grid import EMPTY, MARGIN, TISSUES, Box, TissueGrid, slices_of
from .transfers import interpolate

Volume = NDArray[np.float32]


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
        self._settings, self._pooled = settings, settings.voxels_a_cell
        self._grid = grid = TissueGrid.of(atlas, self._pooled)
        self._rows = rows_of(grid.brain)
        shape, cells, spacing = grid.brain.shape, grid.body.shape, atlas.frame.spacing

        self._fields = np.zeros((4, *shape), np.float32)
        self._spare = np.zeros((2, *shape), np.float32)
        self._shifts = np.zeros((3, *shape), np.float32)
        self._cell = np.zeros(shape, np.float32)
        self._pools = np.zeros((3, *cells), np.float32)
        self._body = ElasticBody(grid.body, grid.cell_mm, settings.form)
        self.displacement = np.zeros((3, *cells), np.float32)
        """Of the cells' faces, mm."""
        nothing = np.broadcast_to(np.float32(0), atlas.frame.shape)
        steepest = max(1.0, 1.0 / settings.growth.grey_ratio) / (min(spacing) * min(spacing))
        self.medium = Medium(nothing, nothing, nothing, *extent_of_rows(atlas.brain | atlas.tissue), steepest)
        """What a tumour spreads through, as the tissue lies now."""
        self.reset()

    def reset(self) -> None:
        """Put the tissue back to where it is at rest."""
        self._fields[:3] = self._grid.at_rest
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
        c, begin = self._fields[3], np.array(low) - self._grid.low + MARGIN
        c[...] = 0
        there, of_box = _overlap(begin, density.shape, c.shape)
        c[there] = density[of_box]
        self._balance(pressure)
        steps = carry(self._fields, self._shifts, *self._rows, self._spare)
        self._show()
        c *= self._cell > 0  # what has come to lie in CSF cannot live there
        np.minimum(c, np.float32(1), out=c)
        begin -= MARGIN
        first, last = (np.clip(at, 0, self._grid.extent) for at in (begin - steps, begin + density.shape + steps))
        x, y, z = (int(v) for v in first + self._grid.low)
        return (x, y, z), c[slices_of(first + MARGIN, last - first)].copy()

    def deformation(self) -> Deformation:
        """Tell how the tissue lies now."""
        grid = self._grid
        frame, inner = grid.frame, grid.inner
        maps = {name: np.zeros(frame.shape, np.float32) for name in TISSUES}
        total = np.maximum(self._fields[:3].sum(axis=0), EMPTY)
        for n, name in enumerate(TISSUES):
            maps[name][grid.in_frame] = (self._fields[n] / total)[inner]
        displacement = np.zeros((*frame.shape, 3), np.float32)
        faces = self._on_voxels(self.displacement)
        for axis in range(3):
            centred = (faces[axis] + np.roll(faces[axis], 1, axis)) / 2
            displacement[(*grid.in_frame, axis)] = centred[inner] * grid.brain[inner]
        displacement = displacement @ (frame.affine[:3, :3] / np.array(frame.spacing)).T.astype(np.float32)
        return Deformation(frame, **maps, displacement_mm=displacement, least_jacobian=self.least_jacobian())

    def least_jacobian(self) -> float:
        """Smallest ratio of a volume now to what it was; 0 where the displacement folds the tissue."""
        u, h = np.pad(self.displacement, ((0, 0), (1, 0), (1, 0), (1, 0))), self._grid.cell_mm
        centred = [(u[a] + np.roll(u[a], 1, a))[1:, 1:, 1:] / 2 for a in range(3)]
        back = np.empty((3, 3, *centred[0].shape), np.float32)  # of where from, by where it is now
        for a in range(3):
            for b in range(3):
                if a == b:
                    back[a, b] = 1 - (u[a] - np.roll(u[a], 1, a))[1:, 1:, 1:] / h[a]
                else:
                    thick = centred[a].shape[b] > 1
                    back[a, b] = -np.gradient(centred[a], h[b], axis=b) if thick else 0
        volume = _determinant(back)
        return float(min(1 / volume.max(), 1.0)) if volume.min() > 0 else 0.0

    def _balance(self, pressure: float) -> None:
        stiffness(
            self._fields[:3],
            self._fields[3],
            self._grid.brain,
            self._settings.materials,
            self._pooled,
            MARGIN,
            self._pools,
        )
        lame, shear, density = self._pools
        self._body.stiffen(lame, shear)
        found = self._body.yield_to(np.float32(pressure) * density, self.displacement, self._settings.tolerance)
        change = found.displacement - self.displacement
        self.displacement = found.displacement
        spacing = np.array(self._grid.frame.spacing, np.float32)
        self._shifts = self._on_voxels(change) / spacing[:, None, None, None]

    def _on_voxels(self, displacement: Volume) -> Volume:
        """Displacement on the faces of voxels."""
        out = np.zeros_like(self._shifts)
        if self._pooled == 1:
            out[:, MARGIN:-MARGIN, MARGIN:-MARGIN, MARGIN:-MARGIN] = displacement
            return np.asarray(out * self._grid.free)
        padded = np.pad(displacement, ((0, 0), (1, 1), (1, 1), (1, 1)))
        for axis in range(3):
            within = out[axis][1:-1, 1:-1, 1:-1]  # the margin of a coarser grid is one cell
            interpolate(padded[axis], axis, self._grid.free[axis][1:-1, 1:-1, 1:-1], within, False)
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
        grid = self._grid
        x, y, z = grid.inner
        cell = self._cell[x.start : x.stop + 1, y.start : y.stop + 1, z.start : z.stop + 1]
        along_x, *others = grid.in_frame
        of_grid = (slice(along_x.start + 1, along_x.stop + 1), *others)  # ghost plane
        faces = tuple(face[of_grid] for face in self.medium.whole_grid)
        squares = tuple(1 / (h * h) for h in grid.frame.spacing)
        face_coefficients(cell, squares, settings.face_mean == "harmonic", faces)


def _determinant(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Tell the determinants of (3, 3, ...), by sums and products in one order: LAPACK's depends on the processor."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    return np.asarray(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))


def _overlap(begin: NDArray[np.int64], size: tuple[int, ...], shape: tuple[int, ...]) -> tuple[Box, Box]:
    """Part of a grid of `shape` that a box covers, and that part of the box."""
    first, last = np.maximum(begin, 0), np.minimum(begin + size, shape)
    return slices_of(first, last - first), slices_of(first - begin, last - first)
