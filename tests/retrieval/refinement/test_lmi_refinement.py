"""`--refine lmi`: what a network tells has to fit better than the best match."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.index import DiceIndex
from gliodex.learn.lmi import Estimate, GrowthReader
from gliodex.retrieval import Patient
from gliodex.retrieval.imaging.segmentation import Segmentation
from gliodex.retrieval.imaging.transforms import AffineMap
from gliodex.retrieval.refinement import InferenceRefinement, keep, lmi_refinement
from gliodex.retrieval.refinement.posterior import BoxedDensity, Posterior, Sample
from gliodex.simulate import FisherKolmogorov, GrowthParameters
from gliodex.store import open_store

from ...learn.lmi.tiny import trained_store

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")

SAME = AffineMap(np.eye(4), {"kind": "identity"})
TRUTH = GrowthParameters((-8.0, -20.0, 12.0), 0.4, 0.05, 200.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory, small_atlas):
    return trained_store(tmp_path_factory.mktemp("lmi") / "store", small_atlas)


@pytest.fixture
def told(monkeypatch):
    """Let the network tell what a test wants, with draws beside."""

    def tell(*tumours, farther=0.5):
        estimate = Estimate(tumours[0], tumours[1:], 4.2, farther)
        monkeypatch.setattr(GrowthReader, "__call__", lambda *_: estimate)

    return tell


def refine(store, density, where="atlas", **options):
    core, whole = density >= np.float32(0.6), density >= np.float32(0.2)
    hits = DiceIndex.open(store).search(core, whole, 3, distinct=True)
    patient = Patient(Segmentation(core, whole, store.frame), SAME)
    return InferenceRefinement(where, **options)(store, hits, patient), hits


def test_what_the_network_tells_right_is_kept(store, told):
    told(TRUTH, replace(TRUTH, duration=260.0), replace(TRUTH, duration=140.0))
    truth = FisherKolmogorov(store.atlas)(TRUTH)
    refined, hits = refine(store, truth)
    posterior = refined.posterior
    assert posterior.diagnostics["kept"] == "network"
    assert posterior.best.parameters == TRUTH
    assert posterior.best.score == pytest.approx(2)
    np.testing.assert_array_equal(refined.density, truth)
    assert posterior.diagnostics["scores"]["match"] < 2
    assert posterior.began_from == (int(hits.ids[0]),)
    np.testing.assert_allclose(posterior.weights, [1 / 3] * 3)
    assert posterior.doubts == ()


def test_a_draw_that_fits_better_is_kept(store, told):
    told(replace(TRUTH, duration=300.0), TRUTH, replace(TRUTH, duration=140.0))
    refined, _ = refine(store, FisherKolmogorov(store.atlas)(TRUTH))
    assert refined.posterior.diagnostics["kept"] == "draw"
    assert refined.posterior.best.parameters == TRUTH


def test_the_match_is_kept_where_it_fits_better_and_not_added_again(store, told, tmp_path):
    told(replace(TRUTH, duration=150.0), replace(TRUTH, duration=140.0))
    copy = open_store(shutil.copytree(store.path, tmp_path / "copy"))
    tumour = int(copy.ids[7])
    refined, hits = refine(copy, copy.density(tumour))
    assert refined.posterior.diagnostics["kept"] == "match"
    assert refined.posterior.best.stored == int(hits.ids[0]) == tumour
    np.testing.assert_array_equal(refined.density_atlas, copy.density(tumour))
    assert "the match is kept" in refined.posterior.doubts[0]
    ids, warning = keep(copy, refined.posterior, SAME)
    assert warning is None
    added = open_store(copy.path)
    assert [added.parameters(n).duration for n in ids] == [150.0, 140.0]


@pytest.mark.parametrize("where", ["atlas", "patient"])
def test_a_match_that_is_kept_is_as_retrieved(store, told, where):
    """Although the patient's grid is finer than where stages simulate, and turned against it."""
    told(replace(TRUTH, duration=150.0), replace(TRUTH, duration=140.0))
    tumour, frame = int(store.ids[7]), store.frame.refined(2)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    spatial = AffineMap(turned, {"kind": "turned"})
    there = np.clip(spatial.to_patient(store.density(tumour), store.frame, frame), 0.0, 1.0)
    masks = Segmentation(there >= np.float32(0.6), there >= np.float32(0.2), frame)
    hits = DiceIndex.open(store).search(store.density(tumour) >= 0.6, store.density(tumour) >= 0.2, 1)
    refined = InferenceRefinement(where)(store, hits, Patient(masks, spatial))
    assert refined.posterior.diagnostics["kept"] == "match"
    np.testing.assert_array_equal(refined.density, there)
    np.testing.assert_array_equal(refined.density_atlas, store.density(tumour))


@pytest.mark.parametrize("space", ["atlas", "patient"])
def test_how_far_tissue_was_squeezed_is_kept_with_the_tumour(store, tmp_path, space):
    copy = open_store(shutil.copytree(store.path, tmp_path / "copy"))
    density = replace(BoxedDensity.of(copy.density(int(copy.ids[7]))), least_jacobian=0.4)
    sample = Sample(TRUTH, (0.6, 0.2), density, 1.0)
    (number,), _ = keep(copy, Posterior("lmi", space, copy.frame, (sample,), np.ones(1), 1, (), {}), SAME)
    added = open_store(copy.path)
    assert added.segment(added.segments[-1]).column("least_jacobian").tolist() == [pytest.approx(0.4)]
    assert (added.known_parameters(number) is None) == (space == "patient")


def test_growth_that_cannot_be_is_left_out(store, told):
    huge = replace(TRUTH, duration=9000.0)
    told(huge, huge)
    refined, _ = refine(store, FisherKolmogorov(store.atlas)(TRUTH))
    assert refined.posterior.diagnostics["kept"] == "match"
    assert refined.posterior.diagnostics["scores"]["network"] == 0
    assert len(refined.posterior.samples) == 1
    assert keep(store, refined.posterior, SAME) == ([], None), "the match is there already"


def test_a_seed_outside_the_tissue_is_brought_to_it(store, told):
    corner = tuple(store.frame.world(np.array([1.0, 1, 1])).tolist())
    told(replace(TRUTH, seed_mm=corner, duration=140.0))
    solver = FisherKolmogorov(store.atlas)
    refined, _ = refine(store, solver(TRUTH))
    simulated = refined.posterior.samples[-1]
    assert simulated.stored is None
    assert simulated.parameters.seed_mm == solver.nearest_seed(corner)


def test_strange_outlines_are_told(store, told):
    told(TRUTH, farther=0.0)
    refined, _ = refine(store, FisherKolmogorov(store.atlas)(TRUTH))
    assert "lie farther from those that the network has learned from (distance 4.2)" in refined.posterior.doubts[0]


@pytest.mark.parametrize("where", ["atlas", "patient"])
def test_a_trained_network_does_no_worse_than_the_best_match(store, where, monkeypatch):
    monkeypatch.setattr(lmi_refinement, "SAMPLES", 24)
    truth = FisherKolmogorov(store.atlas)(TRUTH)
    refined, _ = refine(store, truth, where)
    scores = refined.posterior.diagnostics["scores"]
    assert refined.posterior.best.score == max(scores.values()) > 1.5
    assert scores["draw"] > 1
    assert refined.posterior.space == where
    assert refined.density.shape == truth.shape
    again, _ = refine(store, truth, where)
    np.testing.assert_array_equal(again.density, refined.density)


def test_fixed_thresholds_are_the_stores(store, told):
    told(TRUTH)
    refined, _ = refine(store, FisherKolmogorov(store.atlas)(TRUTH), search_thresholds=False)
    assert refined.thresholds == store.thresholds
    assert refined.posterior.best.thresholds == pytest.approx((0.6, 0.2), abs=1e-3)


def test_without_a_network_the_command_that_trains_one_is_told(store):
    with pytest.raises(InputError, match=r"no network .*: train one with `gliodex train lmi .*` with arch=paper"):
        refine(store, FisherKolmogorov(store.atlas)(TRUTH), arch="paper")
