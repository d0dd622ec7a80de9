"""`gliodex query --refine tmcmc`: outlines and PET in, a posterior out."""

import json

import nibabel as nib
import numpy as np
import pytest

from gliodex.retrieval import QueryRequest, run_query
from gliodex.retrieval.refinement import tmcmc_refinement
from gliodex.retrieval.refinement.checkpoint import NAME
from gliodex.retrieval.refinement.likelihood import Imaging, draw_images
from gliodex.retrieval.refinement.refinement_options import Tmcmc
from gliodex.simulate import FisherKolmogorov, GrowthParameters
from gliodex.store import open_store

from ..retrieval.anatomy import RESULT_FILES, write_nifti
from .conftest import query_refused

TMCMC = ("--refine", "tmcmc", "--prior", "store", "--particles", "256")
TRUTH = GrowthParameters((-8.0, -20.0, 12.0), 0.4, 0.05, 200.0)
IMAGING = Imaging(0.7, 0.25, 0.06, pet_scale=0.8, pet_noise=0.05)


@pytest.fixture(scope="module")
def scans(small_atlas, tmp_path_factory):
    """Files of labels, PET and tissue of a tumour of which everything is known."""
    folder = tmp_path_factory.mktemp("scans")
    density, tissue = FisherKolmogorov(small_atlas)(TRUTH), small_atlas.tissue
    core, whole, pet = draw_images(density, IMAGING, np.random.default_rng(1))
    whole |= core
    images = {
        "seg": (np.where(core & tissue, 4, np.where(whole & tissue, 2, 0))).astype(np.uint8),
        "pet": np.where(whole & tissue, np.clip(pet, 0.001, 1), 0).astype(np.float32),
        "white": small_atlas.white,
        "grey": small_atlas.grey,
    }
    return {
        name: write_nifti(folder / f"{name}.nii.gz", data, small_atlas.frame.affine) for name, data in images.items()
    }


@pytest.fixture
def sample(ask, snapshots_store, scans, out):
    def run(*more, to=out, keep=False):
        kept = ("--keep",) if keep else ()
        ran = ask(*TMCMC, *kept, *more, store=snapshots_store, seg=scans["seg"], to=to)
        assert ran.code == 0, ran.err
        return json.loads((to / "matches.json").read_text())

    return run


@pytest.fixture(scope="module")
def plain(_snapshots_store, scans, tmp_path_factory):
    """Record of a query with `TMCMC` and nothing else."""
    out = tmp_path_factory.mktemp("plain")
    stage = Tmcmc(prior="store", particles=256)
    run_query(QueryRequest(str(_snapshots_store), out, scans["seg"], space="atlas", refinement=stage))
    return json.loads((out / "matches.json").read_text())


@pytest.mark.slow
def test_growth_and_imaging_are_found_from_outlines_and_pet(sample, snapshots_store, scans, out):
    record = sample("--pet", scans["pet"], keep=True)
    assert {path.name for path in out.iterdir()} == RESULT_FILES
    found = json.loads((out / "posterior.json").read_text())
    numbers = {name: np.array(values) for name, values in found["numbers"].items()}
    assert len(found["weights"]) == 256
    truth = {
        "mu1_mm": TRUTH.mu1, "mu2": TRUTH.mu2, "threshold_core": 0.7, "threshold_whole": 0.25, "threshold_width": 0.06,
        "pet_scale": 0.8, "pet_noise": 0.05,
    }  # fmt: skip
    for name, value in truth.items():
        off = abs(numbers[name].mean() - value)
        assert off < 5 * numbers[name].std() + 0.02 * value, name
    seed = np.array([numbers[f"seed_{axis}_mm"].mean() for axis in "xyz"])
    np.testing.assert_allclose(seed, TRUTH.seed_mm, atol=1.0)
    np.testing.assert_allclose(
        numbers["diffusivity"] * numbers["duration"],
        numbers["mu1_mm"] ** 2,
        rtol=1e-9,
        err_msg="D, T and their product",
    )
    posterior = record["posterior"]
    assert (posterior["method"], record["refinement"]["settings"]["images"]) == ("tmcmc", ["core", "whole", "pet"])
    diagnostics = posterior["diagnostics"]
    assert set(diagnostics["effective_samples"]) == {
        "seed_x_mm", "seed_y_mm", "seed_z_mm", "mu1_mm", "mu2", "duration", "core", "whole", "width", "pet_scale",
        "pet_noise",
    }  # fmt: skip
    assert diagnostics["stages"][0][-1]["exponent"] == 1
    assert posterior["evaluations"] == diagnostics["stages"][0][-1]["evaluations"] + tmcmc_refinement.SAMPLES
    assert record["thresholds"]["core"] == pytest.approx(0.7, abs=0.05)
    assert record["patient_space"]["score"] > record["refinement"]["before"]["score"] + 0.1
    store = open_store(snapshots_store)
    last = store.provenance(int(store.ids[-1]))
    assert (last["kind"], last["method"]) == ("refined", "tmcmc"), "what was simulated goes into the store"


@pytest.mark.slow
def test_around_the_matches_the_same_is_found_with_fewer_simulations(sample, plain, tmp_path):
    wide = plain
    near = sample("--init", "matches", "--chains", "2", to=tmp_path / "near")
    diagnostics = near["posterior"]["diagnostics"]
    assert diagnostics["log_evidence"][0] == pytest.approx(wide["posterior"]["diagnostics"]["log_evidence"][0], abs=3)
    assert sum(s[-1]["evaluations"] for s in diagnostics["stages"]) / 2 < 0.6 * wide["posterior"]["evaluations"]
    assert diagnostics["pilot_evaluations"] > 0
    assert all(0.9 < value < 1.6 for value in diagnostics["r_hat"].values())
    assert near["refinement"]["began_from"]
    for name in ("mu1_mm", "mu2", "seed_y_mm"):
        one, two = (record["posterior"]["credible_intervals"][name] for record in (wide, near))
        assert one["low"] < two["high"], name
        assert two["low"] < one["high"], name


@pytest.mark.slow
def test_an_interrupted_query_goes_on_where_it_was(sample, plain, ask, snapshots_store, scans, out, monkeypatch):
    whole = plain
    real, saved = tmcmc_refinement.save_checkpoint, []

    def stop_after_five(*arguments):
        real(*arguments)
        saved.append(arguments)
        if len(saved) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(tmcmc_refinement, "save_checkpoint", stop_after_five)
    assert ask(*TMCMC, store=snapshots_store, seg=scans["seg"]).code != 0
    assert [path.name for path in out.iterdir()] == [f"{NAME}-0"], "no results, and where it was"
    again = sample()
    assert len(saved) < 5 + len(whole["posterior"]["diagnostics"]["stages"][0])
    assert again["posterior"]["credible_intervals"] == whole["posterior"]["credible_intervals"]
    assert not list(out.glob(f"{NAME}*")), "what is complete needs no checkpoint"


@pytest.mark.slow
def test_the_patients_own_tissue_is_simulated_in(sample, plain, scans, tmp_path):
    own = sample("--wm", scans["white"], "--gm", scans["grey"], to=tmp_path / "own")
    atlas = plain
    # here the patient's tissue is the atlas's: the same posterior, in either
    for name in ("mu1_mm", "mu2"):
        one, two = (record["posterior"]["credible_intervals"][name] for record in (own, atlas))
        assert one["low"] < two["high"]
        assert two["low"] < one["high"]
    density = nib.load(tmp_path / "own" / "density.nii.gz").get_fdata()
    assert density.max() > 0.5


@pytest.mark.slow
def test_a_prior_that_ends_too_soon_is_said(ask, snapshots_store, scans, out):
    options = "--refine", "tmcmc", "--simulation-space", "atlas", "--particles", "256", "--no-keep"
    ran = ask(*options, store=snapshots_store, seg=scans["seg"])
    assert ran.code == 0, ran.err
    assert "pressed against the upper end of the prior's range" in ran.err
    assert "--prior store" in ran.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--pet", "on_another_grid"), "not on the segmentation's grid"),
        (("--pet", "too_large"), "scale it to [0, 1]"),
        (("--pet", "empty"), "0 everywhere"),
        (("--wm", "white"), "--gm"),
        (("--wm", "white", "--gm", "on_another_grid"), "different grids"),
        (("--wm", "white", "--gm", "white"), "which is at most 1"),
        (("--wm", "empty", "--gm", "empty"), "no brain"),
        (("--wm", "too_large", "--gm", "empty"), "fractions of tissue"),
        (("--particles", "100"), "multiple"),
        (("--chains", "0"), "--chains"),
        (("--max-simulations", "700"), "too few for stages of 256"),
        (("--max-simulations", "800"), "were spent in stage"),
        (("--correlation-length-mm", "-1"), "--correlation-length-mm"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_sampled_is_refused(ask, snapshots_store, scans, small_atlas, tmp_path, out, options, said):
    shape, affine = small_atlas.frame.shape, small_atlas.frame.affine
    made = {
        "on_another_grid": write_nifti(tmp_path / "a.nii.gz", np.ones((9, 9, 9), np.float32), affine),
        "too_large": write_nifti(tmp_path / "b.nii.gz", np.full(shape, 7.0, np.float32), affine),
        "empty": write_nifti(tmp_path / "c.nii.gz", np.zeros(shape, np.float32), affine),
        "white": scans["white"],
    }
    options = [str(made.get(option, option)) for option in options]
    ran = ask(*TMCMC, *options, store=snapshots_store, seg=scans["seg"])
    assert ran.code == 2
    assert said in " ".join(ran.err.split())
    assert "Traceback" not in ran.err
    assert not (out / "matches.json").exists()


@pytest.mark.parametrize(
    "option",
    [
        ("--prior", "store"),
        (
            "--init",
            "matches",
        ),
        ("--particles", "512"),
        ("--chains", "2"),
    ],
)
def test_options_of_tmcmc_are_refused_elsewhere(ask, snapshots_store, scans, out, option):
    query_refused(ask("--refine", "local", *option, store=snapshots_store, seg=scans["seg"]), out, option[0])


def test_a_pet_is_of_no_use_to_retrieval(ask, snapshots_store, scans, out):
    query_refused(ask("--pet", str(scans["pet"]), store=snapshots_store, seg=scans["seg"]), out, "--refine tmcmc")
