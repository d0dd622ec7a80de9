"""`gliodex query --refine npe`: a posterior learned from simulations."""

import json

import numpy as np
import pytest

from gliodex.simulate import FisherKolmogorov, GrowthParameters

from ..retrieval.anatomy import RESULT_FILES, brats_labels, write_nifti
from .conftest import query_refused

pytest.importorskip("sbi", reason="the learn extra is not installed")

NPE = ("--refine", "npe", "--simulations-per-round", "150", "--rounds", "2", "--no-keep")
TRUTH = GrowthParameters((-8.0, -20.0, 12.0), 0.4, 0.05, 200.0)


@pytest.fixture(scope="module")
def seg(small_atlas, tmp_path_factory):
    density = FisherKolmogorov(small_atlas)(TRUTH)
    return write_nifti(tmp_path_factory.mktemp("npe") / "seg.nii.gz", brats_labels(density), small_atlas.frame.affine)


@pytest.fixture
def learned(ask, snapshots_store, seg, out):
    def run(*more):
        ran = ask(*NPE, *more, store=snapshots_store, seg=seg)
        assert ran.code == 0, ran.err
        return json.loads((out / "matches.json").read_text())

    return run


@pytest.mark.parametrize("anatomy", ["patient", pytest.param("atlas", marks=pytest.mark.slow)])
def test_the_truth_lies_in_the_posterior(learned, out, anatomy):
    record = learned("--simulation-space", anatomy)
    assert {path.name for path in out.iterdir()} == RESULT_FILES
    found = {name: np.array(v) for name, v in json.loads((out / "posterior.json").read_text())["numbers"].items()}
    truth = {"seed_x_mm": -8.0, "seed_y_mm": -20.0, "seed_z_mm": 12.0, "mu1_mm": TRUTH.mu1, "mu2": TRUTH.mu2}
    for name, value in (truth | {"threshold_core": 0.6, "threshold_whole": 0.2}).items():
        low, high = np.quantile(found[name], [0.005, 0.995])
        assert low <= value <= high, name
    assert (record["refinement"]["method"], record["posterior"]["anatomy"]) == ("npe", anatomy)
    rounds = record["posterior"]["diagnostics"]["rounds"]
    assert [one["simulations"] >= 150 * n for n, one in enumerate(rounds, 1)] == [True, True]
    assert record["patient_space"]["score"] > 1.4


@pytest.mark.slow
def test_the_same_query_gives_the_same(learned):
    few = "--simulations-per-round", "60", "--rounds", "1"
    assert learned(*few)["posterior"]["credible_intervals"] == learned(*few)["posterior"]["credible_intervals"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--simulations-per-round", "5"), "too few to learn from"),
        (("--rounds", "0"), "rounds"),
        (("--particles", "512"), "tmcmc"),
    ],
)
def test_what_cannot_be_learned_is_refused(ask, snapshots_store, seg, out, options, said):
    query_refused(ask(*NPE, *options, store=snapshots_store, seg=seg), out, said)


def test_a_tumour_without_core_is_refused(ask, snapshots_store, seg, out):
    query_refused(ask(*NPE, "--core", "none", store=snapshots_store, seg=seg), out, "no core")
