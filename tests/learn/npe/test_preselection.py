import numpy as np

from gliodex.learn.npe.preselection import alike

from ..balls import balls


def test_pairs_near_the_observation_are_chosen():
    rng = np.random.default_rng(3)
    points = rng.uniform([4, 2, 0.3], [10, 6, 0.95], (1500, 3))
    truth = np.array([7, 4, 0.6])
    chosen = alike(points, balls(points), balls([truth])[0])
    assert 200 <= len(chosen) < 900
    assert len(set(chosen)) == len(chosen)
    apart = np.abs(points - truth) / points.std(axis=0)
    assert apart[chosen].mean() < 0.7 * apart.mean()


def test_of_pairs_that_cannot_be_told_apart_most_are_kept():
    rng = np.random.default_rng(4)
    points = rng.normal(size=(600, 2))  # that have nothing to do with what is seen
    maps = balls(rng.uniform([5, 3, 0.5], [9, 5, 0.9], (600, 3)))
    assert len(alike(points, maps, maps[0])) > 400


def test_few_pairs_are_all_kept():
    rng = np.random.default_rng(5)
    points = rng.uniform([5, 3, 0.5], [9, 5, 0.9], (60, 3))
    maps = balls(points)
    np.testing.assert_array_equal(np.sort(alike(points, maps, maps[0])), np.arange(60))
