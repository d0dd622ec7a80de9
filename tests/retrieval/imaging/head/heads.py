"""Whole heads and brains alone, made from the ICBM152 with its head."""

from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from gliodex.retrieval.imaging.head.template import icbm152_head
from gliodex.store.frame import Frame
from gliodex.store.nifti import Image


def head_and_mask():
    """T1 of the ICBM152 with its head and its brain mask, at 2 mm; white matter is at about 1000."""
    image, mask = icbm152_head()
    return np.asarray(image.data * 1000, np.float32), mask.copy(), image.frame


def as_image(data, frame=None, spacing=(2.0, 2.0, 2.0)):
    if frame is None:
        frame = Frame(data.shape, np.diag([*spacing, 1.0]))
    return Image(data, frame, Path("head.nii.gz"))


def rotated(data, degrees, axis="x", order=1):
    turn = Rotation.from_euler(axis, degrees, degrees=True).as_matrix()
    centre = (np.array(data.shape) - 1) / 2
    return ndimage.affine_transform(np.asarray(data, np.float32), turn, centre - turn @ centre, order=order)


def grown(mask, voxels):
    return ndimage.binary_dilation(mask, iterations=voxels) if voxels else mask


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))
