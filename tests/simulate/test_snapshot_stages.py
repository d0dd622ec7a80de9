import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gliodex.simulate.snapshots import EARLIEST_SHARE, snapshot_shares

SEEDS = st.integers(0, 2**64 - 1)
DRAWS = st.integers(0, 2**64 - 1)


def places_in_parts(shares):
    """Where each share lies in its own part of the run's life, on the scale of log volume: 0 at its beginning.

    A volume that grows like t³ is multiplied by the same factor over equal steps of log t. The life from
    `EARLIEST_SHARE` to the end has as many parts as shares and half a part more, which ends it.
    """
    times = np.log(np.asarray(shares) / EARLIEST_SHARE) / -math.log(EARLIEST_SHARE)
    return times * (len(shares) + 0.5) - np.arange(len(shares))


@given(st.integers(1, 20), SEEDS, DRAWS)
def test_shares_rise_from_half_of_the_run_to_before_its_end(count, seed, index):
    shares = snapshot_shares(count, seed, index)
    assert len(shares) == count
    assert all(type(share) is float for share in shares)
    assert shares[0] >= EARLIEST_SHARE
    assert shares[-1] < 1
    assert all(earlier < later for earlier, later in itertools.pairwise(shares))


@given(st.integers(1, 20), SEEDS, DRAWS)
def test_one_share_falls_into_each_part_that_multiplies_the_volume_alike(count, seed, index):
    places = places_in_parts(snapshot_shares(count, seed, index))
    assert (places >= -1e-9).all()
    assert (places < 1 + 1e-9).all()


@pytest.mark.parametrize("seed", [0, 5, 2**64 - 1])
def test_no_snapshots_have_no_shares(seed):
    assert snapshot_shares(0, seed, 3) == ()


def test_the_same_draw_has_the_same_shares_whatever_was_drawn_before():
    forwards = [snapshot_shares(3, 5, index) for index in range(50)]
    backwards = [snapshot_shares(3, 5, index) for index in reversed(range(50))]
    assert forwards == backwards[::-1]
    assert snapshot_shares(3, np.uint64(5), np.int64(7)) == forwards[7]


def test_shares_are_those_of_earlier_versions():
    """A campaign goes on where another machine, or another version, left it: its stream may never change."""
    expected = (0.5027172454762835, 0.7274595041376458, 0.8741166541330682)
    assert snapshot_shares(3, 5, 7) == pytest.approx(expected, rel=1e-14)


def test_draws_and_seeds_have_shares_of_their_own():
    found = {snapshot_shares(2, seed, index) for seed in range(20) for index in range(20)}
    assert len(found) == 400


def test_shares_are_uniform_in_their_parts():
    places = np.array([places_in_parts(snapshot_shares(3, 11, index)) for index in range(3000)])
    for part in places.T:
        assert stats.kstest(part, "uniform").pvalue > 0.001
    assert np.abs(np.corrcoef(places.T) - np.eye(3)).max() < 0.06


def test_shares_are_independent_of_what_the_prior_draws():
    """The prior takes its numbers from the same key: `Prior.draw` reads seed, rates and duration off its beginning."""
    count, draws = 3, 3000
    places = np.array([places_in_parts(snapshot_shares(count, 11, index)) for index in range(draws)])
    drawn = np.array([of_the_prior(11, index) for index in range(draws)])
    assert not np.isclose(places[:, :, None], drawn[:, None, :], rtol=0, atol=1e-12).any()
    correlations = np.corrcoef(places.T, drawn.T)[:count, count:]
    assert np.abs(correlations).max() < 0.08  # 4.4 standard errors, for 60 of them


def of_the_prior(seed, index):
    """The first twenty numbers of the stream that a draw's parameters come from."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, index], np.uint64))).random(20)
