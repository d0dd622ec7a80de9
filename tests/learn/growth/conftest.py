import numpy as np
import pytest

from gliodex.learn.growth.level_boxes import LevelBoxes
from gliodex.store import open_store

from .tiny import trained_store


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


def outlines(store, tumour, whole, core):
    """Masks of a tumour at levels of a byte."""
    levels = store.integers(int(tumour)) >> 4
    return np.asarray(levels >= core), np.asarray(levels >= whole)
