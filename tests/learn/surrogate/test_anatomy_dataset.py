import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.learn.surrogate.anatomy_dataset import Pairs
from gliodex.learn.surrogate.crops import corner_of, cropped, turned
from gliodex.simulate import FisherKolmogorovSettings, build
from gliodex.store import open_store

from .tiny import TINY

SETTINGS = FisherKolmogorovSettings()


def test_pairs_are_what_lies_around_the_seeds_of_the_stores_tumours(anatomies):
    pairs = Pairs(anatomies[:2], 5, TINY, SETTINGS)
    assert len(pairs) == 10
    symmetries = np.arange(10) * 4
    batch = pairs.batch(np.arange(10), symmetries)
    for n in range(10):
        store, tumour = anatomies[n // 5], int(anatomies[n // 5].ids[n % 5])
        seed = store.frame.voxel(store.parameters(tumour).seed_mm)
        corner = corner_of(seed, 16)
        truth = turned(cropped(store.density(tumour), corner, 16), int(symmetries[n]))
        np.testing.assert_array_equal(batch.density[n, 0], truth)
        tissue = turned(cropped(store.atlas.tissue, corner, 16), int(symmetries[n]))
        np.testing.assert_array_equal(batch.tissue[n, 0], tissue)
        np.testing.assert_array_equal(batch.anatomy[n, 0] > 0, tissue)
        assert batch.distance[n].min() <= np.sqrt(3) / 2 / 8 + 1e-6
        assert np.abs(batch.growth[n]).max() <= 1 + 1e-6
    assert (batch.density[~batch.tissue] == 0).all()


def test_stores_of_other_voxels_are_not_mixed(anatomies, tmp_path, make_atlas):
    build(tmp_path / "coarse", 5, 3, make_atlas((20, 20, 20), spacing=7.0), workers=1)
    with pytest.raises(InputError, match="voxels of different sizes"):
        Pairs([anatomies[0], open_store(tmp_path / "coarse")], 2, TINY, SETTINGS)
