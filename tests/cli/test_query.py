"""`gliodex query`: what it answers and writes."""

import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest

from gliodex.store import open_store

from ..retrieval.anatomy import RESULT_FILES, brats_labels, files_below, write_nifti
from .conftest import seg_like


def test_a_query_prints_the_answer_and_writes_it(ask, out):
    ran = ask("--labels", "brats")
    assert (ran.code, ran.err.strip()) == (0, "")
    assert {p.name for p in out.iterdir()} == RESULT_FILES
    record = json.loads((out / "matches.json").read_text())
    best = record["matches"][0]
    assert best["id"] == 3
    assert best["score"] > 1.98
    assert f"{best['score']:.3f}" in ran.out
    assert "tumour 3 of 5" in ran.joined


def test_a_query_without_index_makes_it(ask, small_store, out):
    shutil.rmtree(small_store / "derived", ignore_errors=True)
    assert ask(store=small_store).code == 0
    assert (small_store / "derived" / "dice" / "blocks.bin").is_file()


def test_a_query_changes_no_store(ask, indexed_store):
    before = files_below(indexed_store)
    ask()
    assert files_below(indexed_store) == before


def test_the_printed_path_of_the_report_can_be_copied(ask, out):
    assert str(out / "report.html") in ask().out.replace("\n", " ")


def test_a_folder_that_looks_like_markup_is_printed_as_it_is(ask, tmp_path):
    odd = tmp_path / "[red]out [/b]"
    ran = ask(to=odd)
    assert ran.code == 0, ran.err
    assert {p.name for p in odd.iterdir()} == RESULT_FILES
    assert "".join(str(odd).split()) in "".join(ran.out.split())


def test_labels_can_be_said(ask, out):
    assert ask("--core", "4", "--whole", "2,4").code == 0
    understood = json.loads((out / "matches.json").read_text())["understood"]
    assert (understood["core_labels"], understood["whole_labels"]) == ([4], [2, 4])


@pytest.mark.parametrize("none", ["none", "NONE", " none "])
def test_no_core_can_be_said(ask, out, none):
    ran = ask("--core", none)
    assert ran.code == 0
    assert "core mask is empty" in re.sub(r"\s+", " ", ran.err)
    assert json.loads((out / "matches.json").read_text())["understood"]["core_labels"] == []


def test_top_k_and_an_older_version(ask, indexed_store, out):
    assert ask("--top-k", "2", store=f"{indexed_store}@2").code == 0
    record = json.loads((out / "matches.json").read_text())
    assert len(record["matches"]) == 2
    assert record["store"]["version"] == 2
    assert {m["id"] for m in record["matches"]} <= {0, 1, 2}


@pytest.mark.parametrize("method", ["ds64", "ds32", "radiomics", "radiomics-standardised"])
def test_every_method_answers_and_candidates_can_be_reranked(ask, out, tmp_path, method):
    if "radiomics" in method:
        pytest.importorskip("radiomics", reason="pip install 'gliodex[radiomics]'")
    assert ask("--method", method).code == 0
    record = json.loads((out / "matches.json").read_text())
    assert record["settings"]["index"] == method
    assert record["settings"]["rerank"] == 0
    assert record["ranked_by"] == method
    assert f"matches are ranked by {method}" in (out / "report.html").read_text()
    reranked = tmp_path / "reranked"
    assert ask("--method", method, "--rerank", "50", to=reranked).code == 0
    again = json.loads((reranked / "matches.json").read_text())
    assert again["matches"][0]["id"] == 3
    assert again["ranked_by"] == "Dice"
    for match in again["matches"]:
        assert match["score"] == match["dice_core"] + match["dice_whole"]
    assert sorted(m["id"] for m in again["matches"]) == sorted(m["id"] for m in record["matches"])


def test_thresholds_are_found_and_told(ask, out, tmp_path):
    ran = ask("--thresholds", "search")
    assert ran.code == 0
    record = json.loads((out / "matches.json").read_text())
    assert record["settings"]["thresholds"] == "search"
    assert f"outlines at density whole {record['thresholds']['whole']:.3g}" in ran.joined
    density = nib.load(out / "density.nii.gz").get_fdata(dtype=np.float32)
    for name in ("core", "whole"):
        mask = nib.load(out / f"{name}.nii.gz").get_fdata() > 0
        np.testing.assert_array_equal(mask, density >= np.float32(record["thresholds"][name]))
    page = (out / "report.html").read_text()
    assert f"density ≥ {record['thresholds']['whole']:.3g}" in page
    fixed = tmp_path / "fixed"
    assert ask(to=fixed).code == 0
    told = json.loads((fixed / "matches.json").read_text())
    assert told["thresholds"] == {"core": 0.6, "whole": 0.2}
    assert told["patient_space"]["score"] <= record["patient_space"]["score"]


@pytest.mark.parametrize(("method", "engine"), [("ae", "flat"), ("ae", "ivf"), ("vae", "hnsw"), ("hash", "flat")])
def test_codes_of_encoders_answer_with_every_engine(ask, indexed_store, out, method, engine):
    pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")
    from ..index.encoders import make_encoder

    make_encoder(open_store(indexed_store), method)
    assert ask("--method", method, "--faiss-index", engine, "--rerank", "50").code == 0
    record = json.loads((out / "matches.json").read_text())
    assert record["matches"][0]["id"] == 3
    assert (record["settings"]["index"], record["settings"]["faiss_index"]) == (method, engine)


@pytest.mark.parametrize("measure", ["jaccard", "l2", "hausdorff", "bernoulli"])
def test_other_measures_rank_and_tell_dice_too(ask, out, measure):
    assert ask("--metric", measure).code == 0
    record = json.loads((out / "matches.json").read_text())
    assert record["settings"]["metric"] == measure
    assert record["ranked_by"] == measure
    assert f"matches are ranked by {measure}" in (out / "report.html").read_text()
    best, second = record["matches"][:2]
    assert best["id"] == (4 if measure == "bernoulli" else 3), "by the masks' voxels alone a larger tumour is better"
    assert second["score"] != second["dice_core"] + second["dice_whole"]


def test_matches_say_which_stage_of_which_simulation_they_are(ask, snapshots_store, snapshot_seg, out):
    assert ask(store=snapshots_store, seg=snapshot_seg).code == 0
    store = open_store(snapshots_store)
    record = json.loads((out / "matches.json").read_text())
    assert record["settings"]["one_per_simulation"] is False
    matches = record["matches"]
    assert (matches[0]["id"], matches[0]["score"]) == (4, 2.0)
    assert {m["id"] for m in matches[:3]} == {3, 4, 5}
    assert sorted(m["id"] for m in matches) == list(range(12))
    for match in matches:
        assert match["provenance"] == store.provenance(match["id"])
        assert match["parameters"]["duration"] == store.parameters(match["id"]).duration
    assert [m["provenance"]["snapshot"] for m in sorted(matches[:3], key=lambda m: m["id"])] == [2, 1, 0]


def test_distinct_matches_are_the_best_of_different_simulations(ask, snapshots_store, snapshot_seg, tmp_path):
    records = []
    for name, more in (("all", ()), ("distinct", ("--one-per-simulation",))):
        ran = ask("--labels", "brats", *more, store=snapshots_store, seg=snapshot_seg, to=tmp_path / name)
        assert (ran.code, ran.err.strip()) == (0, "")
        records.append(json.loads((tmp_path / name / "matches.json").read_text()))
    every, distinct = (r["matches"] for r in records)
    assert records[1]["settings"]["one_per_simulation"] is True
    best = {}
    for match in every:
        best.setdefault(match["provenance"]["draw"], match)
    assert 2 < len(best) < len(every)
    assert [m["id"] for m in distinct] == [m["id"] for m in best.values()]
    assert [m["rank"] for m in distinct] == list(range(1, len(best) + 1))
    unranked = [{k: v for k, v in m.items() if k != "rank"} for m in distinct]
    assert unranked == [{k: v for k, v in m.items() if k != "rank"} for m in best.values()]


def test_distinct_matches_are_as_many_as_asked_for(ask, snapshots_store, snapshot_seg, out):
    ran = ask("--one-per-simulation", "--top-k", "2", store=snapshots_store, seg=snapshot_seg)
    assert ran.code == 0
    matches = json.loads((out / "matches.json").read_text())["matches"]
    assert len({m["provenance"]["draw"] for m in matches}) == len(matches) == 2
    assert matches[0]["id"] == 4


def test_tumours_that_nobody_drew_are_all_distinct(ask, snapshots_store, snapshot_seg, gliodex, tmp_path, out):
    gliodex("export", snapshots_store, "4", "--out", tmp_path / "exported")
    for _ in range(2):
        twin = tmp_path / "exported" / "tumour_4.nii.gz"
        assert gliodex("add", snapshots_store, "--source", "s", "--density", twin).code == 0
    assert ask("--one-per-simulation", "--top-k", "3", store=snapshots_store, seg=snapshot_seg).code == 0
    assert [m["id"] for m in json.loads((out / "matches.json").read_text())["matches"]] == [4, 12, 13]


def test_deleted_tumours_are_no_matches(ask, indexed_store, gliodex, tmp_path):
    assert gliodex("delete", indexed_store, "3").code == 0
    for name, where, ids in (("new", indexed_store, {0, 1, 2, 4}), ("old", f"{indexed_store}@3", {0, 1, 2, 3, 4})):
        ran = ask(store=where, to=tmp_path / name)
        assert ran.code == 0
        record = json.loads((tmp_path / name / "matches.json").read_text())
        assert {m["id"] for m in record["matches"]} == ids
        assert record["store"]["tumours"] == len(ids)


@pytest.fixture
def store_of_unknowns(gliodex, indexed_store, small_seg, tmp_path):
    """Path of a store whose tumour 5, of unknown parameters, is the best match of the good segmentation."""
    image = nib.load(small_seg)
    labels = np.asarray(image.dataobj)
    density = np.select([labels == 4, labels == 2], [0.8, 0.3], 0.1 * (labels > 0)).astype(np.float32)
    path = write_nifti(tmp_path / "density.nii.gz", density, image.affine)
    assert gliodex("delete", indexed_store, "3").code == 0  # whose masks are the same
    assert gliodex("add", indexed_store, "--source", "a lab", "--density", path).code == 0
    return indexed_store


def test_a_match_of_unknown_parameters_is_reported_as_such(ask, store_of_unknowns, out):
    ran = ask("--labels", "brats", store=store_of_unknowns)
    assert (ran.code, ran.err.strip()) == (0, "")
    assert {p.name for p in out.iterdir()} == RESULT_FILES
    best, second = json.loads((out / "matches.json").read_text())["matches"][:2]
    assert (best["id"], best["score"], best["parameters"]) == (5, 2.0, None)
    assert best["provenance"] == {"kind": "added", "source": "a lab", "draw": -1, "snapshot": 0}
    assert second["parameters"]["diffusivity"] > 0
    page = (out / "report.html").read_text()
    assert page.count("not known") == 1
    row = page[: page.index("not known")].rsplit("<tr>", 1)[1]
    assert "<td>5</td>" in row
    image = nib.load(out / "density_atlas.nii.gz").get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(image, open_store(store_of_unknowns).density(5))


def test_the_printed_table_says_that_parameters_are_not_known(ask, store_of_unknowns):
    rows = [line.split() for line in ask(store=store_of_unknowns).out.splitlines()]
    (unknown,) = [row for row in rows if row[:2] == ["1", "5"]]
    assert unknown[2:5] == ["2.000", "1.000", "1.000"]
    assert set(unknown[5:]) in ({"nan"}, {"–"}, {"-"}, {"—"})
    assert len(unknown) == 8


def test_separate_masks(ask, small_seg, tmp_path, out):
    labels = nib.load(small_seg)
    data = np.asarray(labels.dataobj)
    core = write_nifti(tmp_path / "c.nii.gz", (data == 4).astype(np.uint8), labels.affine)
    whole = write_nifti(tmp_path / "w.nii.gz", (data > 0).astype(np.uint8), labels.affine)
    assert ask("--core-mask", core, "--whole-mask", whole, seg=None).code == 0
    assert json.loads((out / "matches.json").read_text())["matches"][0]["id"] == 3


def test_a_t1_is_registered_and_its_transform_kept(ask, small_atlas, small_seg, tmp_path):
    def moved(data, affine):
        affine[:3, 3] += (7, -12, 15)
        return data, affine

    seg = seg_like(small_seg, tmp_path / "moved_seg.nii.gz", moved)
    t1 = seg_like(small_seg, tmp_path / "moved_t1.nii.gz", lambda _, affine: moved(small_atlas.t1, affine))
    first, second = tmp_path / "first", tmp_path / "second"
    ran = ask("--labels", "brats", "--t1c", t1, "--registration", "affine", seg=seg, space=None, to=first)
    assert ran.code == 0, ran.err
    assert "the orientation of moved_t1.nii.gz is not certain" in ran.err  # an ellipsoid looks alike upside down
    assert {p.name for p in first.iterdir()} == RESULT_FILES | {"transform"}
    record = json.loads((first / "matches.json").read_text())
    assert record["matches"][0]["id"] == 3
    assert record["patient_space"]["score"] > 1.8
    ran = ask("--transform", first / "transform", seg=seg, space=None, to=second)
    assert ran.code == 0
    assert json.loads((second / "matches.json").read_text())["matches"] == record["matches"]
    image = nib.load(second / "density.nii.gz")
    np.testing.assert_array_equal(image.affine, nib.load(seg).affine)


@pytest.mark.parametrize("axis", range(3))
def test_a_single_slice_is_no_fault(ask, small_atlas, ball, tmp_path, axis):
    frame = small_atlas.frame
    middle = frame.world((np.array(frame.shape) - 1) / 2)
    labels = brats_labels(ball(frame, middle, 25.0))
    at = [slice(None)] * 3
    at[axis] = slice(frame.shape[axis] // 2, frame.shape[axis] // 2 + 1)
    affine = frame.affine.copy()
    affine[:3, 3] = frame.world([s.start or 0 for s in at])
    affine[axis, axis] = 8.0
    seg = write_nifti(tmp_path / "slice.nii.gz", labels[tuple(at)], affine)
    assert ask(seg=seg).code in (0, 2)


def test_a_tumour_unlike_any_other_is_said(ask, small_seg, tmp_path):
    def corner(data, affine):
        data[:] = 0
        data[20:23, 5:8, 15:18] = 4
        return data, affine

    ran = ask("--core", "4", seg=seg_like(small_seg, tmp_path / "far.nii.gz", corner))
    assert ran.code == 0
    assert "warning: no stored tumour overlaps the patient" in ran.err
