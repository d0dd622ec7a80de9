import gzip
import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest

from gliodex.cli.query import Measure
from gliodex.index import MEASURES, RANKINGS
from gliodex.store import open_store

from ..retrieval.anatomy import RESULT_FILES, brats_labels, files_below, flip_byte, shard_of, write_nifti


@pytest.fixture
def out(tmp_path):
    return tmp_path / "results" / "out"


@pytest.fixture
def ask(gliodex, indexed_store, small_seg, out):
    """Query the small store with a good segmentation in atlas space, unless said otherwise."""

    def run(*more, store=None, seg=small_seg, space="atlas", to=out):
        arguments = ["query", store or indexed_store, "--out", to]
        arguments += ["--seg", seg] if seg else []
        arguments += ["--space", space] if space else []
        return gliodex(*arguments, *more)

    return run


def refused(ran, out, *named):
    """Exit code 2, one line that names what is wrong, and nothing left behind."""
    assert ran.code == 2, ran.err
    for name in named:
        assert str(name) in ran.said
    assert ran.said.startswith("error: ")
    assert len(ran.said) < 700
    assert ran.out == ""
    assert not out.exists()


def test_a_query_prints_the_answer_and_writes_it(ask, out):
    ran = ask()
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
    assert record["method"] == method
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
    assert ask("--method", method, "--engine", engine, "--rerank", "50").code == 0
    record = json.loads((out / "matches.json").read_text())
    assert record["matches"][0]["id"] == 3
    assert (record["method"], record["settings"]["engine"]) == (method, engine)


@pytest.mark.parametrize("measure", ["jaccard", "l2", "hausdorff", "bernoulli"])
def test_other_measures_rank_and_tell_dice_too(ask, out, measure):
    assert {*MEASURES, *RANKINGS} == {each.value for each in Measure}
    assert ask("--measure", measure).code == 0
    record = json.loads((out / "matches.json").read_text())
    assert record["settings"]["measure"] == measure
    assert record["ranked_by"] == measure
    assert f"matches are ranked by {measure}" in (out / "report.html").read_text()
    best, second = record["matches"][:2]
    assert best["id"] == (4 if measure == "bernoulli" else 3), "by the masks' voxels alone a larger tumour is better"
    assert second["score"] != second["dice_core"] + second["dice_whole"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--thresholds", "search", "--method", "ds64"), "thresholds are searched by exact Dice"),
        (("--thresholds", "search", "--scheduler", "tcp://127.0.0.1:1"), "a cluster searches by exact Dice alone"),
        (("--method", "ds64", "--scheduler", "tcp://127.0.0.1:1"), "a cluster searches by exact Dice alone"),
        (("--measure", "bernoulli", "--scheduler", "tcp://127.0.0.1:1"), "a cluster searches by exact Dice alone"),
        (("--method", "vae"), "gliodex train vae"),
        (("--engine", "ivf"), "--engine ivf is one of ae and vae"),
        (("--device", "cuda"), "--device cuda is for ae, vae, hash"),
        (("--method", "ae", "--engine", "hnsw", "--device", "cuda"), "no graphs on a GPU"),
        (("--rerank", "-1", "--method", "ds64"), "--rerank must not be negative"),
        (("--measure", "l2", "--method", "ds64"), "--measure l2 is one of exact search"),
        (("--measure", "l2", "--thresholds", "search"), "thresholds are searched by Dice"),
    ],
)
def test_ways_of_searching_that_do_not_go_together_are_refused(ask, out, options, said):
    refused(ask(*options), out, said)


@pytest.fixture
def snapshot_seg(snapshots_store, tmp_path):
    """Labels of tumour 4 of the store with snapshots, the middle one of three of its simulation."""
    store = open_store(snapshots_store)
    assert [store.provenance(t)["snapshot"] for t in (3, 4, 5)] == [2, 1, 0]
    assert len({store.provenance(t)["draw"] for t in (3, 4, 5)}) == 1
    return write_nifti(tmp_path / "snapshot.nii.gz", brats_labels(store.density(4)), store.frame.affine)


def test_matches_say_which_stage_of_which_simulation_they_are(ask, snapshots_store, snapshot_seg, out):
    assert ask(store=snapshots_store, seg=snapshot_seg).code == 0
    store = open_store(snapshots_store)
    record = json.loads((out / "matches.json").read_text())
    assert record["settings"]["distinct"] is False
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
    for name, more in (("all", ()), ("distinct", ("--distinct",))):
        ran = ask(*more, store=snapshots_store, seg=snapshot_seg, to=tmp_path / name)
        assert (ran.code, ran.err.strip()) == (0, "")
        records.append(json.loads((tmp_path / name / "matches.json").read_text()))
    every, distinct = (r["matches"] for r in records)
    assert records[1]["settings"]["distinct"] is True
    best = {}
    for match in every:
        best.setdefault(match["provenance"]["draw"], match)
    assert 2 < len(best) < len(every)
    assert [m["id"] for m in distinct] == [m["id"] for m in best.values()]
    assert [m["rank"] for m in distinct] == list(range(1, len(best) + 1))
    unranked = [{k: v for k, v in m.items() if k != "rank"} for m in distinct]
    assert unranked == [{k: v for k, v in m.items() if k != "rank"} for m in best.values()]


def test_distinct_matches_are_as_many_as_asked_for(ask, snapshots_store, snapshot_seg, out):
    ran = ask("--distinct", "--top-k", "2", store=snapshots_store, seg=snapshot_seg)
    assert ran.code == 0
    matches = json.loads((out / "matches.json").read_text())["matches"]
    assert len({m["provenance"]["draw"] for m in matches}) == len(matches) == 2
    assert matches[0]["id"] == 4


def test_tumours_that_nobody_drew_are_all_distinct(ask, snapshots_store, snapshot_seg, gliodex, tmp_path, out):
    gliodex("export", snapshots_store, "4", "--out", tmp_path / "exported")
    for _ in range(2):
        twin = tmp_path / "exported" / "tumour_4.nii.gz"
        assert gliodex("add", snapshots_store, "--source", "s", "--density", twin).code == 0
    assert ask("--distinct", "--top-k", "3", store=snapshots_store, seg=snapshot_seg).code == 0
    assert [m["id"] for m in json.loads((out / "matches.json").read_text())["matches"]] == [4, 12, 13]


def test_deleted_tumours_are_no_matches(ask, indexed_store, gliodex, tmp_path):
    assert gliodex("delete", indexed_store, "3").code == 0
    for name, where, ids in (("new", indexed_store, {0, 1, 2, 4}), ("old", f"{indexed_store}@3", {0, 1, 2, 3, 4})):
        ran = ask(store=where, to=tmp_path / name)
        assert ran.code == 0
        record = json.loads((tmp_path / name / "matches.json").read_text())
        assert {m["id"] for m in record["matches"]} == ids
        assert record["store"]["tumours"] == len(ids)


def test_a_store_whose_tumours_are_all_deleted_is_refused(ask, indexed_store, gliodex, out):
    gliodex("delete", indexed_store, "0-4")
    refused(ask(), out, indexed_store, "holds no tumours")


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
    ran = ask(store=store_of_unknowns)
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
    ran = ask("--t1c", t1, "--registration", "affine", seg=seg, space=None, to=first)
    assert (ran.code, ran.err.strip()) == (0, "")
    assert {p.name for p in first.iterdir()} == RESULT_FILES | {"transform"}
    record = json.loads((first / "matches.json").read_text())
    assert record["matches"][0]["id"] == 3
    assert record["patient_space"]["score"] > 1.8
    ran = ask("--transform", first / "transform", seg=seg, space=None, to=second)
    assert ran.code == 0
    assert json.loads((second / "matches.json").read_text())["matches"] == record["matches"]
    image = nib.load(second / "density.nii.gz")
    np.testing.assert_array_equal(image.affine, nib.load(seg).affine)


def seg_like(small_seg, path, change):
    """The good segmentation, changed and written elsewhere."""
    image = nib.load(small_seg)
    data, affine = change(np.asarray(image.dataobj).copy(), image.affine.copy())
    return write_nifti(path, data, affine)


def set_values(count, value, dtype):
    def change(data, affine):
        data = data.astype(dtype)
        data.reshape(-1)[:count] = value
        return data, affine

    return change


def shifted(data, affine):
    affine[:3, 3] += (0, 900, 0)
    return data, affine


CHANGED = {
    "empty": lambda d, a: (0 * d, a),
    "four-dimensional": lambda d, a: (np.stack([d, d], -1), a),
    "fractions": set_values(3, 1.5, np.float32),
    "not a number": set_values(1, np.nan, np.float32),
    "infinite": set_values(1, np.inf, np.float32),
    "strange labels": set_values(5, 7, np.uint8),
    "complex": lambda d, a: (d.astype(np.complex64), a),
    "negative labels": set_values(5, -1, np.int16),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_segmentation_that_cannot_be_used_is_refused(ask, small_seg, tmp_path, out, name):
    bad = seg_like(small_seg, tmp_path / "bad.nii.gz", CHANGED[name])
    refused(ask(seg=bad), out, bad)


def test_a_tumour_outside_the_brain_is_refused(ask, small_seg, tmp_path, out):
    refused(ask(seg=seg_like(small_seg, tmp_path / "bad.nii.gz", shifted)), out, "--space", "outside")


def damaged_file(kind, small_seg, path):
    """A path at which there is no readable segmentation."""
    mask = seg_like(small_seg, path.with_name("mask.nii.gz"), lambda d, a: ((d > 0).astype(np.uint8), a))
    whole = mask.read_bytes()
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("not an image")
    elif kind == "empty file":
        path.write_bytes(b"")
    elif kind == "gzip of text":
        path.write_bytes(gzip.compress(b"not an image" * 100))
    elif kind == "truncated":
        path.write_bytes(whole[: len(whole) * 2 // 3])
    elif kind == "truncated in the header":
        path.write_bytes(whole[:60])
    elif kind == "wrong checksum":
        path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 0xFF]) + whole[-5:])
    elif kind == "wrong byte":
        path.write_bytes(
            whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 0xFF]) + whole[len(whole) // 2 + 1 :]
        )


@pytest.mark.parametrize(
    "kind",
    [
        "nothing",
        "folder",
        "text",
        "empty file",
        "gzip of text",
        "truncated",
        "truncated in the header",
        "wrong byte",
        "wrong checksum",
    ],
)
@pytest.mark.parametrize("option", ["--seg", "--t1", "--whole-mask"])
def test_a_file_that_cannot_be_read_is_refused(ask, small_seg, tmp_path, out, kind, option):
    bad = tmp_path / "bad.nii.gz"
    damaged_file(kind, small_seg, bad)
    if option == "--seg":
        ran = ask("--core", "none", seg=bad)
    elif option == "--t1":
        ran = ask("--t1", bad, space=None)
    else:
        core = seg_like(small_seg, tmp_path / "core.nii.gz", lambda d, a: ((d == 4).astype(np.uint8), a))
        ran = ask("--core-mask", core, "--whole-mask", bad, seg=None)
    refused(ran, out, bad)


def test_an_uncompressed_file_cut_short_is_refused(ask, small_seg, tmp_path, out):
    bad = tmp_path / "bad.nii"
    nib.save(nib.load(small_seg), bad)
    bad.write_bytes(bad.read_bytes()[:-1000])
    refused(ask(seg=bad), out, bad)


def test_another_format_is_refused(ask, small_seg, tmp_path, out):
    image = nib.load(small_seg)
    bad = tmp_path / "bad.mgz"
    nib.save(nib.MGHImage(np.asarray(image.dataobj), image.affine), bad)
    refused(ask(seg=bad), out, bad, "NIfTI")


def test_disagreeing_orientations_are_refused(ask, small_seg, tmp_path, out):
    image = nib.load(small_seg)
    image.set_sform(image.affine @ np.diag([-1, 1, 1, 1]), 1)
    image.set_qform(nib.load(small_seg).affine, 1)
    bad = tmp_path / "bad.nii.gz"
    nib.save(image, bad)
    refused(ask(seg=bad), out, bad, "sform")


def test_no_orientation_is_refused(ask, small_seg, tmp_path, out):
    image = nib.load(small_seg)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    bad = tmp_path / "bad.nii.gz"
    nib.save(image, bad)
    refused(ask(seg=bad), out, bad, "orientation")


def test_a_t1_elsewhere_in_the_world_is_refused(ask, small_seg, tmp_path, out):
    def bright(data, affine):
        affine[:3, 3] += (0, 900, 0)
        return np.random.default_rng(0).random(data.shape, np.float32), affine

    t1 = seg_like(small_seg, tmp_path / "t1.nii.gz", bright)
    refused(ask("--t1", t1, space=None), out, t1, "0% of the tumour")


def test_a_constant_t1_is_refused(ask, small_seg, tmp_path, out):
    t1 = seg_like(small_seg, tmp_path / "t1.nii.gz", lambda d, a: (0 * d + 3, a))
    refused(ask("--t1", t1, space=None), out, t1, "same value")


def masks(small_seg, tmp_path, core, whole):
    paths = []
    for name, change in (("core.nii.gz", core), ("whole.nii.gz", whole)):
        paths.append(seg_like(small_seg, tmp_path / name, change))
    return paths


def test_a_core_outside_the_whole_is_refused(ask, small_seg, tmp_path, out):
    def rolled(data, affine):
        return np.roll(data == 4, 8, axis=1).astype(np.uint8), affine

    core, whole = masks(small_seg, tmp_path, rolled, lambda d, a: ((d > 0).astype(np.uint8), a))
    ran = ask("--core-mask", core, "--whole-mask", whole, seg=None)
    refused(ran, out, "core voxels lie outside")
    assert str(core) in ran.said or "--core-mask" in ran.said


def test_masks_on_different_grids_are_refused(ask, small_seg, tmp_path, out):
    core, whole = masks(
        small_seg,
        tmp_path,
        lambda d, a: ((d == 4)[1:].astype(np.uint8), a),
        lambda d, a: ((d > 0).astype(np.uint8), a),
    )
    refused(ask("--core-mask", core, "--whole-mask", whole, seg=None), out, core, whole)


def test_masks_with_several_labels_are_refused(ask, small_seg, out):
    refused(ask("--core-mask", small_seg, "--whole-mask", small_seg, seg=None), out, small_seg, "--seg")


OPTIONS = {
    "missing core label": (("--core", "9"), ["core", "9", "seg.nii.gz"]),
    "missing whole label": (("--whole", "9,10"), ["whole", "9, 10", "seg.nii.gz"]),
    "background": (("--core", "0,4"), ["--core"]),
    "core outside whole": (("--core", "4", "--whole", "2"), ["--core"]),
    "core text": (("--core", "four"), ["--core", "four"]),
    "core with gaps": (("--core", "1,,4"), ["--core", "1,,4"]),
    "empty core": (("--core", ""), ["--core"]),
    "fractional core": (("--core", "1.5"), ["--core", "1.5"]),
    "whole text": (("--whole", "none"), ["--whole", "none"]),
    "no matches": (("--top-k", "0"), ["--top-k"]),
    "negative matches": (("--top-k", "-1"), ["--top-k"]),
    "no threads": (("--threads", "0"), ["--threads"]),
    "negative seed": (("--registration-seed", "-5"), ["--registration-seed"]),
    "unknown space": (("--space", "mni"), ["--space"]),
    "unknown method": (("--method", "magic"), ["--method"]),
    "unknown refinement": (("--refine", "magic"), ["--refine"]),
    "unknown registration": (("--registration", "magic"), ["--registration"]),
    "unknown option": (("--t2", "x"), ["--t2"]),
    "option without value": (("--core",), ["--core"]),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_wrong_options_are_refused(ask, out, name):
    more, named = OPTIONS[name]
    refused(ask(*more), out, *named)


def test_two_ways_to_the_atlas_are_refused(ask, small_seg, out):
    refused(ask("--t1", small_seg), out, "--t1", "--space")


def test_no_way_to_the_atlas_is_refused(ask, out):
    refused(ask(space=None), out, "--t1", "--space")


def test_both_images_are_refused(ask, small_seg, out):
    refused(ask("--t1", small_seg, "--t1c", small_seg, space=None), out, "--t1", "--t1c")


def test_no_segmentation_is_refused(ask, out):
    refused(ask(seg=None), out, "--seg")


def test_segmentation_and_masks_are_refused(ask, small_seg, out):
    refused(ask("--core-mask", small_seg, "--whole-mask", small_seg), out, "--seg")


def test_labels_of_masks_are_refused(ask, small_seg, out):
    ran = ask("--core-mask", small_seg, "--whole-mask", small_seg, "--core", "4", seg=None)
    refused(ran, out, "--core")


def test_sri24_without_numbers_is_refused(ask, out):
    refused(ask(space="sri24"), out, "sri24", "ellipsoid", "--t1")


@pytest.mark.parametrize("place", ["nothing", "folder", "file"])
def test_a_bad_transform_is_refused(ask, tmp_path, out, place):
    path = tmp_path / "transform"
    if place == "folder":
        path.mkdir()
    elif place == "file":
        path.write_text("{}")
    refused(ask("--transform", path, space=None), out, path)


def test_what_is_no_store_is_refused(ask, tmp_path, out):
    refused(ask(store=tmp_path / "nothing"), out, tmp_path / "nothing", "gliodex build")


def test_a_version_that_does_not_exist_is_refused(ask, indexed_store, out):
    refused(ask(store=f"{indexed_store}@9"), out, indexed_store, "version 9")


def test_an_empty_store_is_refused(ask, make_store, small_atlas, out):
    store = make_store(small_atlas)
    refused(ask(store=store), out, store, "gliodex build")


def test_a_newer_schema_is_refused(ask, indexed_store, out):
    path = indexed_store / "manifests" / "00000003.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 999}))
    refused(ask(), out, indexed_store, "schema 999")


@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "without index"])
def test_a_damaged_density_of_the_match_is_refused(ask, indexed_store, out, indexed):
    path, start, length = shard_of(open_store(indexed_store), 3)
    flip_byte(path, start + length // 2)
    if not indexed:
        shutil.rmtree(indexed_store / "derived")
    refused(ask(), out, path, "tumour 3")


def test_a_damaged_density_of_another_tumour_does_not_matter(ask, indexed_store):
    path, start, length = shard_of(open_store(indexed_store), 4)
    flip_byte(path, start + length // 2)
    assert ask().code == 0


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_damaged_manifest_is_refused(ask, indexed_store, out, share):
    path = indexed_store / "manifests" / "00000003.json"
    flip_byte(path, int(share * path.stat().st_size))
    refused(ask(), out, path)


def test_a_damaged_atlas_is_refused(ask, indexed_store, out):
    path = next(p for p in (indexed_store / "atlas").rglob("c/0/0/0") if p.is_file())
    flip_byte(path, path.stat().st_size // 2)
    refused(ask(), out, path)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 0.999])
def test_a_damaged_index_is_refused(ask, indexed_store, out, share):
    path = indexed_store / "derived" / "dice" / "blocks.bin"
    flip_byte(path, int(share * path.stat().st_size))
    refused(ask(), out, path, "--rebuild")


@pytest.mark.parametrize("file", ["directory.json", "blocks.bin"])
def test_an_index_cut_short_is_refused(ask, indexed_store, out, file):
    path = indexed_store / "derived" / "dice" / file
    path.write_bytes(path.read_bytes()[:-5])
    refused(ask(), out, path, "--rebuild")


@pytest.mark.parametrize("below", ["file", "file/out", "file/deep/out"])
def test_a_place_that_cannot_be_written_is_refused(ask, tmp_path, below):
    (tmp_path / "file").write_text("in the way")
    ran = ask(to=tmp_path / below)
    assert ran.code == 2
    assert str(tmp_path / below) in ran.said
    assert (tmp_path / "file").read_text() == "in the way"


def test_older_results_stay_when_a_query_is_refused(ask, tmp_path, out):
    assert ask().code == 0
    before = files_below(out)
    assert ask("--top-k", "0").code == 2
    assert ask(seg=tmp_path / "nothing.nii").code == 2
    assert files_below(out) == before


@pytest.mark.parametrize(
    "place", ["retrieval.request.write_images", "retrieval.report.draw", "retrieval.request.answer"]
)
def test_a_fault_in_the_middle_is_said_and_leaves_nothing(ask, out, monkeypatch, place):
    def fail(*_, **__):
        raise RuntimeError("boom")

    monkeypatch.setattr(f"gliodex.{place}", fail)
    ran = ask()
    assert ran.code == 1
    assert "RuntimeError: boom" in ran.said
    assert ran.out == ""
    assert not out.exists()


def test_an_interrupted_query_leaves_nothing(ask, out, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("gliodex.retrieval.request.write_images", stop)
    ran = ask()
    assert ran.code == 130
    assert ran.said
    assert not out.exists()


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

    ran = ask(seg=seg_like(small_seg, tmp_path / "far.nii.gz", corner))
    assert ran.code == 0
    assert "note:" in ran.err, "the best match shares no voxel with the tumour and nothing is said"
