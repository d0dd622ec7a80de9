"""The brains of many tumours, each as its tumour has pushed it: `MovingTissue` for a batch.

Arrays are (tumour, ..., x, y, z) on the voxels of a `TissueGrid`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..advection import MOST_OUTFLOW
from ..settings import MassEffectSettings
from ..tissue_grid import EMPTY, MARGIN, TissueGrid
from .elasticity import ElasticBodies
from .transfers import interpolate


class MovingTissues:
    """Tissue of a batch, at rest at first.

    Args:
        grid: of the brain that all of them grow in.
        settings: of the model.
        bodies: its elastic cells.
        count: of tumours.
        device: where to calculate.
    """

    def __init__(
        self, grid: TissueGrid, settings: MassEffectSettings, bodies: ElasticBodies, count: int, device: torch.device
    ) -> None:
        self._grid, self._settings, self._bodies = grid, settings, bodies
        self._brain, self._free = (torch.from_numpy(v).to(device, torch.float32) for v in (grid.brain, grid.free))
        self._materials = torch.from_numpy(settings.materials).to(device)
        self._counts = self._pooled(self._brain).clamp_min(1)
        self._masses = torch.from_numpy(grid.at_rest).to(device).repeat(count, 1, 1, 1, 1)
        self._displacement = torch.zeros((count, 3, *grid.body.shape), device=device)
        self._cell, self.faces = self._shown()

    def keep(self, which: Tensor) -> None:
        """Forget all tumours but those with these numbers."""
        self._masses, self._displacement = self._masses[which], self._displacement[which]
        self._cell, self.faces = self._cell[which], tuple(face[which] for face in self.faces)

    def push(self, density: Tensor, pressure: Tensor) -> tuple[Tensor, Tensor]:
        """Let tumours push the tissue to where their pressure is balanced, and carry them along.

        Args:
            density: of the tumours, (tumour, x, y, z).
            pressure: of each at density 1, Pa.

        Returns:
            The densities after the motion; and for which the elastic equations were solved.
        """
        lame, shear, pooled = self._stiffness(density)
        found, solved = self._bodies.yield_to(
            pressure[:, None, None, None] * pooled, lame, shear, self._displacement, self._settings.tolerance
        )
        # what was not solved may be no number, which would spoil the steps of all
        found = torch.where(solved[:, None, None, None, None], found, self._displacement)
        shifts = self._on_voxels(found - self._displacement)
        self._displacement = found
        fields = carry(torch.cat([self._masses, density[:, None]], dim=1), shifts)
        self._masses = fields[:, :3]
        self._cell, self.faces = self._shown()
        # what has come to lie in CSF cannot live there
        return (fields[:, 3] * (self._cell > 0)).clamp_max(1), solved

    def least_jacobians(self) -> Tensor:
        """Smallest ratio of a volume now to what it was, of each; see `MovingTissue.least_jacobian`."""
        u, h = pad(self._displacement, [1, 0] * 3), self._grid.cell_mm
        centred = [(u[:, a] + u[:, a].roll(1, a + 1))[:, 1:, 1:, 1:] / 2 for a in range(3)]
        rows = []
        for a in range(3):
            row = []
            for b in range(3):
                if a == b:
                    row.append((u[:, a] - u[:, a].roll(1, a + 1))[:, 1:, 1:, 1:] / h[a])
                elif centred[a].shape[b + 1] > 1:
                    row.append(torch.gradient(centred[a], spacing=h[b], dim=b + 1)[0])
                else:
                    row.append(torch.zeros_like(centred[a]))
            rows.append(torch.stack(row, dim=-1))
        gradient = torch.stack(rows, dim=-2)
        backward = torch.linalg.det(torch.eye(3, device=gradient.device) - gradient).flatten(1)
        least, most = backward.amin(dim=1), backward.amax(dim=1)
        return torch.where(least > 0, (1 / most).clamp_max(1), 0.0)

    def _pooled(self, values: Tensor) -> Tensor:
        """Sum up the voxels of each elastic cell."""
        n = self._settings.voxels_a_cell
        inner = values[..., MARGIN:-MARGIN, MARGIN:-MARGIN, MARGIN:-MARGIN]
        x, y, z = (size // n for size in inner.shape[-3:])
        return inner.reshape(*inner.shape[:-3], x, n, y, n, z, n).sum(dim=(-5, -3, -1))

    def _stiffness(self, density: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Lambda, mu and density of the elastic cells; see `tissue.stiffness`."""
        shares = self._masses / self._masses.sum(dim=1, keepdim=True).clamp_min(EMPTY)
        moduli = [
            density * materials[3] + (shares * materials[:3, None, None, None]).sum(dim=1)
            for materials in self._materials
        ]
        lame, shear, pooled = (self._pooled(values * self._brain) / self._counts for values in (*moduli, density))
        return lame, shear, pooled

    def _on_voxels(self, displacement: Tensor) -> Tensor:
        """Displacement on the faces of voxels, in voxels."""
        spacing = torch.tensor(self._grid.frame.spacing, device=displacement.device)[:, None, None, None]
        if self._settings.voxels_a_cell == 1:
            fine = pad(displacement, [MARGIN] * 6)
        else:  # the margin of a coarser grid is one cell
            fine = pad(interpolate(pad(displacement, [1] * 6)), [MARGIN - 1] * 6)
        return fine * self._free / spacing

    def _shown(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """How fast tumours spread through the tissue as it lies, in voxels and between them."""
        settings = self._settings.growth
        white, grey, csf = self._masses.unbind(dim=1)
        tissue = white + grey
        total = tissue if settings.tissue_fractions == "renormalised" else tissue + csf
        cell = (white + grey / settings.grey_ratio) / total.clamp_min(EMPTY)
        cell = torch.where(tissue > csf, cell, 0.0)
        faces = (
            _face(cell, axis, harmonic=settings.face_mean == "harmonic") / spacing**2
            for axis, spacing in enumerate(self._grid.frame.spacing)
        )
        return cell, tuple(faces)


def _face(cell: Tensor, axis: int, *, harmonic: bool) -> Tensor:
    """Diffusivity between each voxel and the next; see `tissue.face_coefficients`."""
    onward = cell.roll(-1, axis + 1)
    both = cell + onward
    mean = 2 * cell * onward / both.clamp_min(EMPTY) if harmonic else both / 2
    return torch.where((cell > 0) & (onward > 0), mean, 0.0)


def spread(density: Tensor, faces: tuple[Tensor, ...]) -> Tensor:
    """Tell how fast a density changes by diffusion, over D_w, 1/mm² times density."""
    rate = torch.zeros_like(density)
    for axis, face in enumerate(faces, start=1):
        size = density.shape[axis] - 1
        flux = face.narrow(axis, 0, size) * (density.narrow(axis, 1, size) - density.narrow(axis, 0, size))
        rate.narrow(axis, 0, size).add_(flux)
        rate.narrow(axis, 1, size).sub_(flux)
    return rate


def carry(fields: Tensor, shifts: Tensor) -> Tensor:
    """Carry what fills voxels along with a motion; see `advection.carry`.

    Args:
        fields: contents, (tumour, field, x, y, z), with a margin of two voxels where nothing moves.
        shifts: voxels by which each face is passed, (tumour, 3, x, y, z).
    """
    outflow = torch.zeros_like(shifts[:, 0])
    for axis in range(3):
        passed = shifts[:, axis]
        outflow += passed.clamp_min(0) + (-passed.roll(1, axis + 1)).clamp_min(0)
    steps = (outflow.flatten(1).amax(dim=1) / MOST_OUTFLOW).ceil().clamp_min(1)
    shares = shifts / steps[:, None, None, None, None]
    for step in range(int(steps.max())):
        fields = _carried(fields, shares * (step < steps)[:, None, None, None, None])
    return fields


def _carried(fields: Tensor, shifts: Tensor) -> Tensor:
    result = fields.clone()
    for axis in range(3):
        along, count = axis + 2, fields.shape[axis + 2] - 3
        before, here, after, beyond = (fields.narrow(along, first, count) for first in range(4))
        below, across, above = here - before, after - here, beyond - after
        passed = shifts[:, axis : axis + 1].narrow(along, 1, count)
        onward, back = passed.clamp_min(0), passed.clamp_max(0)
        left = here + 0.5 * (1 - onward) * _limited(below, across)
        right = after - 0.5 * (1 + back) * _limited(across, above)
        flux = onward * left + back * right
        result.narrow(along, 1, count).sub_(flux)
        result.narrow(along, 2, count).add_(flux)
    return result


def _limited(one: Tensor, other: Tensor) -> Tensor:
    """Slope that makes no new extremum (van Leer 1977)."""
    mean = 0.5 * (one + other)
    least = torch.minimum(torch.minimum(2 * one, 2 * other), mean).clamp_min(0)
    most = torch.maximum(torch.maximum(2 * one, 2 * other), mean).clamp_max(0)
    return least + most
