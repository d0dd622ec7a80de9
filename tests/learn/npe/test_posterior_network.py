import builtins
import dataclasses

import numpy as np
import pytest

from gliodex.errors import InputError

pytest.importorskip("sbi", reason="the learn extra is not installed")

from gliodex.learn.npe.posterior_network import (
    NeuralSettings,
    infer_from_labels,
    learn_posterior,
)
from gliodex.learn.npe.truncated_prior import Region

from ..balls import SHAPE, balls

SMALL = NeuralSettings(simulations=200, rounds=2, mixture=2, hidden=30, networks=2, seed=3)


class Balls:
    """Nested balls of an unknown place, size and core; a fourth number that nothing shows."""

    low, high = np.array([5.0, 2.5, 0.4, -1.0]), np.array([9.0, 5.5, 0.9, 1.0])

    def __init__(self, impossible=0.0):
        self.impossible, self.simulated = impossible, []

    def label_maps(self, points, rng):
        self.simulated.append(points)
        possible = rng.random(len(points)) >= self.impossible
        return possible, balls(points[possible, :3]).reshape(-1, *SHAPE)


TRUTH = np.array([6.6, 3.9, 0.66, 0.3])
OBSERVED = balls(TRUTH[None, :3])[0]


@pytest.fixture(scope="module")
def problem():
    return Balls()


@pytest.fixture(scope="module")
def inferred(problem):
    return infer_from_labels(problem, OBSERVED, SMALL)


def test_what_the_outlines_show_is_found_and_what_they_do_not_stays_open(inferred):
    drawn = inferred.draw(2000, 1)
    assert drawn.shape == (2000, 4)
    assert ((drawn >= Balls.low) & (drawn <= Balls.high)).all(), "a mixture does not leak out of the prior"
    assert (np.abs(drawn.mean(axis=0) - TRUTH)[:3] < [0.3, 0.3, 0.08]).all()
    spread = drawn.std(axis=0) / (Balls.high - Balls.low)
    assert (spread[:3] < 0.12).all()
    assert spread[3] == pytest.approx(1 / np.sqrt(12), abs=0.06), "the prior is uniform"


def test_the_truth_lies_in_the_90_percent_region(inferred):
    assert inferred.levels(TRUTH[None], OBSERVED[None], 1000)[0] < 0.9


def test_later_rounds_simulate_nearer_to_the_observation(problem, inferred):
    first, last = (np.abs(drawn - TRUTH).mean(axis=0)[:3] for drawn in (problem.simulated[0], problem.simulated[-1]))
    assert (last < first).all()
    assert last[1] < 0.75 * first[1]
    assert [one.simulations for one in inferred.rounds] == [200, 400]
    assert inferred.rounds[-1].share < 0.5 * inferred.rounds[0].share
    assert inferred.rounds[-1].pairs == len(inferred.pairs[0])
    assert inferred.region.holds(inferred.pairs[0]).all()
    assert inferred.region.holds(problem.simulated[-1]).all()
    assert not inferred.region.holds(problem.simulated[0]).all()
    assert inferred.rounds[-1].pairs > 200, "those of earlier rounds near the observation count on"


def test_densities_are_those_of_the_draws(inferred):
    """Over a part of the prior the density integrates to the share of the draws in it."""
    drawn = inferred.draw(20_000, 2)
    low, high = np.quantile(drawn, [0.2, 0.8], axis=0)
    anywhere = np.random.default_rng(3).uniform(low, high, (20_000, 4))
    mass = np.exp(inferred.log_density(anywhere)).mean() * np.prod(high - low)
    share = ((drawn >= low) & (drawn <= high)).all(axis=1).mean()
    assert mass == pytest.approx(share, rel=0.15)


@pytest.mark.slow
def test_seeds_repeat_and_differ(inferred):
    again = infer_from_labels(Balls(), OBSERVED, SMALL)
    np.testing.assert_array_equal(again.draw(50, 1), inferred.draw(50, 1))
    assert not np.array_equal(inferred.draw(50, 1), inferred.draw(50, 2))
    other = infer_from_labels(Balls(), OBSERVED, dataclasses.replace(SMALL, seed=4))
    assert not np.array_equal(other.draw(50, 1), inferred.draw(50, 1))


def test_an_outline_unlike_all_that_was_learned_from_is_strange(inferred):
    assert inferred.strangeness() < 4
    elsewhere = dataclasses.replace(inferred, observed=np.roll(OBSERVED, 7, axis=1))
    assert elsewhere.strangeness() > 8


def test_tumours_that_cannot_be_simulated_are_drawn_again():
    found = infer_from_labels(Balls(impossible=0.5), OBSERVED, dataclasses.replace(SMALL, rounds=1))
    assert found.rounds[0].pairs == 200
    assert found.rounds[0].simulations > 300


def test_where_nothing_can_be_simulated_is_said():
    with pytest.raises(InputError, match="too few to learn from"):
        infer_from_labels(Balls(impossible=1.0), OBSERVED, SMALL)


def test_it_may_begin_with_a_part_of_the_prior():
    problem = Balls()
    part = Region(TRUTH, np.eye(4), np.full(4, -0.2), np.full(4, 0.2))
    infer_from_labels(problem, OBSERVED, dataclasses.replace(SMALL, rounds=1), region=part)
    assert np.abs(problem.simulated[0] - TRUTH).max() <= 0.2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"simulations": 10}, "too few to learn from"),
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"mixture": 0}, "mixture"),
        ({"networks": 0}, "networks"),
        ({"seed": -1}, "negative"),
    ],
)
def test_wrong_settings_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        NeuralSettings(**options)


def test_few_pairs_are_refused():
    with pytest.raises(InputError, match="too few to learn a posterior from"):
        learn_posterior(np.zeros((5, 4)), np.zeros((5, *SHAPE), np.uint8), OBSERVED, (Balls.low, Balls.high), SMALL)


def test_a_missing_package_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "sbi":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'gliodex\[learn\]'"):
        infer_from_labels(Balls(), OBSERVED, SMALL)


def test_no_logs_are_left_where_one_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    infer_from_labels(Balls(), OBSERVED, dataclasses.replace(SMALL, simulations=60, rounds=1, networks=1))
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""
