"""Grids and values for files of every format."""

import numpy as np
from scipy.spatial.transform import Rotation

SHAPE = (9, 8, 7)


def oblique(angles=(10, -20, 35), spacing=(1.1, 0.9, 2.5), offset=(-12, 30.5, 7)):
    """Affine of an oblique, anisotropic grid."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ np.diag(spacing)
    affine[:3, 3] = offset
    return affine


def values(dtype, shape=SHAPE, seed=0):
    """Numbers that use the range of a type."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def at_world(volume, data, affine):
    """Values of a volume at the places of the voxels of `data`, and how far these are from its own voxels."""
    index = np.indices(data.shape[:3]).reshape(3, -1).T
    places = index @ affine[:3, :3].T + affine[:3, 3]
    voxels = volume.frame.voxel(places)
    nearest = np.rint(voxels).astype(int)
    found = volume.data[tuple(nearest.T)].reshape(data.shape[:3] + volume.data.shape[3:])
    return found, float(np.abs(voxels - nearest).max())
