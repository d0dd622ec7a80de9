import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from gliodex.errors import InputError, UnsolvedError
from gliodex.evaluation import StagesRequest, compare_stages
from gliodex.evaluation.refinement_benchmark import coverage, finer_truths_of, table, truths_of
from gliodex.retrieval.refinement import LocalSettings, Posterior, Sample
from gliodex.retrieval.refinement.posterior import BoxedDensity
from gliodex.simulate import FisherKolmogorov, build
from gliodex.store import Frame, open_store

FRAME = Frame((6, 5, 4), np.diag([2.0, 2.0, 2.0, 1.0]))


def posterior_of(*values):
    """Equal weights on densities that have one value everywhere."""
    samples = [Sample(None, (0.6, 0.2), BoxedDensity.of(np.full(FRAME.shape, v, np.float32)), 1.0) for v in values]
    return Posterior("local", "atlas", FRAME, tuple(samples), np.full(len(values), 1 / len(values)), 1, 1.0, ())


def test_coverage_counts_the_voxels_between_the_ends_of_the_interval():
    truth = np.full(FRAME.shape, 0.35, np.float32)
    truth[:3] = 0.6
    tissue = np.ones(FRAME.shape, bool)
    tissue[5] = False
    found = coverage(posterior_of(0.3, 0.4), truth, tissue)
    assert found["coverage"] == pytest.approx(2 / 5)
    assert found["width"] == pytest.approx(0.1)


def test_voxels_that_no_tumour_reaches_do_not_count():
    truth = np.zeros(FRAME.shape, np.float32)
    truth[0] = 0.02
    found = coverage(posterior_of(0.005, 0.006), truth, np.ones(FRAME.shape, bool))
    assert found["coverage"] == 0
    assert coverage(posterior_of(0.005), 0 * truth, np.ones(FRAME.shape, bool))["coverage"] is None


@pytest.mark.slow
def test_truths_are_simulations_of_their_parameters_and_finer_ones_are_like_them(brain_store):
    truth, finer = next(truths_of(brain_store, 9)), next(finer_truths_of(brain_store, 9))
    assert truth.parameters == finer.parameters
    np.testing.assert_allclose(truth.density, FisherKolmogorov(brain_store.atlas)(truth.parameters), atol=1 / 4095)
    assert finer.density.shape == truth.density.shape
    assert np.abs(finer.density - truth.density).max() > 0
    both = (truth.density >= 0.2) & (finer.density >= 0.2)
    assert 2 * both.sum() / ((truth.density >= 0.2).sum() + (finer.density >= 0.2).sum()) > 0.85
    assert all(a.parameters != truth.parameters for a in islice(truths_of(brain_store, 8), 3))


def test_truths_that_are_not_solved_or_fold_on_finer_voxels_are_left_out(small_atlas, tmp_path, monkeypatch):
    build(tmp_path / "store", 4, 5, small_atlas, workers=1)
    store = open_store(tmp_path / "store")
    wanted = [truth.parameters for truth in islice(truths_of(store, 9), 3)]
    plain, asked = FisherKolmogorov.grow, []

    def grow(self, parameters, *rest, **more):
        run = plain(self, parameters, *rest, **more)
        if self.atlas.frame.shape != tuple(2 * n for n in small_atlas.frame.shape):
            return run
        asked.append(parameters)
        if len(asked) == 1:
            raise UnsolvedError("no solution")
        return replace(run, least_jacobian=-0.1) if len(asked) == 2 else run

    monkeypatch.setattr(FisherKolmogorov, "grow", grow)
    assert next(finer_truths_of(store, 9)).parameters == wanted[2]
    assert asked == wanted


def test_a_campaign_of_the_store_is_no_truth(brain_store):
    with pytest.raises(InputError, match="choose another seed"):
        next(truths_of(brain_store, 3))


@pytest.mark.slow
def test_stages_are_compared_with_the_truth(brain_store, tmp_path):
    request = StagesRequest(str(brain_store.path), tmp_path / "out", truths=2, seed=9, local=LocalSettings(32, 1))
    rows = compare_stages(request)
    assert [(row["set"], row["stage"]) for row in rows] == [
        *[("unseen", "retrieval"), ("unseen", "local")] * 2,
        *[("finer", "retrieval"), ("finer", "local")],
    ]
    for before, after in zip(rows[::2], rows[1::2], strict=True):
        assert after["score"] > before["score"]
        assert after["mae"] >= 0
        assert 0 <= after["coverage"] <= 1
        assert after["evaluations"] > 8
    assert [json.loads(line) for line in (tmp_path / "out" / "stages.jsonl").read_text().splitlines()] == rows
    assert (tmp_path / "out" / "table.md").read_text() == table(rows) + "\n"


def test_too_few_truths_are_refused(brain_store, tmp_path):
    with pytest.raises(InputError, match="n_synthetic"):
        compare_stages(StagesRequest(str(brain_store.path), tmp_path / "out", truths=1))


def test_the_table_has_a_line_a_stage_and_leaves_out_what_is_not_known():
    row = {"set": "patients", "score": 1.5, "evaluations": 664, "seconds": 12.34}
    rows = [{"stage": "local", "label": "a"} | row, {"stage": "local", "label": "b"} | row | {"score": 1.6}]
    line = next(line for line in table(rows).splitlines() if "patients" in line)
    assert line == "| patients | local | 2 | 1.550 (1.500 to 1.600) |  |  |  |  |  |  |  |  | 664 | 12.3 |"
