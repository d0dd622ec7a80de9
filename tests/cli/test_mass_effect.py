"""Stores of tumours that push tissue aside, on the command line."""

import dataclasses
import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from gliodex.evaluation import timing
from gliodex.index import build_index
from gliodex.simulate import GrowthParameters, MassEffect, MassEffectSettings, Prior, build
from gliodex.store import open_store

from ..retrieval.anatomy import RESULT_FILES, brats_labels, write_nifti
from .conftest import query_refused, without_lock

SETTINGS = MassEffectSettings(pushes=5)


@pytest.fixture(scope="session")
def _pushing_store(small_atlas, tmp_path_factory):
    path = tmp_path_factory.mktemp("pushing") / "store"
    prior = Prior((0.02, 0.4), (0.01, 0.08), (50, 400), (0.5, 150), (0.1, 120))
    build(path, 16, 5, small_atlas, prior=prior, settings=SETTINGS, workers=1)
    build_index(open_store(path))
    return path


@pytest.fixture
def pushing_store(_pushing_store, tmp_path):
    """Path of a store of 16 tumours with mass effect."""
    return shutil.copytree(_pushing_store, tmp_path / "pushing-store")


@pytest.fixture
def seg(pushing_store, small_atlas, tmp_path):
    """Labels of a tumour like one of them, that pushes otherwise."""
    parameters = open_store(pushing_store).parameters(4)
    density = MassEffect(small_atlas, SETTINGS)(dataclasses.replace(parameters, mass_effect=6000.0))
    return write_nifti(tmp_path / "pushed.nii.gz", brats_labels(density), small_atlas.frame.affine)


@pytest.fixture
def labels(tmp_path, small_atlas):
    """An atlas folder."""
    tissues = np.select([small_atlas.white > 0, small_atlas.grey > 0, small_atlas.csf > 0], [3, 2, 1], 0)
    folder = tmp_path / "labels"
    folder.mkdir()
    write_nifti(folder / "tissues.nii.gz", tissues.astype(np.uint8), small_atlas.frame.affine)
    return folder


def _parameters_of(record):
    return {name: value for name, value in record.items() if not name.startswith("mu")}


class TestBuild:
    @pytest.mark.parametrize(
        ("options", "form"),
        [
            pytest.param((), "textbook", marks=pytest.mark.slow),
            (("--elasticity", "as-published"), "as_published"),
        ],
    )
    def test_a_store_is_built_and_goes_on_with_its_own_model(self, gliodex, labels, tmp_path, options, form):
        store = tmp_path / "store"
        build_one = ("build", store, "--workers", "1", "--atlas", labels)
        assert gliodex(*build_one, "--count", "1", "--model", "mass-effect", *options).code == 0
        ran = gliodex("build", store, "--count", "2", "--workers", "1")
        assert ran.code == 0, ran.err
        opened = open_store(store)
        assert len(opened) == 2
        assert opened.manifest.model["form"] == form
        assert all(opened.parameters(n).mass_effect > 0 for n in opened.ids.tolist())
        assert "mass-effect 2" in gliodex("info", store).out

    def test_another_model_is_refused(self, gliodex, pushing_store, refused):
        before = without_lock(pushing_store)
        ran = gliodex("build", pushing_store, "--count", "20", "--model", "fk")
        refused(ran, pushing_store, before, "mass-effect 2, not with fisher-kolmogorov")

    def test_elasticity_without_the_model_is_refused(self, gliodex, tmp_path):
        for model in ((), ("--model", "fk")):
            ran = gliodex("build", tmp_path / "new", "--count", "1", "--elasticity", "textbook", *model)
            assert ran.code == 2
            assert "--elasticity is for --model mass-effect" in ran.said


class TestQuery:
    def test_matches_are_shown_with_their_mass_effect(self, ask, pushing_store, seg, out):
        ran = ask(store=pushing_store, seg=seg)
        assert ran.code == 0, ran.err
        assert "γ kPa" in ran.out
        record = json.loads((out / "matches.json").read_text())
        assert record["matches"][0]["id"] == 4
        pressure = record["matches"][0]["parameters"]["mass_effect"]
        assert f"{pressure / 1000:.1f}" in ran.out
        assert record["units"]["mass_effect"] == "Pa"
        assert "γ kPa" in (out / "report.html").read_text()

    @pytest.mark.slow
    def test_refinement_searches_how_hard_it_pushes(self, ask, pushing_store, seg, out):
        ran = ask(
            "--refine", "local", "--max-simulations", "64", "--simulation-space", "atlas", store=pushing_store, seg=seg
        )
        assert ran.code == 0, ran.err
        record = json.loads((out / "matches.json").read_text())
        assert {path.name for path in out.iterdir()} == RESULT_FILES
        assert record["patient_space"]["score"] > 1.8
        assert record["refinement"]["parameters"]["mass_effect"] > 0
        assert record["posterior"]["credible_intervals"]["mass_effect_kpa"]["mean"] > 0
        store = open_store(pushing_store)
        (first, *_) = record["refinement"]["kept_as"]
        assert store.parameters(first) == GrowthParameters(**_parameters_of(record["refinement"]["parameters"]))

    def test_a_match_that_was_added_with_more_than_the_prior_has_is_begun_from(
        self, ask, gliodex, pushing_store, out, tmp_path
    ):
        wanted = ("--origin=-8,-20,12", "--diffusivity", "0.3", "--proliferation", "0.05", "--duration", "200")
        assert gliodex("add", pushing_store, *wanted, "--mass-effect", "20000", "--source", "test").code == 0
        store = open_store(pushing_store)
        added = int(store.ids[-1])
        seg = write_nifti(tmp_path / "added.nii.gz", brats_labels(store.density(added)), store.frame.affine)
        options = (
            "--refine",
            "local",
            "--simulation-space",
            "atlas",
            "--max-simulations",
            "16",
            "--thresholds",
            "fixed",
        )
        assert ask(*options, "--thresholds", "fixed", store=pushing_store, seg=seg).code == 0
        record = json.loads((out / "matches.json").read_text())
        assert record["matches"][0]["id"] == added
        assert record["refinement"]["parameters"]["mass_effect"] == pytest.approx(20000)
        assert record["patient_space"]["score"] == pytest.approx(2, abs=0.01)

    @pytest.mark.slow
    def test_both_growth_models_are_benchmarked_at_once(self, gliodex, pushing_store, brain_store, out, monkeypatch):
        monkeypatch.setattr(timing, "COLD_STARTS", 1)  # each takes seconds
        options = ("--n-test", "2", "--n-perturbed", "1", "--n-reference", "0", "--methods", "dice", "--seed", "9")
        ran = gliodex("bench", "retrieval", brain_store, pushing_store, "--out", out, *options)
        assert ran.code == 0, ran.err
        for path, title in ((brain_store, "fisher-kolmogorov 4, 24"), (pushing_store, "mass-effect 2, 16")):
            table = (out / path.name / "table.md").read_text().strip()
            assert f"## {path.name}: {title} tumours\n\n{table}" in ran.out
            assert (out / path.name / "bench.jsonl").is_file()
        assert "in a folder of its name" in ran.joined

    def test_a_surrogate_of_the_other_model_is_refused(self, ask, pushing_store, seg, out):
        ran = ask("--refine", "tmcmc", "--surrogate", "small", store=pushing_store, seg=seg)
        query_refused(ran, out, "has learned another growth model")

    def test_folded_tumours_are_found_where_they_are_asked_for(self, ask, gliodex, pushing_store, seg, out, tmp_path):
        """A soft brain is folded by what others stand."""
        soft = tmp_path / "soft"
        settings = MassEffectSettings(pushes=5, young_pa=(40.0, 40.0, 20.0, 30000.0))
        build(
            soft, 1, 5, open_store(pushing_store).atlas, settings=settings, workers=1, prior=Prior(mass_effect=(1, 2))
        )
        wanted = ("--origin=-8,-20,12", "--diffusivity", "0.3", "--proliferation", "0.08", "--duration", "150")
        assert gliodex("add", soft, *wanted, "--mass-effect", "110000", "--source", "test").code == 0
        store = open_store(soft)
        assert store.folded.tolist() == [1]
        for options, found in (((), {0: False}), (("--include-folded",), {0: False, 1: True})):
            assert ask(*options, store=soft, seg=seg, to=out / str(len(options))).code == 0
            record = json.loads((out / str(len(options)) / "matches.json").read_text())
            assert {match["id"]: match["folded"] for match in record["matches"]} == found
            assert record["settings"]["include_folded"] is bool(options)
        assert "1 have folded the tissue" in gliodex("info", soft).joined


class TestTumours:
    def test_one_is_added_with_its_mass_effect(self, gliodex, pushing_store):
        wanted = ("--origin=-8,-20,12", "--diffusivity", "0.3", "--proliferation", "0.05", "--duration", "200")
        ran = gliodex("add", pushing_store, *wanted, "--mass-effect", "9000", "--source", "test")
        assert ran.code == 0, ran.err
        store = open_store(pushing_store)
        assert store.parameters(store.ids[-1]) == GrowthParameters((-8.0, -20.0, 12.0), 0.3, 0.05, 200.0, 9000.0)

    def test_one_beyond_what_the_model_can_take_is_refused(self, gliodex, pushing_store, refused):
        before = without_lock(pushing_store)
        wanted = ("--origin=-8,-20,12", "--diffusivity", "0.3", "--proliferation", "0.05", "--duration", "200")
        ran = gliodex("add", pushing_store, *wanted, "--mass-effect", "50000", "--source", "test")
        refused(ran, pushing_store, before, "50000 Pa is beyond 34845 Pa, where strains are no longer small")

    def test_a_mass_effect_alone_is_no_tumour(self, gliodex, pushing_store, refused):
        before = without_lock(pushing_store)
        ran = gliodex("add", pushing_store, "--mass-effect", "5000", "--source", "test")
        refused(ran, pushing_store, before, "give all of --origin")

    def test_the_deformed_tissue_is_exported(self, gliodex, pushing_store, tmp_path):
        ran = gliodex("export", pushing_store, "4", "--out", tmp_path / "files", "--deformed")
        assert ran.code == 0, ran.err
        names = ("", "_white", "_grey", "_csf", "_displacement")
        assert {p.name for p in (tmp_path / "files").iterdir()} == {
            "tumours.json",
            *(f"tumour_4{name}.nii.gz" for name in names),
        }
        moved = nib.load(tmp_path / "files" / "tumour_4_displacement.nii.gz")
        assert moved.shape == (*open_store(pushing_store).frame.shape, 3)
        assert np.linalg.norm(moved.get_fdata(), axis=-1).max() > 0.01
        facts = json.loads((tmp_path / "files" / "tumours.json").read_text())
        assert facts["tumours"][0]["parameters"]["mass_effect"] > 0

    def test_a_store_whose_tissue_stays_has_none(self, gliodex, snapshots_store, tmp_path):
        ran = gliodex("export", snapshots_store, "4", "--out", tmp_path / "files", "--deformed")
        assert ran.code == 2
        assert "leave the tissue as it is: leave out --deformed" in ran.said
        assert not (tmp_path / "files").exists()
