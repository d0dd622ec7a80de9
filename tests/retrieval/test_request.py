import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from gliodex.errors import GliodexError, InputError
from gliodex.retrieval import QueryRequest, run_query, space_map

from .anatomy import (
    GRID_NAMES,
    LPS_AXES,
    RESULT_FILES,
    SAME_VOXELS,
    around,
    brats_labels,
    centre_of_mass,
    files_below,
    grids_around,
    in_patient,
    points_of,
    sampled,
    write_nifti,
)


@pytest.fixture(scope="module", params=GRID_NAMES)
def oriented(request, brain_store, right_tumour, tmp_path_factory):
    """The same tumour drawn on one grid after the other, and queried: grid's name, segmentation, answer, out."""
    folder = tmp_path_factory.mktemp(request.param)
    stored = brain_store.density(right_tumour)
    centre = centre_of_mass(stored, brain_store.frame.affine)
    grid = grids_around(brain_store.frame, centre)[request.param]
    density = sampled(stored, brain_store.frame.affine, points_of(grid.shape, grid.affine))
    seg = write_nifti(folder / "seg.nii.gz", brats_labels(density.astype(np.float32)), grid.affine)
    answer, _ = run_query(QueryRequest(str(brain_store.path), folder / "out", seg=seg, space="atlas"))
    return request.param, seg, answer, folder / "out"


def test_every_orientation_has_the_same_best_match(oriented, right_tumour):
    name, _, answer, _ = oriented
    assert answer.hits.ids[0] == right_tumour
    assert answer.hits.scores[0] > (1.99 if name in SAME_VOXELS else 1.9)
    assert answer.dice["score"] > (1.9999 if name in SAME_VOXELS else 1.9)


def test_a_grid_of_the_atlass_voxels_is_searched_as_it_is(oriented, brain_store, right_tumour):
    name, _, answer, _ = oriented
    if name in SAME_VOXELS:
        stored = brain_store.density(right_tumour)
        np.testing.assert_array_equal(answer.whole_atlas, stored >= np.float32(0.2))
        np.testing.assert_array_equal(answer.core_atlas, stored >= np.float32(0.6))
        assert answer.hits.scores[0] == 2.0
    else:
        assert answer.volumes_ml["atlas"]["whole"] == pytest.approx(answer.volumes_ml["patient"]["whole"], rel=0.05)


def test_images_have_exactly_the_segmentations_grid(oriented):
    _, seg, _, out = oriented
    expected = nib.load(seg)
    for name in ("density", "core", "whole"):
        image = nib.load(out / f"{name}.nii.gz")
        assert image.shape == expected.shape
        np.testing.assert_array_equal(image.affine, expected.affine)


def test_densities_agree_in_the_world(oriented, brain_store, right_tumour):
    name, _, _, out = oriented
    image = nib.load(out / "density.nii.gz")
    stored = brain_store.density(right_tumour)
    there = sampled(stored, brain_store.frame.affine, points_of(image.shape, image.affine))
    np.testing.assert_allclose(image.get_fdata(), there, atol=2e-3)
    back = sampled(image.get_fdata(), image.affine, points_of(brain_store.frame.shape, brain_store.frame.affine))
    counted = stored > 0.05
    assert np.abs(back - stored)[counted].mean() < (1e-3 if name in SAME_VOXELS else 0.03)
    assert np.corrcoef(back[counted], stored[counted])[0, 1] > 0.98


def test_left_is_left(oriented, brain_store, right_tumour):
    _, _, _, out = oriented
    expected = centre_of_mass(brain_store.density(right_tumour), brain_store.frame.affine)
    assert expected[0] > 10
    for name, limit in (("density", 0.5), ("whole", 3.0), ("core", 4.0)):
        image = nib.load(out / f"{name}.nii.gz")
        found = centre_of_mass(image.get_fdata(), image.affine)
        assert found[0] > 0
        assert np.linalg.norm(found - expected) < limit


def test_brats_cases_come_through_sri24(brain_store, right_tumour, tmp_path):
    stored = brain_store.density(right_tumour)
    matrix = space_map("sri24", brain_store.atlas).patient_from_atlas
    centre = in_patient(centre_of_mass(stored, brain_store.frame.affine), matrix)
    grid = around(np.round(centre), LPS_AXES, (1, 1, 1), (120, 120, 120))
    points = in_patient(points_of(grid.shape, grid.affine), np.linalg.inv(matrix))
    labels = brats_labels(sampled(stored, brain_store.frame.affine, points))
    seg = write_nifti(tmp_path / "seg.nii.gz", labels, grid.affine)
    answer, record = run_query(QueryRequest(str(brain_store.path), tmp_path / "out", seg=seg, space="sri24"))
    assert answer.hits.ids[0] == right_tumour
    assert answer.hits.scores[0] > 1.9
    assert answer.dice["score"] > 1.95
    assert record["transform"]["space"] == "sri24"
    image = nib.load(tmp_path / "out" / "density.nii.gz")
    np.testing.assert_allclose(centre_of_mass(image.get_fdata(), image.affine), centre, atol=1.0)


def test_exactly_the_documented_files_are_written(asked):
    assert {p.name for p in asked.out.iterdir()} == RESULT_FILES


def test_the_matches_file_holds_what_was_returned(asked):
    assert json.loads((asked.out / "matches.json").read_text()) == asked.record


def test_the_matches_file_has_the_documented_fields(asked, brain_store):
    record = asked.record
    assert record["store"]["version"] == brain_store.version
    assert record["store"]["tumours"] == 24
    assert record["store"]["atlas"] == "icbm152"
    assert record["settings"] == {
        "index": "dice",
        "metric": "dice",
        "faiss_index": "flat",
        "device": "cpu",
        "rerank": 0,
        "thresholds": "fixed",
        "top_k": 7,
        "one_per_simulation": False,
        "include_folded": False,
        "refine": "none",
    }
    assert record["matches"][0]["thresholds"] == {"core": 0.6, "whole": 0.2}
    assert list(record["seconds"]) == [
        "read",
        "registration",
        "open index",
        "masks to atlas",
        "search",
        "density to patient",
        "ensemble",
        "judgement",
        "write images",
        "report",
    ]
    assert all(seconds >= 0 for seconds in record["seconds"].values())
    assert record["outside_brain"]["whole_ml"] >= 0
    assert 0 <= record["outside_brain"]["share"] <= 1
    assert record["matches"][0]["id"] == asked.tumour
    assert [m["rank"] for m in record["matches"]] == list(range(1, 8))
    for match in record["matches"]:
        assert match["score"] == pytest.approx(match["dice_core"] + match["dice_whole"])
        assert set(match["parameters"]) == set(record["units"])
        assert match["provenance"]["kind"] == "prior"
    assert record["units"] == {
        "seed_mm": "mm",
        "diffusivity": "mm^2/day",
        "proliferation": "1/day",
        "duration": "day",
        "mass_effect": "Pa",
        "mu1_mm": "mm",
        "mu2": "1",
    }


def test_dice_of_the_written_images_is_the_reported_one(oriented):
    _, seg, answer, out = oriented
    labels = np.asarray(nib.load(seg).dataobj)
    for name, patient in (("core", labels == 4), ("whole", labels > 0)):
        model = np.asarray(nib.load(out / f"{name}.nii.gz").dataobj) > 0
        expected = 2 * (model & patient).sum() / (model.sum() + patient.sum())
        record = json.loads((out / "matches.json").read_text())
        assert record["patient_space"][name] == answer.dice[name] == pytest.approx(expected, abs=1e-12)


def test_written_masks_are_the_thresholded_density(oriented):
    _, _, _, out = oriented
    density = nib.load(out / "density.nii.gz").get_fdata(dtype=np.float32)
    assert density.min() >= 0
    assert density.max() <= 1
    for name, level in (("core", 0.6), ("whole", 0.2)):
        mask = np.asarray(nib.load(out / f"{name}.nii.gz").dataobj)
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, density >= np.float32(level))


def test_the_atlas_density_is_the_stored_one(asked, brain_store):
    image = nib.load(asked.out / "density_atlas.nii.gz")
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), brain_store.density(asked.tumour))
    np.testing.assert_allclose(image.affine, brain_store.frame.affine)


def test_separate_masks_give_what_labels_give(asked, tmp_path):
    labels = nib.load(asked.request.seg)
    data = np.asarray(labels.dataobj)
    core = write_nifti(tmp_path / "c.nii", (data == 4).astype(np.uint8), labels.affine)
    whole = write_nifti(tmp_path / "w.nii", (data > 0).astype(np.uint8), labels.affine)
    request = replace(asked.request, seg=None, core_mask=core, whole_mask=whole, out=tmp_path / "out")
    answer, record = run_query(request)
    np.testing.assert_array_equal(answer.hits.scores, asked.answer.hits.scores)
    np.testing.assert_array_equal(answer.density, asked.answer.density)
    assert record["understood"] == {"core_mask": str(core), "whole_mask": str(whole)}


def test_an_older_version_can_be_asked(asked, brain_store, tmp_path):
    request = replace(asked.request, store=f"{brain_store.path}@{brain_store.version}", out=tmp_path / "out")
    assert run_query(request)[1]["store"]["version"] == brain_store.version


def test_file_names_are_escaped_in_the_report(asked, tmp_path):
    seg = tmp_path / "<b>größe & co.nii.gz"
    seg.write_bytes(Path(asked.request.seg).read_bytes())
    run_query(replace(asked.request, seg=seg, out=tmp_path / "out"))
    html = (tmp_path / "out" / "report.html").read_text()
    assert "&lt;b&gt;größe &amp; co.nii.gz" in html
    assert "<b>größe" not in html


def test_every_stage_is_announced(asked, tmp_path):
    said = []
    run_query(replace(asked.request, out=tmp_path / "out"), said.append)
    assert said == list(asked.record["seconds"])


def test_a_second_query_replaces_the_first(asked, tmp_path):
    first = replace(asked.request, out=tmp_path / "out", top_k=3)
    run_query(first)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    run_query(replace(first, top_k=2))
    assert len(json.loads((tmp_path / "out" / "matches.json").read_text())["matches"]) == 2
    assert {p.name for p in (tmp_path / "out").iterdir()} == RESULT_FILES | {"notes.txt"}


@pytest.fixture(scope="module")
def registered(brain_store, patient_files, tmp_path_factory):
    """A query with a T1: request, answer and record."""
    t1, seg = patient_files
    out = tmp_path_factory.mktemp("registered") / "out"
    request = QueryRequest(str(brain_store.path), out, seg=seg, t1=t1, registration="affine")
    return request, *run_query(request)


def test_a_patient_with_a_t1_gets_his_tumour(registered, right_tumour, patient_files, brain_store):
    request, answer, record = registered
    assert answer.hits.ids[0] == right_tumour
    assert answer.hits.scores[0] > 1.85
    assert record["settings"]["registration"] == "affine"
    assert record["transform"]["method"] == "affine"
    image = nib.load(request.out / "density.nii.gz")
    expected = in_patient(centre_of_mass(brain_store.density(right_tumour), brain_store.frame.affine))
    np.testing.assert_allclose(centre_of_mass(image.get_fdata(), image.affine), expected, atol=2.0)
    assert {p.name for p in request.out.iterdir()} == RESULT_FILES | {"transform"}
    assert "t1.nii.gz" in (request.out / "report.html").read_text()


def test_a_kept_transform_repeats_the_query(registered, tmp_path):
    request, answer, _ = registered
    again, record = run_query(replace(request, t1=None, transform=request.out / "transform", out=tmp_path / "again"))
    np.testing.assert_array_equal(again.density, answer.density)
    np.testing.assert_array_equal(again.hits.scores, answer.hits.scores)
    assert record["transform"]["method"] == "affine"
    assert {p.name for p in (tmp_path / "again").iterdir()} == RESULT_FILES


def test_the_returned_correspondence_can_be_used(registered, brain_store):
    _, answer, _ = registered
    again = answer.spatial.to_patient(answer.density_atlas, brain_store.frame, answer.segmentation.frame)
    np.testing.assert_allclose(np.clip(again, 0, 1), answer.density, atol=1e-6)


BAD = {
    "no segmentation": ({"seg": None}, "seg"),
    "segmentation and masks": ({"core_mask": Path("c"), "whole_mask": Path("w")}, "seg"),
    "segmentation and one mask": ({"core_mask": Path("c")}, "seg"),
    "core mask alone": ({"seg": None, "core_mask": Path("c")}, "whole_mask"),
    "whole mask alone": ({"seg": None, "whole_mask": Path("w")}, "core_mask"),
    "labels of masks": (
        {"seg": None, "core_mask": Path("c"), "whole_mask": Path("w"), "core_labels": (1,)},
        "core_labels",
    ),
    "no way to the atlas": ({"space": None}, "space"),
    "two ways to the atlas": ({"t1": Path("t1")}, "t1"),
    "three ways to the atlas": ({"t1": Path("t1"), "transform": Path("t")}, "transform"),
    "no matches": ({"top_k": 0}, "top_k"),
    "negative matches": ({"top_k": -3}, "top_k"),
    "no threads": ({"threads": 0}, "threads"),
    "negative seed": ({"registration_seed": -1}, "registration_seed"),
}


@pytest.mark.parametrize("name", BAD)
def test_contradictory_requests_are_refused(asked, tmp_path, name):
    changes, option = BAD[name]
    with pytest.raises(InputError) as caught:
        run_query(replace(asked.request, out=tmp_path / "out", **changes))
    assert option in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_fault_in_the_middle_leaves_nothing(asked, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("fault")

    monkeypatch.setattr("gliodex.retrieval.query.as_record", fail)
    with pytest.raises(RuntimeError, match="fault"):
        run_query(replace(asked.request, out=tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_refused_query_leaves_older_results(asked, tmp_path):
    out = tmp_path / "out"
    run_query(replace(asked.request, out=out))
    before = files_below(out)
    labels = nib.load(asked.request.seg)
    far = labels.affine.copy()
    far[:3, 3] += 900
    seg = write_nifti(tmp_path / "far.nii", np.asarray(labels.dataobj), far)
    with pytest.raises(GliodexError):
        run_query(replace(asked.request, seg=seg, out=out))
    assert files_below(out) == before
