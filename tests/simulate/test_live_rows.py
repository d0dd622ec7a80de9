import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliodex.simulate.live_rows import LANES, TAIL, extent_of_rows, living, sides_reached, widen


def empty_rows(shape, depth):
    return np.full(shape, depth, np.int32), np.zeros(shape, np.int32)


def living_rows(u, first=None, stop=None):
    live = empty_rows(u.shape[:2], u.shape[2])
    if first is None:
        stop, first = empty_rows(u.shape[:2], u.shape[2])
    living(u, first, stop, *live)
    return live


def sparse(seed, shape, share=0.02):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < share, rng.random(shape), 0).astype(np.float32)


def test_extent_holds_all_that_is_set_and_starts_and_ends_with_it():
    mask = sparse(0, (6, 7, 20), 0.1) > 0
    first, stop = extent_of_rows(mask)
    for x, y in np.ndindex(6, 7):
        places = np.flatnonzero(mask[x, y])
        assert (first[x, y], stop[x, y]) == ((places[0], places[-1] + 1) if len(places) else (20, 0))


@pytest.mark.parametrize("seed", range(4))
def test_living_cells_are_those_above_the_tail(seed):
    u = sparse(seed, (5, 6, 32)) * np.float32(3e-8)
    for found, expected in zip(living_rows(u), extent_of_rows(u > TAIL), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_living_looks_only_inside_the_rows_parts():
    u = np.ones((1, 1, 32), np.float32)
    found = living_rows(u, np.array([[5]], np.int32), np.array([[9]], np.int32))
    assert [int(v[0, 0]) for v in found] == [5, 9]
    found = living_rows(u, np.array([[9]], np.int32), np.array([[5]], np.int32))
    assert [int(v[0, 0]) for v in found] == [32, 0]


@pytest.mark.parametrize("margin", [4, 6])
@pytest.mark.parametrize("side", range(6))
def test_the_one_side_that_life_has_come_near_is_named(side, margin):
    reached = np.ones(6, np.bool_)
    for distance, expected in ((margin - 1, [side]), (margin, [])):
        u = np.zeros((22, 20, 32), np.float32)  # the outer x planes are ghosts
        inner = u[1:-1]
        place = [10, 10, 16]
        place[side // 2] = distance if side % 2 == 0 else inner.shape[side // 2] - 1 - distance
        inner[tuple(place)] = 1e-7
        sides_reached(*living_rows(u), margin, 32, reached)
        assert list(np.flatnonzero(reached)) == expected


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), margin=st.sampled_from([4, 6, 8]), share=st.floats(0, 0.02))
def test_rows_widen_to_all_tissue_within_the_margin_and_to_little_else(seed, margin, share):
    shape = (18, 15, 4 * LANES)
    u = sparse(seed, shape, share)
    tissue = np.random.default_rng(seed + 1).random(shape) < 0.7
    u[~tissue] = 0
    first, stop = empty_rows(shape[:2], shape[2])
    cells = widen(*living_rows(u), margin, *extent_of_rows(tissue), first, stop)
    parts = np.zeros(shape, np.bool_)
    for x, y in np.ndindex(*shape[:2]):
        parts[x, y, first[x, y] : stop[x, y]] = True
    assert cells == parts.sum()
    assert not (first[parts.any(2)] % LANES).any()
    assert not (stop[parts.any(2)] % LANES).any()
    near = np.zeros(shape, np.bool_)
    for x, y, z in np.argwhere(u > TAIL):
        near[
            max(0, x - margin) : x + margin + 1,
            max(0, y - margin) : y + margin + 1,
            max(0, z - margin) : z + margin + 1,
        ] = True
    assert (parts >= (near & tissue)).all()
    assert not parts[~near.any(2)].any()


def test_rows_never_narrow():
    first, stop = np.full((9, 9), 16, np.int32), np.full((9, 9), 48, np.int32)
    nothing = empty_rows((9, 9), 64)
    assert widen(*nothing, 4, np.zeros((9, 9), np.int32), np.full((9, 9), 64, np.int32), first, stop) == 81 * 32
    assert (first == 16).all()
    assert (stop == 48).all()
