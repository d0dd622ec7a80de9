import json
import math

import nibabel as nib
import numpy as np
import pytest

from gliodex.index import DiceIndex
from gliodex.retrieval import AffineMap, Segmentation, personalize_with
from gliodex.retrieval.imaging.patient import Patient
from gliodex.retrieval.outputs import DISCLAIMER, as_record, write_images, write_record
from gliodex.store import open_store
from gliodex.store.nifti import load_image

from .anatomy import LPS_AXES, around


@pytest.fixture
def store(small_store):
    return open_store(small_store)


@pytest.fixture
def answered(store):
    """Tumour 3, segmented on a grid of its own."""

    def ask(grid):
        density = grid.resample(store.density(3), store.frame)
        segmentation = Segmentation(density >= 0.6, density >= 0.2, grid, {"segmentation": "seg.nii.gz"})
        return personalize_with(
            store, DiceIndex.open(store), Patient(segmentation, AffineMap(np.eye(4), {"kind": "identity"})), top_k=3
        )

    return ask


def grid_of(store, axes=LPS_AXES):
    middle = store.frame.world(np.argwhere(store.density(3) > 0)).mean(0)
    return around(middle, axes, (2.0, 1.5, 3.0), (90, 90, 90))


def test_images_have_the_segmentations_shape_and_affine(store, answered, tmp_path):
    grid = grid_of(store)
    found = answered(grid)
    write_images(found, store, tmp_path)
    for name, dtype in (("density", np.float32), ("core", np.uint8), ("whole", np.uint8)):
        image = nib.load(tmp_path / f"{name}.nii.gz")
        assert image.shape == grid.shape
        assert image.get_data_dtype() == dtype
        np.testing.assert_allclose(image.affine, grid.affine, atol=1e-4)
        assert image.header.get_xyzt_units()[0] == "mm"
        sform, qform = image.header.get_sform(coded=True), image.header.get_qform(coded=True)
        assert sform[1] > 0
        assert qform[1] > 0
        np.testing.assert_allclose(sform[0], qform[0], atol=1e-3)
    np.testing.assert_array_equal(nib.load(tmp_path / "density.nii.gz").get_fdata(dtype=np.float32), found.density)
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "core.nii.gz").dataobj), found.core)
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "whole.nii.gz").dataobj), found.whole)
    atlas = nib.load(tmp_path / "density_atlas.nii.gz")
    np.testing.assert_array_equal(atlas.get_fdata(dtype=np.float32), store.density(3))
    np.testing.assert_allclose(atlas.affine, store.frame.affine, atol=1e-4)


def test_images_on_a_sheared_grid_can_be_read_back(store, answered, tmp_path):
    axes = LPS_AXES.copy()
    axes[0, 2] = 0.3
    grid = grid_of(store, axes)
    assert grid.shears
    write_images(answered(grid), store, tmp_path)
    np.testing.assert_allclose(load_image(tmp_path / "density.nii.gz").frame.affine, grid.affine, atol=1e-3)


def test_the_record_says_everything(store, answered):
    found = answered(grid_of(store))
    record = as_record(found, store, {"index": "dice", "top_k": 3}, {"read": 0.12345, "search": 1.0})
    assert record == json.loads(json.dumps(record)), "plain values only"
    assert record["notice"] == DISCLAIMER
    assert record["store"]["version"] == store.version
    assert record["store"]["tumours"] == 5
    assert record["store"]["thresholds"] == {"whole": 0.2, "core": 0.6}
    assert record["settings"]["index"] == "dice"
    assert record["settings"]["top_k"] == 3
    assert record["seconds"] == {"read": 0.123, "search": 1.0}
    assert record["outside_brain"] == {"whole_ml": 0.0, "share": 0.0}
    assert record["understood"] == {"segmentation": "seg.nii.gz"}
    assert record["transform"]["kind"] == "identity"
    assert [m["rank"] for m in record["matches"]] == [1, 2, 3]
    assert record["matches"][0]["id"] == 3
    for match in record["matches"]:
        assert match["score"] == pytest.approx(match["dice_core"] + match["dice_whole"])
        stored = store.parameters(match["id"])
        p = match["parameters"]
        assert (p["diffusivity"], p["proliferation"], p["duration"]) == (
            stored.diffusivity,
            stored.proliferation,
            stored.duration,
        )
        assert p["seed_mm"] == list(stored.seed_mm)
        assert p["mu1_mm"] == pytest.approx(math.sqrt(stored.diffusivity * stored.duration))
        assert p["mu2"] == pytest.approx(math.sqrt(stored.proliferation * stored.duration))
        assert set(p) == set(record["units"])
    scores = [m["score"] for m in record["matches"]]
    assert scores == sorted(scores, reverse=True)
    assert record["units"]["diffusivity"] == "mm^2/day"


def test_the_written_record_is_the_record(tmp_path):
    record = {"matches": [{"rank": 1}], "notice": "größer"}
    write_record(record, tmp_path)
    assert json.loads((tmp_path / "matches.json").read_text()) == record
