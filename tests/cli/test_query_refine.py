"""`gliodex query --refine`: what it writes, and what the store has of it afterwards."""

import json

import nibabel as nib
import numpy as np
import pytest

from gliodex.index import Expectation
from gliodex.store import open_store, verify, writing

from ..retrieval.anatomy import RESULT_FILES, brats_labels, write_nifti
from .conftest import query_refused, without_lock

LOCAL = ("--refine", "local", "--max-simulations", "160")


@pytest.fixture
def refine(ask, snapshots_store, snapshot_seg, out):
    """Ask for a tumour half-way between two of the store; returns the record."""

    def run(*more, store=snapshots_store):
        keep = () if "--no-keep" in more else ("--keep",)
        ran = ask(*LOCAL, *keep, *more, store=store, seg=snapshot_seg)
        assert ran.code == 0, ran.err
        return json.loads((out / "matches.json").read_text())

    return run


@pytest.fixture
def snapshot_seg(snapshots_store, tmp_path):
    """Labels of the density between tumours 4 and 5, two stages of one simulation."""
    store = open_store(snapshots_store)
    density = (store.density(4) + store.density(5)) / 2
    return write_nifti(tmp_path / "between.nii.gz", brats_labels(density), store.frame.affine)


@pytest.mark.parametrize("anatomy", ["patient", "atlas"])
def test_it_fits_better_than_any_match_and_says_how_sure_that_is(refine, snapshots_store, out, anatomy):
    record = refine("--simulation-space", anatomy)
    assert {p.name for p in out.iterdir()} == RESULT_FILES
    found = record["refinement"]
    assert (found["method"], found["anatomy"], record["settings"]["refine"]) == ("local", anatomy, "local")
    assert 80 + 64 <= found["evaluations"] <= 2 + 160 + 64, "2 starts; 64 tumours are drawn from the posterior"
    assert record["patient_space"]["score"] > record["matches"][0]["score"] + 0.02
    density = nib.load(out / "density.nii.gz").get_fdata(dtype=np.float32)
    for name in ("core", "whole"):
        mask = nib.load(out / f"{name}.nii.gz").get_fdata() > 0
        np.testing.assert_array_equal(mask, density >= np.float32(record["thresholds"][name]))
    mean, deviation, exceedance = (
        nib.load(out / f"{name}.nii.gz").get_fdata() for name in ("mean", "deviation", "exceedance")
    )
    assert 0 <= deviation.min() <= deviation.max() < 0.5
    assert exceedance.max() == pytest.approx(1)
    assert mean[density > 0.5].min() > 0.1
    for interval in record["posterior"]["credible_intervals"].values():
        assert interval["low"] <= interval["high"]


def test_what_it_found_is_in_the_store(refine, snapshots_store, out):
    before = open_store(snapshots_store)
    record = refine("--simulation-space", "atlas")
    after = open_store(snapshots_store)
    kept = record["refinement"]["kept_as"]
    assert 1 <= len(kept) <= 8
    assert set(after.ids.tolist()) - set(before.ids.tolist()) == set(kept)
    assert verify(after, full=True) == []
    provenance = after.provenance(kept[0])
    assert (provenance["kind"], provenance["method"], provenance["anatomy"]) == ("refined", "local", "atlas")
    assert provenance["from"] == record["refinement"]["began_from"]
    assert set(provenance["from"]) <= set(before.ids.tolist())
    assert after.parameters(kept[0]).mu1 == pytest.approx(record["refinement"]["parameters"]["mu1_mm"])
    atlas = nib.load(out / "density_atlas.nii.gz").get_fdata()
    np.testing.assert_allclose(after.density(kept[0]), atlas, atol=1 / 4095)


def test_a_tumour_of_the_patients_anatomy_is_kept_without_parameters(refine, snapshots_store, out):
    record = refine("--simulation-space", "patient")
    store, best = open_store(snapshots_store), record["refinement"]["kept_as"][0]
    assert store.known_parameters(best) is None
    atlas = nib.load(out / "density_atlas.nii.gz").get_fdata()
    np.testing.assert_allclose(store.density(best), atlas, atol=1 / 4095)


def test_the_next_query_finds_it(refine, ask, snapshots_store, snapshot_seg, tmp_path):
    kept = refine()["refinement"]["kept_as"]
    assert ask("--thresholds", "search", store=snapshots_store, seg=snapshot_seg, to=tmp_path / "again").code == 0
    again = json.loads((tmp_path / "again" / "matches.json").read_text())
    assert again["matches"][0]["id"] in kept


def test_a_store_may_be_left_as_it_is(refine, snapshots_store):
    before, version = without_lock(snapshots_store), open_store(snapshots_store).version
    records = [refine("--no-keep"), refine("--no-keep", store=f"{snapshots_store}@{version}")]
    assert without_lock(snapshots_store) == before
    assert records[0]["refinement"]["kept_as"] == records[1]["refinement"]["kept_as"] == []
    assert records[0]["refinement"]["parameters"] == records[1]["refinement"]["parameters"], "the same again"


def test_a_store_that_another_process_writes_is_left_alone_and_said(ask, snapshots_store, snapshot_seg, out):
    with writing(snapshots_store, "gliodex build"):
        ran = ask(*LOCAL, "--keep", store=snapshots_store, seg=snapshot_seg)
    assert ran.code == 0
    assert "not kept in the store" in ran.err
    assert json.loads((out / "matches.json").read_text())["refinement"]["kept_as"] == []


def test_thresholds_may_be_fixed(refine):
    record = refine("--thresholds", "fixed")
    assert record["thresholds"] == {"core": 0.6, "whole": 0.2}
    assert record["refinement"]["settings"]["search_thresholds"] is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--max-simulations", "3"), "too few"),
        (("--simulation-space", "mars"), "--simulation-space"),
    ],
)
def test_what_cannot_be_refined_is_refused(ask, snapshots_store, out, options, said):
    query_refused(ask("--refine", "local", *options, store=snapshots_store), out, said)


def test_evaluations_of_nothing_are_refused(ask, out):
    query_refused(ask("--max-simulations", "100"), out, "--refine")


def test_a_store_of_another_growth_model_is_refused(ask, out, indexed_store):
    query_refused(ask("--refine", "local"), out, indexed_store, "leave out --refine")


def test_matches_that_never_spread_are_no_starts(ask, snapshots_store, snapshot_seg, gliodex, tmp_path):
    ids = ",".join(map(str, open_store(snapshots_store).ids))
    gliodex("export", snapshots_store, "4", "--out", tmp_path / "exported")
    density = tmp_path / "exported" / "tumour_4.nii.gz"
    rates = ("--diffusivity", "0", "--proliferation", "0.05", "--duration", "100")
    ran = gliodex("add", snapshots_store, "--source", "s", "--density", density, "--origin", "3,-17,9", *rates)
    assert ran.code == 0, ran.err
    assert gliodex("delete", snapshots_store, ids).code == 0
    query_refused(ask(*LOCAL, store=snapshots_store, seg=snapshot_seg), tmp_path / "results", "leave out --refine")


def test_where_nothing_like_it_can_be_simulated_is_said(ask, snapshots_store, snapshot_seg, monkeypatch, out):
    monkeypatch.setattr("gliodex.retrieval.refinement.objective.MU1_MM", (1e6, 1e7))
    query_refused(ask(*LOCAL, store=snapshots_store, seg=snapshot_seg), out, "without --refine")


@pytest.mark.slow
def test_masks_that_no_tumour_of_the_prior_explains_are_said(
    ask, snapshots_store, snapshot_seg, small_atlas, out, tmp_path, monkeypatch
):
    half = np.linspace(0.5, 0.9, 40)
    expected = Expectation(np.geomspace(3, 250, 40), half, half, half)
    monkeypatch.setattr("gliodex.retrieval.judgement.expectation_of", lambda store: expected)
    assert ask(*LOCAL, "--no-keep", store=snapshots_store, seg=snapshot_seg).code == 0
    assert "Dice sum" not in " ".join(json.loads((out / "matches.json").read_text())["warnings"])
    comb = np.zeros(small_atlas.frame.shape, np.uint8)
    comb[12:28:3, 8:28, 8:24] = 2
    comb[12:28:6, 8:28:5, 8:24] = 4
    seg = write_nifti(tmp_path / "comb.nii.gz", comb, small_atlas.frame.affine)
    ran = ask(*LOCAL, "--no-keep", store=snapshots_store, seg=seg)
    assert ran.code == 0, ran.err
    told = " ".join(ran.err.split())
    assert "the Dice sum of the refined tumour is" in told
    assert "99 % reach 1.00 by retrieval" in told
