import numpy as np
import pytest

from gliodex.learn.npe.score_statistics import fit_scores

from ..balls import SHAPE


def coins(points, rng):
    """Maps whose voxels fall as coins do, each with its own slopes; core and whole apart."""
    slopes = np.random.default_rng(7).normal(0, 0.05, (2, 2, 400))
    chances = 0.5 + np.einsum("nd,odv->onv", points, slopes)
    core = rng.random(chances[0].shape) < np.clip(chances[0], 0.02, 0.98) * 0.5
    whole = core | (rng.random(chances[1].shape) < np.clip(chances[1], 0.02, 0.98))
    return np.where(core, 2, whole).astype(np.uint8).reshape(-1, 20, 20, 1)


def correlation(scores, points):
    """How much of each number a linear reading of the scores explains."""
    beside = np.column_stack([scores, np.ones(len(scores))])
    left = points - beside @ np.linalg.lstsq(beside, points, rcond=None)[0]
    return 1 - left.var(axis=0) / points.var(axis=0)


def test_scores_are_those_of_the_likelihood_where_voxels_are_coins():
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (3000, 2))
    scores, _ = fit_scores(coins(points, rng), points)
    chance = np.stack([coins(np.zeros((2000, 2)), rng) >= label for label in (1, 2)]).mean(axis=1).reshape(2, -1)
    slope = np.empty((2, 2, 400))
    for d in range(2):
        high, low = np.zeros((4000, 2)), np.zeros((4000, 2))
        high[:, d], low[:, d] = 0.5, -0.5
        difference = [coins(p, rng).reshape(len(p), -1) for p in (high, low)]
        slope[:, d] = [(difference[0] >= k).mean(axis=0) - (difference[1] >= k).mean(axis=0) for k in (1, 2)]
    exact = slope / (chance * (1 - chance))[:, None]
    for outline in range(2):
        for d in range(2):
            found = np.corrcoef(scores.weights[outline, d], exact[outline, d])[0, 1]
            assert found > 0.8, (outline, d, found)


def test_maps_are_scored_as_if_they_had_not_been_there():
    rng = np.random.default_rng(1)
    points = rng.uniform(-1, 1, (600, 2))
    maps = coins(points, rng)
    scores, unseen = fit_scores(maps, points)
    others = rng.uniform(-1, 1, (2000, 2))
    fresh = correlation(scores(coins(others, rng)), others)
    assert (np.abs(correlation(unseen, points) - fresh) < 0.1).all()
    assert (correlation(scores(maps), points) > fresh + 0.1).all(), "their own slopes know them"


def test_each_is_scored_by_the_slopes_of_the_other_folds():
    rng = np.random.default_rng(2)
    points = rng.uniform(-1, 1, (100, 2))
    maps = coins(points, rng)
    _, unseen = fit_scores(maps, points)
    kept = np.arange(100) >= 10  # ten folds, the first of these
    # the same standardisation, so that the little that keeps the equations solvable is the same too
    alone, _ = fit_scores(maps[kept], points[kept])
    np.testing.assert_allclose(unseen[:10] / alone(maps[:10]), 1, rtol=0.2)


def test_voxels_that_hardly_ever_change_are_not_read(maps, targets):
    scores, _ = fit_scores(maps, targets)
    often = np.stack([(maps >= label).mean(axis=0).reshape(-1) for label in (1, 2)])
    rare = np.minimum(often, 1 - often) * len(maps) < 2
    assert rare.any()
    assert (scores.weights[np.broadcast_to(rare[:, None], scores.weights.shape)] == 0).all()


def test_scores_tell_what_made_them(maps, targets):
    scores, unseen = fit_scores(maps, targets)
    assert scores(maps).shape == unseen.shape == (240, 6)
    assert (correlation(unseen, targets) > 0.6).all()


@pytest.mark.parametrize("value", [0, 1, 2])
def test_outlines_that_no_simulation_has_are_scored(maps, targets, value):
    scores, _ = fit_scores(maps, targets)
    assert np.isfinite(scores(np.full((1, *SHAPE), value, np.uint8))).all()
