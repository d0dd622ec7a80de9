import numpy as np
import pytest

from .balls import balls


@pytest.fixture
def learnable(make_store, small_atlas, ball):
    """Paths of two stores of balls in the small brain: one to search, one to learn from."""

    def balls(count, seed):
        rng = np.random.default_rng(seed)
        tissue = np.argwhere(small_atlas.tissue)
        frame = small_atlas.frame
        centres = frame.world(tissue[rng.integers(0, len(tissue), count)])
        return [ball(frame, c, r) for c, r in zip(centres, rng.uniform(15, 40, count), strict=True)]

    return make_store(small_atlas, balls(12, 1), balls(6, 2)), make_store(small_atlas, balls(26, 3))


@pytest.fixture(scope="session")
def targets():
    return np.random.default_rng(1).uniform([5, 2.5, 0.4], [9, 5.5, 0.9], (240, 3))


@pytest.fixture(scope="session")
def maps(targets):
    return balls(targets)
