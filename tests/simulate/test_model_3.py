"""A store of fisher-kolmogorov 3, which is searched and refined but not continued: version 4 differs by rounding."""

import tarfile
from pathlib import Path

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.index import open_retriever
from gliodex.simulate import build, model_of
from gliodex.store import open_store, verify
from gliodex.store.quantization import LEVELS

ARCHIVE = Path(__file__).parents[1] / "store" / "stores" / "model_3.tar.xz"


@pytest.fixture
def old(tmp_path):
    """Path of the store, unpacked: 8 tumours of one campaign in an ellipsoid."""
    path = tmp_path / "model-3"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(path, filter="data")
    return path


def files_of(path):
    return {p: p.read_bytes() for p in path.rglob("*") if p.is_file() and p.name != "lock"}


def test_it_opens_and_is_sound(old):
    store = open_store(old)
    assert (store.manifest.model["model"], len(store), store.version) == ("fisher-kolmogorov 3", 8, 2)
    assert verify(store, full=True) == []


def test_each_of_its_tumours_is_found(old):
    store = open_store(old)
    retriever = open_retriever(store)
    for tumour in store.ids.tolist():
        density = store.density(tumour)
        masks = [density >= np.float32(store.thresholds[name]) for name in ("core", "whole")]
        hits = retriever.search(*masks, 1)
        assert (hits.ids[0], hits.dice_core[0] + hits.dice_whole[0]) == (tumour, 2.0)


def test_its_tumours_are_simulated_again_to_rounding(old):
    store = open_store(old)
    model = model_of(store, "")
    for tumour in store.ids.tolist():
        again = np.asarray(model(store.parameters(tumour)), np.float64)
        np.testing.assert_allclose(again, store.density(tumour), rtol=0, atol=1.6 / LEVELS)


def test_its_campaign_is_not_gone_on_with(old):
    before = files_of(old)
    with pytest.raises(InputError, match="growth model fisher-kolmogorov 3, not with fisher-kolmogorov 4"):
        build(old, 9, 0, open_store(old).atlas, workers=1)
    assert files_of(old) == before
