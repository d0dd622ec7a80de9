"""`gliodex query` refuses wrong options, unusable stores and places, and leaves nothing when it fails."""

import json
import shutil

import pytest

from gliodex.store import open_store

from ..retrieval.anatomy import files_below, flip_byte, shard_of
from .conftest import query_refused


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--thresholds", "search", "--method", "ds64"), "thresholds are searched by exact Dice"),
        (("--thresholds", "search", "--scheduler", "tcp://127.0.0.1:1"), "a cluster searches by exact Dice alone"),
        (("--method", "ds64", "--scheduler", "tcp://127.0.0.1:1"), "a cluster searches by exact Dice alone"),
        (("--metric", "bernoulli", "--scheduler", "tcp://127.0.0.1:1"), "a cluster searches by exact Dice alone"),
        (("--method", "vae"), "gliodex train encoder vae"),
        (("--faiss-index", "ivf"), "--faiss-index ivf is one of ae and vae"),
        (("--device", "cuda"), "--device cuda is for ae, vae, hash"),
        (("--method", "ae", "--faiss-index", "hnsw", "--device", "cuda"), "no graphs on a GPU"),
        (("--keep",), "name a method with --refine"),
        (("--keep", "--refine", "npe", "--simulations-per-round", "0"), "--simulations-per-round must be at least 1"),
        (("--rerank", "-1", "--method", "ds64"), "--rerank must be at least 0"),
        (("--metric", "l2", "--method", "ds64"), "--metric l2 requires exact search"),
        (("--metric", "l2", "--thresholds", "search"), "thresholds are searched by Dice"),
    ],
)
def test_ways_of_searching_that_do_not_go_together_are_refused(ask, out, options, said):
    query_refused(ask(*options), out, said)


def test_a_store_whose_tumours_are_all_deleted_is_refused(ask, indexed_store, gliodex, out):
    gliodex("delete", indexed_store, "0-4")
    query_refused(ask(), out, indexed_store, "holds no tumours")


OPTIONS = {
    "missing core label": (("--core", "9"), ["core", "9", "seg.nii.gz"]),
    "missing whole label": (("--whole", "9,10"), ["whole", "9, 10", "seg.nii.gz"]),
    "background": (("--core", "0,4"), ["--core-labels"]),
    "core outside whole": (("--core", "4", "--whole", "2"), ["--core-labels"]),
    "core text": (("--core", "four"), ["--core-labels", "four"]),
    "core with gaps": (("--core", "1,,4"), ["--core-labels", "1,,4"]),
    "empty core": (("--core", ""), ["--core-labels"]),
    "fractional core": (("--core", "1.5"), ["--core-labels", "1.5"]),
    "whole text": (("--whole", "none"), ["--whole-labels", "none"]),
    "no matches": (("--top-k", "0"), ["--top-k"]),
    "negative matches": (("--top-k", "-1"), ["--top-k"]),
    "no threads": (("--threads", "0"), ["--threads"]),
    "negative seed": (("--registration-seed", "-5"), ["--registration-seed"]),
    "unknown space": (("--space", "mni"), ["--space"]),
    "unknown method": (("--method", "magic"), ["--index"]),
    "unknown refinement": (("--refine", "magic"), ["--refine"]),
    "unknown registration": (("--registration", "magic"), ["--registration"]),
    "unknown option": (("--t2", "x"), ["--t2"]),
    "option without value": (("--core",), ["--core-labels"]),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_wrong_options_are_refused(ask, out, name):
    more, named = OPTIONS[name]
    query_refused(ask(*more), out, *named)


def test_two_ways_to_the_atlas_are_refused(ask, small_seg, out):
    query_refused(ask("--t1", small_seg), out, "--t1", "--space")


def test_no_way_to_the_atlas_is_refused(ask, out):
    query_refused(ask(space=None), out, "--t1", "--space")


def test_no_segmentation_is_refused(ask, out):
    query_refused(ask(seg=None), out, "--seg")


def test_segmentation_and_masks_are_refused(ask, small_seg, out):
    query_refused(ask("--core-mask", small_seg, "--whole-mask", small_seg), out, "--seg")


def test_labels_of_masks_are_refused(ask, small_seg, out):
    ran = ask("--core-mask", small_seg, "--whole-mask", small_seg, "--core", "4", seg=None)
    query_refused(ran, out, "--core-labels")


def test_sri24_without_numbers_is_refused(ask, out):
    query_refused(ask(space="sri24"), out, "sri24", "ellipsoid", "--t1")


@pytest.mark.parametrize("place", ["nothing", "folder", "file"])
def test_a_bad_transform_is_refused(ask, tmp_path, out, place):
    path = tmp_path / "transform"
    if place == "folder":
        path.mkdir()
    elif place == "file":
        path.write_text("{}")
    query_refused(ask("--transform", path, space=None), out, path)


def test_what_is_no_store_is_refused(ask, tmp_path, out):
    query_refused(ask(store=tmp_path / "nothing"), out, tmp_path / "nothing", "gliodex build")


def test_a_version_that_does_not_exist_is_refused(ask, indexed_store, out):
    query_refused(ask(store=f"{indexed_store}@9"), out, indexed_store, "version 9")


def test_an_empty_store_is_refused(ask, make_store, small_atlas, out):
    store = make_store(small_atlas)
    query_refused(ask(store=store), out, store, "gliodex build")


def test_a_newer_schema_is_refused(ask, indexed_store, out):
    path = indexed_store / "manifests" / "00000003.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 999}))
    query_refused(ask(), out, indexed_store, "schema 999")


@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "without index"])
def test_a_damaged_density_of_the_match_is_refused(ask, indexed_store, out, indexed):
    path, start, length = shard_of(open_store(indexed_store), 3)
    flip_byte(path, start + length // 2)
    if not indexed:
        shutil.rmtree(indexed_store / "derived")
    query_refused(ask(), out, path, "tumour 3")


def test_a_damaged_density_of_another_match_is_refused_too(ask, indexed_store, out):
    path, start, length = shard_of(open_store(indexed_store), 4)
    flip_byte(path, start + length // 2)
    query_refused(ask(), out, "tumour 4")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_damaged_manifest_is_refused(ask, indexed_store, out, share):
    path = indexed_store / "manifests" / "00000003.json"
    flip_byte(path, int(share * path.stat().st_size))
    query_refused(ask(), out, path)


def test_a_damaged_atlas_is_refused(ask, indexed_store, out):
    path = next(p for p in (indexed_store / "atlas").rglob("c/0/0/0") if p.is_file())
    flip_byte(path, path.stat().st_size // 2)
    query_refused(ask(), out, path)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 0.999])
def test_a_damaged_index_is_refused(ask, indexed_store, out, share):
    path = indexed_store / "derived" / "dice" / "blocks.bin"
    flip_byte(path, int(share * path.stat().st_size))
    query_refused(ask(), out, path, "--rebuild")


@pytest.mark.parametrize("file", ["directory.json", "blocks.bin"])
def test_an_index_cut_short_is_refused(ask, indexed_store, out, file):
    path = indexed_store / "derived" / "dice" / file
    path.write_bytes(path.read_bytes()[:-5])
    query_refused(ask(), out, path, "--rebuild")


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
    "place", ["retrieval.query.write_images", "retrieval.report.draw", "retrieval.query.personalize_with"]
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

    monkeypatch.setattr("gliodex.retrieval.query.write_images", stop)
    ran = ask()
    assert ran.code == 130
    assert ran.said
    assert not out.exists()
