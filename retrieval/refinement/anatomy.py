"""The atlas's tissue in a patient: where a tumour is refined that is to fit this patient.

Tumours of a store grew in the atlas; carried to the patient, they keep the atlas's folds only as far as the
registration knows them. Ezhov et al. (2023) propose to simulate in the patient's own anatomy instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...store.atlas import MAPS, Atlas
from ...store.frame import Frame
from ..imaging.transforms import SpatialMap

_MARGIN_MM = 24.0
"""The brain may reach beyond the patient's grid, and a tumour with it."""


def patient_anatomy(atlas: Atlas, spatial: SpatialMap, grid: Frame, spacing_mm: float | None = None) -> Atlas:
    """Carry the atlas's tissue to the patient, on a grid of cubes along the patient's axes.

    Args:
        atlas: to carry.
        spatial: correspondence between patient and atlas.
        grid: of the patient's segmentation.
        spacing_mm: of the voxels; by default they are as large as the atlas's.
    """
    around = grid_around(grid, spacing_mm or float(np.mean(atlas.frame.spacing)))
    maps = {
        name: spatial.to_patient(getattr(atlas, name), atlas.frame, around) for name in ("white", "grey", "csf", "t1")
    }
    fractions = {name: np.clip(maps[name], 0.0, 1.0) for name in ("white", "grey", "csf")}
    brain = np.asarray(sum(fractions.values()) > 0)
    return cropped(Atlas(f"{atlas.name} in the patient", around, t1=maps["t1"], **fractions), brain)


def cropped(atlas: Atlas, mask: NDArray[np.bool_]) -> Atlas:
    """Leave out of an atlas what lies around a mask."""
    inside = np.argwhere(mask)
    low, high = inside.min(0), inside.max(0) + 1
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return Atlas(atlas.name, atlas.frame.crop(low, high), **{name: getattr(atlas, name)[box] for name in MAPS})


def points_to_patient(
    points: NDArray[np.float64], atlas: Frame, spatial: SpatialMap, patient: Frame
) -> NDArray[np.float64]:
    """Find where points of the atlas lie in the patient, to a voxel of `patient`; both (n, 3) in mm."""
    there = _atlas_coordinates(atlas, spatial, patient)
    nearest = [int(((there - point) ** 2).sum(axis=-1).argmin()) for point in points]
    return patient.world(np.transpose(np.unravel_index(nearest, patient.shape)))


def _atlas_coordinates(atlas: Frame, spatial: SpatialMap, patient: Frame) -> NDArray[np.float32]:
    """Place in the atlas of each voxel of a patient frame, mm, (*shape, 3); far away where it is beyond the atlas."""
    here = atlas.world(np.moveaxis(np.indices(atlas.shape), 0, -1)).astype(np.float32)
    known = spatial.to_patient(np.ones(atlas.shape, np.float32), atlas, patient) > _INSIDE
    found = np.stack(
        [spatial.to_patient(np.ascontiguousarray(here[..., axis]), atlas, patient) for axis in range(3)], axis=-1
    )
    found[~known] = _FAR_MM
    return found


_INSIDE, _FAR_MM = 0.999, 1e6


def grid_around(grid: Frame, spacing: float, margin_mm: float = _MARGIN_MM) -> Frame:
    """Frame of cubes that holds a grid and a margin, along its axes; perpendicular ones where the grid's are not."""
    axes, _ = np.linalg.qr(grid.affine[:3, :3])
    axes *= np.sign((axes * grid.affine[:3, :3]).sum(axis=0))
    corners = grid.world(np.array(list(np.ndindex(2, 2, 2))) * np.asarray(grid.shape) - 0.5) @ axes
    margin = np.ceil(margin_mm / spacing) * spacing  # whole voxels: a grid of such cubes keeps its own
    low, high = corners.min(0) - margin, corners.max(0) + margin
    affine = np.eye(4)
    affine[:3, :3] = axes * spacing
    affine[:3, 3] = axes @ (low + spacing / 2)
    i, j, k = (int(n) for n in np.ceil((high - low) / spacing))
    return Frame((i, j, k), affine)
