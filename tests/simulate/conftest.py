"""Small brains to grow tumours in."""

import numpy as np
import pytest

from gliodex.store.atlas import Atlas
from gliodex.store.frame import Frame


def centred_frame(shape, spacing):
    """RAS frame with its middle at the world's origin."""
    steps = np.broadcast_to(np.asarray(spacing, dtype=float), 3)
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.asarray(shape) - 1) / 2
    return Frame(tuple(shape), affine)


def atlas_of(white, grey=None, csf=None, *, spacing=1.0, name="synthetic"):
    white = np.asarray(white, dtype=np.float32)
    grey, csf = (np.zeros_like(white) if m is None else np.asarray(m, dtype=np.float32) for m in (grey, csf))
    return Atlas(name, centred_frame(white.shape, spacing), white, grey, csf, white + 0.6 * grey + 0.2 * csf)


@pytest.fixture(scope="session")
def make_atlas():
    """Build an atlas from tissue fractions, centred on the world's origin."""
    return atlas_of


@pytest.fixture(scope="session")
def white_block(make_atlas):
    """Build an atlas that is white matter everywhere."""

    def block(shape, spacing=1.0):
        return make_atlas(np.ones(shape), spacing=spacing)

    return block


@pytest.fixture(scope="session")
def ragged_atlas(make_atlas):
    """Build an atlas of random fractions: a ball with holes, every voxel with its own mixture."""

    def ragged(shape, spacing=2.0, *, seed=0, mirrored=False):
        rng = np.random.default_rng(seed)
        fractions = rng.dirichlet([1.0, 1.0, 0.5], size=shape)
        radius = np.linalg.norm(
            [(g - (n - 1) / 2) / (n / 2) for g, n in zip(np.indices(shape), shape, strict=True)], axis=0
        )
        fractions[(radius > 0.95) | (rng.random(shape) < 0.1)] = 0
        if mirrored:
            half = shape[0] // 2
            fractions[shape[0] - half :] = fractions[:half][::-1]
        return make_atlas(*np.moveaxis(fractions, -1, 0), spacing=spacing)

    return ragged


@pytest.fixture(scope="session")
def ellipsoid_atlas(make_atlas):
    """Grey shell around white matter with a small ventricle, 32³ voxels of 4 mm."""
    frame = centred_frame((32, 32, 32), 4.0)
    points = frame.world(np.moveaxis(np.indices(frame.shape), 0, -1))
    radius = np.linalg.norm(points / [48.0, 58.0, 44.0], axis=-1)
    ventricle = np.linalg.norm(points / [6.0, 16.0, 8.0], axis=-1) < 1
    white = (radius < 0.8) & ~ventricle
    grey = (radius >= 0.8) & (radius < 1)
    return make_atlas(white, grey, ventricle, spacing=4.0, name="ellipsoid")
