"""A tumour as it grows: necrosis within an enhancing rim within oedema, its outlines uneven; and a T1c of it."""

from functools import cache

import numpy as np
from scipy import ndimage

from gliodex.store.frame import Frame
from gliodex.store.nifti import Image

AFFINE = np.diag([-1.5, -1.5, 1.5, 1.0])
SHAPE = (60, 56, 52)
NECROSIS, ENHANCING, OEDEMA = 1, 2, 3
SHINE = {0: 100.0, NECROSIS: 80.0, ENHANCING: 190.0, OEDEMA: 97.0}


@cache
def nested_tumor(seed=0, radii=(0.35, 0.55, 1.0)):
    """Tissues (i, j, k) of one tumour: 1 necrosis, 2 enhancing, 3 oedema."""
    rng = np.random.default_rng(seed)
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij"), -1)
    axes = rng.uniform(0.5, 0.75, 3)
    uneven = ndimage.gaussian_filter(rng.normal(size=SHAPE), 3)
    distance = np.linalg.norm((at - rng.uniform(-0.1, 0.1, 3)) / axes, axis=-1) + 0.08 * uneven / uneven.std()
    inner, middle, outer = radii
    return np.select([distance < inner, distance < middle, distance < outer], [1, 2, 3], 0).astype(np.uint8)


def relabelled(tissues, **values):
    """Labels by tissue: `n`, `t` and `e` for necrosis, enhancing and oedema; 0 leaves one out."""
    table = np.array([0, values.get("n", 0), values.get("t", 0), values.get("e", 0)])
    return table[tissues].astype(np.uint8)


def t1_after_contrast(tissues, path, shine=SHINE, seed=0, scale=1.0, offset=0.0):
    """Image of the tumour in a brain, with noise."""
    values = np.vectorize(shine.__getitem__)(tissues) + np.random.default_rng(seed).normal(0, 15, tissues.shape)
    return Image((scale * values + offset).astype(np.float32), Frame(tissues.shape, AFFINE), path)
