import json
import shutil
from itertools import pairwise

import numpy as np
import pytest

from gliodex.index import expectation_of
from gliodex.store import open_store

from ..retrieval.anatomy import STORE_SEED, STORE_TUMOURS, flip_byte, write_nifti
from .conftest import without_lock


@pytest.fixture
def copied_store(brain_store, tmp_path):
    return shutil.copytree(brain_store, tmp_path / "copy")


@pytest.fixture(scope="module")
def label_atlas(tmp_path_factory):
    """A folder with a tissues image: an ellipsoid brain on 4 mm voxels."""
    folder = tmp_path_factory.mktemp("ellipsoid")
    shape = (40, 44, 36)
    radius = np.linalg.norm((np.moveaxis(np.indices(shape), 0, -1) - [19.5, 21.5, 17.5]) / [18, 20, 16], axis=-1)
    tissues = np.select([radius < 0.7, radius < 0.9, radius < 1], [3, 2, 1], 0).astype(np.uint8)
    write_nifti(folder / "tissues.nii.gz", tissues, np.diag([4.0, 4.0, 4.0, 1.0]))
    return folder


def test_building_makes_a_store_with_its_index(gliodex, label_atlas, tmp_path):
    store = tmp_path / "new" / "store"
    arguments = ("build", store, "--workers", "1", "--atlas", label_atlas)
    ran = gliodex(*arguments, "--count", "1")
    assert (ran.code, ran.err.strip()) == (0, "")
    assert "1 tumours added" in ran.joined
    assert len(open_store(store)) == 1
    assert gliodex("verify", store, "--full").code == 0
    index = json.loads((store / "derived" / "dice" / "directory.json").read_text())
    assert len(index["directory"]["segments"]) == 1
    before = without_lock(store)
    again = gliodex(*arguments, "--count", "1")
    assert again.code == 0
    assert "nothing to do" in again.joined
    assert without_lock(store) == before


def test_building_again_does_nothing(gliodex, copied_store):
    before = without_lock(copied_store)
    ran = gliodex("build", copied_store, "--count", str(STORE_TUMOURS), "--seed", str(STORE_SEED))
    assert (ran.code, ran.err.strip()) == (0, "")
    assert "nothing to do" in ran.joined
    assert "24" in ran.joined
    assert without_lock(copied_store) == before


def test_a_smaller_count_does_nothing(gliodex, copied_store):
    before = without_lock(copied_store)
    ran = gliodex("build", copied_store, "--count", "5", "--seed", str(STORE_SEED))
    assert ran.code == 0
    assert "nothing to do" in ran.joined
    assert without_lock(copied_store) == before


def test_a_larger_count_extends_store_and_index(gliodex, copied_store):
    ran = gliodex("build", copied_store, "--count", "25", "--seed", str(STORE_SEED), "--workers", "1")
    assert ran.code == 0
    assert "1 tumours added" in ran.joined
    store = open_store(copied_store)
    assert len(store) == 25
    index = json.loads((copied_store / "derived" / "dice" / "directory.json").read_text())
    assert set(index["directory"]["segments"]) == {s.name for s in store.segments}


def test_snapshots_of_each_simulation_are_kept_too(gliodex, label_atlas, tmp_path):
    store = tmp_path / "store"
    arguments = ("build", store, "--workers", "1", "--atlas", label_atlas, "--seed", "2", "--snapshots", "2")
    ran = gliodex(*arguments, "--count", "4")
    assert (ran.code, ran.err.strip()) == (0, "")
    assert "4 tumours added" in ran.joined
    assert gliodex(*arguments, "--count", "7").code == 0
    grown = open_store(store)
    assert len(grown) == 7
    told = [grown.provenance(tumour) for tumour in grown.ids]
    assert [t["draw"] for t in told] == sorted(t["draw"] for t in told)
    assert {t["snapshot"] for t in told} == {0, 1, 2}
    days = [grown.parameters(tumour).duration for tumour in grown.ids]
    for (before, earlier), (after, later) in pairwise(zip(told, days, strict=True)):
        if before["draw"] == after["draw"]:
            assert after["snapshot"] == before["snapshot"] - 1
            assert earlier < later
    assert gliodex("verify", store, "--full").code == 0
    again = without_lock(store)
    assert "nothing to do" in gliodex(*arguments, "--count", "7").joined
    assert without_lock(store) == again


def test_other_snapshots_are_another_campaign(gliodex, snapshots_store):
    arguments = ("build", snapshots_store, "--count", "1", "--workers", "1")
    for snapshots in ((), ("--snapshots", "0"), ("--snapshots", "1")):
        assert gliodex(*arguments, *snapshots).code == 0
    campaigns = json.loads(gliodex("info", snapshots_store, "--json").out)["campaigns"]
    assert [(c["seed"], c["count"]) for c in campaigns.values()] == [(5, 12), (0, 1), (0, 1)]


def test_deleted_tumours_are_not_built_again(gliodex, copied_store):
    """What is expected of its matches is made anew, as the store has lost more than a tenth."""

    def kept():
        return {name: data for name, data in without_lock(copied_store).items() if "leave_one_out" not in name}

    assert gliodex("delete", copied_store, "0-9").code == 0
    before = kept()
    ran = gliodex("build", copied_store, "--count", str(STORE_TUMOURS), "--seed", str(STORE_SEED))
    assert ran.code == 0
    assert "nothing to do, the campaign has 24 tumours; it holds 14" in ran.joined
    assert kept() == before
    assert len(expectation_of(open_store(copied_store)).volumes_ml) == 14


@pytest.mark.parametrize("below", ["file", "file/store", "file/deep/store"])
def test_a_place_that_cannot_be_written_is_refused(gliodex, label_atlas, tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    ran = gliodex("build", tmp_path / below, "--count", "1", "--workers", "1", "--atlas", label_atlas)
    assert ran.code == 2
    assert str(tmp_path / "file") in ran.said
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_folder_of_something_else_is_refused(gliodex, label_atlas, tmp_path):
    (tmp_path / "photo.jpg").write_text("x")
    ran = gliodex("build", tmp_path, "--count", "1", "--atlas", label_atlas)
    assert ran.code == 2
    assert str(tmp_path) in ran.said
    assert "photo.jpg" in ran.said
    assert [p.name for p in tmp_path.iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize("kind", ["name", "empty folder", "no labels", "not NIfTI"])
def test_a_bad_atlas_is_refused(gliodex, tmp_path, kind):
    atlas = tmp_path / "atlas"
    if kind == "empty folder":
        atlas.mkdir()
    elif kind == "no labels":
        atlas = write_nifti(tmp_path / "atlas.nii", np.full((9, 9, 9), 7, np.uint8), np.eye(4))
    elif kind == "not NIfTI":
        atlas.write_text("hello")
    ran = gliodex("build", tmp_path / "store", "--count", "1", "--atlas", atlas)
    assert ran.code == 2
    assert str(atlas) in ran.said
    assert not (tmp_path / "store").exists()


def test_another_atlas_than_the_stores_is_refused(gliodex, copied_store, label_atlas):
    before = without_lock(copied_store)
    ran = gliodex("build", copied_store, "--count", "30", "--atlas", label_atlas)
    assert ran.code == 2
    assert "icbm152" in ran.said
    assert without_lock(copied_store) == before


def test_a_damaged_store_is_not_extended(gliodex, copied_store):
    path = copied_store / "manifests" / "00000002.json"
    flip_byte(path, path.stat().st_size // 2)
    before = without_lock(copied_store)
    ran = gliodex("build", copied_store, "--count", "30")
    assert ran.code == 2
    assert str(path) in ran.said
    assert without_lock(copied_store) == before


def test_a_damaged_index_says_how_to_mend_it(gliodex, copied_store):
    path = copied_store / "derived" / "dice" / "directory.json"
    flip_byte(path, 80)
    ran = gliodex("build", copied_store, "--count", str(STORE_TUMOURS), "--seed", str(STORE_SEED))
    assert ran.code == 2
    assert str(path) in ran.said
    assert "--rebuild" in ran.said
