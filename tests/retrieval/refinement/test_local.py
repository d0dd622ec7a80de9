import dataclasses

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval.refinement import LocalSettings, local, refine_locally
from gliodex.retrieval.refinement.local import as_numbers, from_numbers, pushing_numbers
from gliodex.retrieval.refinement.objective import DiceObjective
from gliodex.simulate import FisherKolmogorov, GrowthParameters, MassEffect, MassEffectSettings

USUAL = {"core": 0.6, "whole": 0.2}
TRUTH = GrowthParameters((-8.0, -20.0, 12.0), 0.4, 0.05, 200.0)
NEAR = GrowthParameters.from_mu((-3.0, -25.0, 15.0), 1.3 * TRUTH.mu1, 0.93 * TRUTH.mu2)


@pytest.fixture(scope="module")
def solver(small_atlas):
    return FisherKolmogorov(small_atlas)


@pytest.fixture(scope="module")
def truth(solver):
    return solver(TRUTH)


def objective_of(solver, density, *, levels=(0.6, 0.2), **options):
    core, whole = (density >= np.float32(level) for level in levels)
    return DiceObjective(solver, core, whole, USUAL, **options)


@pytest.fixture(scope="module")
def found(solver, truth):
    return refine_locally(objective_of(solver, truth), [NEAR], LocalSettings(400, 1))


def test_the_outlines_of_a_simulated_truth_are_found_again(solver, truth, found):
    assert objective_of(solver, truth)(NEAR).score < 1.75
    assert sum(found[0].dice) > 1.98
    np.testing.assert_allclose(found[0].parameters.seed_mm, TRUTH.seed_mm, atol=1.0)


def test_where_the_thresholds_are_known_all_of_its_density_is(solver, truth):
    found = refine_locally(objective_of(solver, truth, search=False), [NEAR], LocalSettings(400, 1))[0]
    assert sum(found.dice) > 1.98
    assert np.abs(solver(found.parameters) - truth)[solver.atlas.tissue].mean() < 0.005
    assert found.parameters.mu1 == pytest.approx(TRUTH.mu1, rel=0.1)
    assert found.parameters.mu2 == pytest.approx(TRUTH.mu2, rel=0.1)


def test_all_that_was_tried_comes_back_the_best_first(solver, truth, found):
    scores = [fit.score for fit in found]
    assert scores == sorted(scores, reverse=True)
    assert 8 <= len(found) <= 1 + 400
    assert objective_of(solver, truth)(found[-1].parameters) == found[-1]


class TestPushing:
    """Where tumours push tissue, how hard is searched, too."""

    TRUTH = dataclasses.replace(TRUTH, mass_effect=14000.0)

    @pytest.fixture(scope="class")
    def solver(self, small_atlas):
        return MassEffect(small_atlas, MassEffectSettings(pushes=6))

    @pytest.fixture(scope="class")
    def truth(self, solver):
        return solver(self.TRUTH)

    @pytest.mark.slow
    @pytest.mark.parametrize("start", [0.0, 3000.0])
    def test_the_mass_effect_is_searched(self, solver, truth, start):
        near = [dataclasses.replace(NEAR, mass_effect=m) for m in (start, 5000.0)]
        found = refine_locally(objective_of(solver, truth), near, LocalSettings(240, 2))
        assert sum(found[0].dice) > 1.93
        assert len({fit.parameters.mass_effect for fit in found}) > 200
        assert min(fit.parameters.mass_effect for fit in found) >= 0

    def test_numbers_give_back_the_tumour(self):
        back = from_numbers(pushing_numbers(self.TRUTH))
        assert back.mass_effect == pytest.approx(14000)
        assert (back.mu1, back.mu2) == pytest.approx((self.TRUTH.mu1, self.TRUTH.mu2))
        assert from_numbers(np.array([*as_numbers(self.TRUTH), -2.0])).mass_effect == 2000
        assert from_numbers(as_numbers(self.TRUTH)).mass_effect == 0


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.slow
def test_cores_do_not_matter(solver, truth, monkeypatch, cores):
    expected = refine_locally(objective_of(solver, truth), [NEAR], LocalSettings(24, 1))
    monkeypatch.setattr(local, "available_cores", lambda: cores)
    assert refine_locally(objective_of(solver, truth), [NEAR], LocalSettings(24, 1)) == expected


def test_another_seed_tries_others(solver, truth):
    objective = objective_of(solver, truth)
    tried = [refine_locally(objective, [NEAR], LocalSettings(8, 1, seed)) for seed in (0, 1)]
    assert tried[0] != tried[1]


def test_the_random_numbers_of_others_are_left_alone(solver, truth):
    np.random.seed(3)  # noqa: NPY002 - those of all of numpy
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    refine_locally(objective_of(solver, truth), [NEAR], LocalSettings(16, 1))
    np.testing.assert_array_equal(np.random.random(3), expected)  # noqa: NPY002


def test_starts_compete_then_the_best_goes_on_and_later_ones_are_not_used(solver, truth):
    told, asked = [], []

    class Spy(DiceObjective):
        def __call__(self, parameters):
            asked.append(parameters)
            return super().__call__(parameters)

    spy = Spy(solver, truth >= np.float32(0.6), truth >= np.float32(0.2), USUAL)
    far = dataclasses.replace(NEAR, seed_mm=(25.0, -20.0, 0.0))
    farther = dataclasses.replace(NEAR, seed_mm=(1000.0, 0.0, 0.0))
    tried = refine_locally(spy, [far, NEAR, farther], LocalSettings(128, 2), lambda *progress: told.append(progress))
    assert [done for done, _ in told] == list(range(8, 129, 8))
    assert {of for _, of in told} == {128}
    assert len(asked) == 2 + 128
    seeds = np.array([parameters.seed_mm for parameters in asked[2:]])
    assert (np.linalg.norm(seeds[:16] - far.seed_mm, axis=1) < 25).all()
    assert (np.linalg.norm(seeds[16:] - NEAR.seed_mm, axis=1) < 25).all()
    assert len(tried) == 2 + 128


@pytest.mark.slow
def test_a_start_that_converged_leaves_the_rest_to_the_next(solver, truth):
    objective = objective_of(solver, truth)
    far = dataclasses.replace(NEAR, seed_mm=(25.0, -20.0, 0.0))
    alone = refine_locally(objective, [NEAR], LocalSettings(2000, 1))
    assert len(alone) < 1500
    assert len(refine_locally(objective, [NEAR, far], LocalSettings(2000, 2))) > len(alone) + 2000 / 8


def test_what_a_hopeless_start_leaves_the_best_one_has(solver, truth):
    nowhere = dataclasses.replace(NEAR, seed_mm=(1000.0, 0.0, 0.0))
    tried = refine_locally(objective_of(solver, truth), [NEAR, nowhere], LocalSettings(80, 2))
    assert len(tried) == 2 + 80
    assert sum(fit.score == 0 for fit in tried) < 40


def test_what_is_found_is_never_worse_than_a_start(solver, truth):
    objective = objective_of(solver, truth)
    tried = refine_locally(objective, [TRUTH], LocalSettings(8, 1))
    assert tried[0] == objective(from_numbers(as_numbers(TRUTH)))
    assert tried[0].score > max(fit.score for fit in tried[1:])


def test_large_tumours_end_it_sooner(solver, truth, found):
    spent = sum(fit.updates for fit in found)
    sooner = refine_locally(objective_of(solver, truth), [NEAR], LocalSettings(400, 1, updates=spent // 4))
    assert len(sooner) < len(found) / 2
    assert spent / 4 <= sum(fit.updates for fit in sooner) < spent / 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [((7, 1), "too few"), ((15, 2), "at least 16"), ((100, 0), "starts"), ((100, 1, -1), "seed")],
)
def test_budgets_that_cannot_be_spent_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        LocalSettings(*settings)


def test_numbers_are_those_of_the_same_tumour():
    again = from_numbers(as_numbers(TRUTH))
    assert (again.mu1, again.mu2) == pytest.approx((TRUTH.mu1, TRUTH.mu2))
    assert again.seed_mm == TRUTH.seed_mm
