import numpy as np
import pytest

from gliodex.learn.training.density_crops import LevelBoxes
from gliodex.store import open_store

from .balls import balls
from .lmi.tiny import trained_store


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


@pytest.fixture(scope="session")
def _grown(tmp_path_factory, small_atlas):
    pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")
    return trained_store(tmp_path_factory.mktemp("grown") / "store", small_atlas)


@pytest.fixture
def grown(_grown, tmp_path):
    """A store of 240 tumours simulated in the small brain, whose networks are the test's own: there is none yet."""
    store = open_store(_grown.path)
    store.derived = tmp_path / "derived"
    return store


@pytest.fixture
def trained(_grown):
    """The same store, with a network; not to be changed."""
    return open_store(_grown.path)


@pytest.fixture
def boxes(grown):
    return LevelBoxes.of(grown, 12)
