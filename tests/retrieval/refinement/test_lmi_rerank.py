"""What a network tells is simulated, with draws, and the middle of the best of them."""

from dataclasses import replace

import numpy as np
import pytest

from gliodex.retrieval.refinement.lmi_rerank import BEST, middle_of, simulated
from gliodex.retrieval.refinement.objective import DiceObjective
from gliodex.simulate import FisherKolmogorov, GrowthParameters

TRUTH = GrowthParameters((-8.0, -20.0, 12.0), 0.4, 0.05, 200.0)
THRESHOLDS = {"core": 0.6, "whole": 0.2}


@pytest.fixture(scope="module")
def objective(small_atlas):
    solver = FisherKolmogorov(small_atlas)
    truth = solver(TRUTH)
    return DiceObjective(solver, truth >= np.float32(0.6), truth >= np.float32(0.2), THRESHOLDS)


def around(step, mm):
    """Tumours to all sides of the truth, as far as each other."""
    faster, wider = (replace(TRUTH, **{name: getattr(TRUTH, name) * step}) for name in ("duration", "diffusivity"))
    slower, tighter = (replace(TRUTH, **{name: getattr(TRUTH, name) / step}) for name in ("duration", "diffusivity"))
    x, y, z = TRUTH.seed_mm
    ends = [(x + mm, y, z), (x - mm, y, z), (x, y + mm, z), (x, y - mm, z)]
    return [replace(one, seed_mm=seed) for one, seed in zip((faster, slower, wider, tighter), ends, strict=True)]


def test_the_middle_of_tumours_all_around_is_in_the_middle():
    middle = middle_of(around(1.5, 4.0))
    assert (middle.mu1, middle.mu2) == pytest.approx((TRUTH.mu1, TRUTH.mu2))
    assert middle.seed_mm == pytest.approx(TRUTH.seed_mm)
    assert middle_of([TRUTH]).mu1 == pytest.approx(TRUTH.mu1)


def test_the_middle_of_the_best_draws_fits_better_than_each(objective):
    far = [replace(TRUTH, duration=TRUTH.duration * factor) for factor in (0.3, 0.4, 2.5, 3.0)]
    found = simulated(objective, far[0], [*far[:2], *around(1.2, 5.0), *far[2:]])
    assert len(found.draws) == 8
    assert found.middle.score == pytest.approx(2.0, abs=1e-3), "the far ones have no part in it"
    assert found.middle.score > max(sample.score for sample in found.draws)
    assert found.all == (found.told, *found.draws, found.middle)


def test_growth_that_cannot_be_is_left_out(objective):
    huge = replace(TRUTH, duration=9000.0)
    found = simulated(objective, huge, [huge] * BEST)
    assert found == (None, (), None)
    assert found.all == ()
    found = simulated(objective, TRUTH, [huge, *[TRUTH] * (BEST - 1)])
    assert found.middle is None, f"there are not {BEST} draws"
    assert len(found.draws) == BEST - 1


def test_seeds_are_brought_into_the_tissue(objective, small_atlas):
    corner = tuple(small_atlas.frame.world(np.array([1.0, 1, 1])).tolist())
    found = simulated(objective, replace(TRUTH, seed_mm=corner), [])
    assert objective.solver.nearest_seed(corner) == found.told.parameters.seed_mm
