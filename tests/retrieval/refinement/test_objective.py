from dataclasses import replace

import numpy as np
import pytest

from gliodex.retrieval import dice
from gliodex.retrieval.refinement.objective import DOUBT, DiceObjective
from gliodex.simulate import FisherKolmogorov, GrowthParameters, MassEffect, MassEffectSettings
from gliodex.store.quantization import LEVELS, quantise

USUAL = {"core": 0.6, "whole": 0.2}
TUMOUR = GrowthParameters((-8.0, -20.0, 12.0), 0.4, 0.05, 200.0)
OTHER = GrowthParameters((0.0, -22.0, 8.0), 0.3, 0.06, 200.0)


@pytest.fixture(scope="module")
def solver(small_atlas):
    return FisherKolmogorov(small_atlas)


def by_brute_force(density, mask, usual, levels):
    """Best Dice less what the distance costs, its Dice, and its threshold, over all levels."""
    integers = quantise(density)
    tried = [(dice(integers >= n, mask) - DOUBT * ((n / LEVELS - usual) / 0.1) ** 2, n) for n in levels]
    best, level = max(tried, key=lambda pair: pair[0])
    return best, dice(integers >= level, mask), level / LEVELS


@pytest.mark.parametrize("levels", [(0.6, 0.2), (0.8, 0.06), (0.5, 0.45)])
def test_thresholds_are_the_best_of_all(solver, levels):
    density, other = solver(TUMOUR), solver(OTHER)
    core, whole = (density >= np.float32(level) for level in levels)
    found = DiceObjective(solver, core, whole, USUAL)(OTHER)
    expected = [
        by_brute_force(other, core, 2457 / LEVELS, range(2048, 3482)),
        by_brute_force(other, whole, 819 / LEVELS, range(205, 2049)),
    ]
    assert found.score == pytest.approx(expected[0][0] + expected[1][0], abs=1e-12)
    assert found.dice == pytest.approx((expected[0][1], expected[1][1]))
    assert found.thresholds == pytest.approx((expected[0][2], expected[1][2]))


def test_fixed_thresholds_are_the_stores(solver):
    density, other = solver(TUMOUR), solver(OTHER)
    core, whole = density >= np.float32(0.8), density >= np.float32(0.06)
    found = DiceObjective(solver, core, whole, USUAL, search=False)(OTHER)
    assert found.thresholds == pytest.approx((0.6, 0.2), abs=1e-4)
    assert found.dice == pytest.approx((dice(quantise(other) >= 2457, core), dice(quantise(other) >= 819, whole)))
    assert found.score == sum(found.dice)


def test_the_tumour_itself_fits_at_the_stores_thresholds(solver):
    density = quantise(solver(TUMOUR))
    found = DiceObjective(solver, density >= 2457, density >= 819, USUAL)(TUMOUR)
    assert (found.score, found.dice) == (2.0, (1.0, 1.0))
    assert found.thresholds == (2457 / LEVELS, 819 / LEVELS)


def test_no_core_is_fitted_by_the_whole_alone(solver):
    density = quantise(solver(TUMOUR))
    found = DiceObjective(solver, density < 0, density >= 819, USUAL)(TUMOUR)
    assert found.dice == (0.0, 1.0)


@pytest.mark.parametrize(
    "parameters",
    [
        GrowthParameters((1000.0, 0.0, 0.0), 0.4, 0.05, 200.0),
        GrowthParameters((-8.0, -20.0, 12.0), 0.9, 0.2, 1000.0),
        GrowthParameters((-8.0, -20.0, 12.0), 1e5, 0.05, 150.0),
        GrowthParameters((-8.0, -20.0, 12.0), 0.1, 1e5, 150.0),
        GrowthParameters((-8.0, -20.0, 12.0), 0.0, 0.05, 150.0),
    ],
    ids=["outside the tissue", "far too large", "too diffuse", "too fast", "no diffusion"],
)
def test_what_cannot_be_scores_nothing(solver, parameters):
    density = quantise(solver(GrowthParameters((-8.0, -20.0, 12.0), 0.1, 0.05, 150.0)))
    assert np.count_nonzero(density >= 819) > 10
    found = DiceObjective(solver, density >= 2457, density >= 819, USUAL)(parameters)
    assert (found.score, found.dice) == (0.0, (0.0, 0.0))


class TestPushing:
    """Of a model in which tumours push tissue."""

    @pytest.fixture(scope="class")
    def objective(self, small_atlas):
        solver = MassEffect(small_atlas, MassEffectSettings(pushes=3))
        density = solver(replace(TUMOUR, mass_effect=9000.0))
        return DiceObjective(solver, density >= 0.6, density >= 0.2, USUAL)

    def test_it_knows_that_they_do(self, objective, solver):
        assert objective.pushing
        assert not DiceObjective(solver, objective.core, objective.whole, USUAL).pushing

    def test_one_that_pushes_harder_than_wanted_scores_nothing(self, objective):
        harder = replace(TUMOUR, mass_effect=20000.0)
        assert objective(harder).score == 0
        wider = DiceObjective(objective.solver, objective.core, objective.whole, USUAL, largest_pa=20000.0)
        assert wider(harder).score > 1

    def test_one_that_pushes_alike_fits_best(self, objective):
        scores = [objective(replace(TUMOUR, mass_effect=m)).score for m in (0.0, 9000.0, 16000.0)]
        assert scores[1] > max(scores[0], scores[2])
        assert scores[1] == pytest.approx(2.0, abs=1e-6)

    def test_more_than_the_prior_allows_and_folded_tissue_score_nothing(self, objective, monkeypatch):
        assert objective(replace(TUMOUR, mass_effect=16001.0)).score == 0
        plain = MassEffect.grow
        monkeypatch.setattr(MassEffect, "grow", lambda self, *a: replace(plain(self, *a), least_jacobian=0.0))
        fit, run = objective.simulated(replace(TUMOUR, mass_effect=9000.0))
        assert (fit.score, run) == (0.0, None)
