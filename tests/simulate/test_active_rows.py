import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliodex.simulate.active_rows import LANES, TAIL, bounds_of, extent_of_rows, living, sides_reached, widen


def empty_rows(shape, depth):
    return np.full(shape, depth, np.int32), np.zeros(shape, np.int32)


def all_rows(u):
    return 0, u.shape[0], 0, u.shape[1]


def living_rows(u, first=None, stop=None, bounds=None):
    live = empty_rows(u.shape[:2], u.shape[2])
    if first is None:
        stop, first = empty_rows(u.shape[:2], u.shape[2])
    living(u, first, stop, bounds or all_rows(u), *live)
    return live


def sparse(seed, shape, share=0.02):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < share, rng.random(shape), 0).astype(np.float32)


def parts_of(first, stop, depth):
    z = np.arange(depth)
    return (z >= first[..., None]) & (z < stop[..., None])


def around(places, shape):
    """Smallest bounds of rows that hold all of these, and an empty one where there are none."""
    if not len(places):
        return shape[0], shape[0], shape[1], shape[1]
    (x, y), (x_last, y_last) = places[:, :2].min(0), places[:, :2].max(0)
    return int(x), int(x_last) + 1, int(y), int(y_last) + 1


def test_extent_holds_all_that_is_set_and_starts_and_ends_with_it():
    mask = sparse(0, (6, 7, 20), 0.1) > 0
    first, stop = extent_of_rows(mask)
    for x, y in np.ndindex(6, 7):
        places = np.flatnonzero(mask[x, y])
        assert (first[x, y], stop[x, y]) == ((places[0], places[-1] + 1) if len(places) else (20, 0))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3])
@pytest.mark.parametrize("within", [(0, 14, 0, 11), (3, 9, 2, 8), (5, 5, 4, 7), (4, 7, 6, 6)])
def test_bounds_hold_the_rows_that_have_a_part_and_no_more(share, within):
    mask = sparse(3, (14, 11, 20), share) > 0
    places = np.argwhere(mask)
    x, x_stop, y, y_stop = within
    places = places[(places[:, 0] >= x) & (places[:, 0] < x_stop) & (places[:, 1] >= y) & (places[:, 1] < y_stop)]
    found = bounds_of(*extent_of_rows(mask), within)
    if len(places):
        assert found == around(places, mask.shape)
    else:
        assert found[0] == found[1]
        assert found[2] == found[3]


@pytest.mark.parametrize("seed", range(4))
def test_living_cells_are_those_above_the_tail(seed):
    u = sparse(seed, (5, 6, 32)) * np.float32(3e-8)
    live, expected = living_rows(u), extent_of_rows(u > TAIL)
    for found, wanted in zip(live, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    first, stop = np.zeros((2, 5, 6), np.int32)
    stop[:] = 32
    cells = living(u, first, stop, all_rows(u), *empty_rows((5, 6), 32))
    assert cells == parts_of(*expected, 32).sum()


def test_living_looks_only_inside_the_rows_parts():
    u = np.ones((1, 1, 32), np.float32)
    found = living_rows(u, np.array([[5]], np.int32), np.array([[9]], np.int32))
    assert [int(v[0, 0]) for v in found] == [5, 9]
    found = living_rows(u, np.array([[9]], np.int32), np.array([[5]], np.int32))
    assert [int(v[0, 0]) for v in found] == [32, 0]


def test_living_looks_only_inside_the_bounds():
    """Rows outside are not even written."""
    u = np.ones((7, 6, 32), np.float32)
    first, stop = np.zeros((2, 7, 6), np.int32)
    stop[:] = 32
    live_first, live_stop = np.full((2, 7, 6), -7, np.int32)
    assert living(u, first, stop, (2, 5, 1, 4), live_first, live_stop) == 9 * 32
    inside = np.zeros((7, 6), np.bool_)
    inside[2:5, 1:4] = True
    np.testing.assert_array_equal(live_first, np.where(inside, 0, -7))
    np.testing.assert_array_equal(live_stop, np.where(inside, 32, -7))


@pytest.mark.parametrize("margin", [4, 6, 8])
@pytest.mark.parametrize("side", range(6))
def test_the_one_side_that_life_has_come_near_is_named(side, margin):
    """As soon as the first cells of the box itself would be computed, which along z begins with their whole lanes."""
    reached, shape = np.ones(6, np.bool_), (26, 24, 4 * LANES)
    nearest = margin + (LANES if side > 3 else 1)
    for distance, expected in ((0, [side]), (nearest - 1, [side]), (nearest, [])):
        u = np.zeros(shape, np.float32)  # the outer x planes are ghosts
        inner = u[1:-1]
        place = [12, 12, 32]
        place[side // 2] = distance if side % 2 == 0 else inner.shape[side // 2] - 1 - distance
        inner[tuple(place)] = 1e-7
        sides_reached(*living_rows(u), all_rows(u), margin, shape[2], reached)
        assert list(np.flatnonzero(reached)) == expected


def test_no_side_is_reached_without_life():
    reached = np.ones(6, np.bool_)
    u = np.zeros((9, 8, 32), np.float32)
    sides_reached(*living_rows(u), all_rows(u), 8, 32, reached)
    assert not reached.any()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    margin=st.sampled_from([4, 6, 8]),
    places=st.integers(1, 4),
    box=st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 6)),
)
def test_sides_are_reached_where_the_rows_parts_would_touch_them(seed, margin, places, box):
    """A box inside a far larger grid of tissue: what is computed around life decides."""
    rng = np.random.default_rng(seed)
    shape, start, size = (60, 60, 10 * LANES), np.array([16, 15, 2 * LANES]), np.array([*box[:2], box[2] * LANES])
    u = np.zeros(shape, np.float32)
    for _ in range(places):
        u[tuple(start + rng.integers(0, size))] = 0.5
    tissue = np.zeros(shape[:2], np.int32), np.full(shape[:2], shape[2], np.int32)
    first, stop = empty_rows(shape[:2], shape[2])
    widen(*living_rows(u), margin, *tissue, all_rows(u), first, stop)
    parts = np.argwhere(parts_of(first, stop, shape[2]))
    touched = np.column_stack([parts.min(0) <= start, parts.max(0) >= start + size - 1]).ravel()

    (x, y, z), (nx, ny, nz) = start, size
    cut = np.pad(u[x : x + nx, y : y + ny, z : z + nz], ((1, 1), (0, 0), (0, 0)))
    bounds, reached = around(np.argwhere(cut), cut.shape), np.ones(6, np.bool_)
    sides_reached(*living_rows(cut), bounds, margin, cut.shape[2], reached)
    np.testing.assert_array_equal(reached, touched)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    margin=st.sampled_from([4, 6, 8]),
    share=st.one_of(st.floats(0, 0.02), st.just(0.0004)),
)
def test_rows_widen_to_all_tissue_within_the_margin_and_to_little_else(seed, margin, share):
    shape = (18, 15, 4 * LANES)
    u = sparse(seed, shape, share)
    tissue = np.random.default_rng(seed + 1).random(shape) < 0.7
    u[~tissue] = 0
    first, stop = empty_rows(shape[:2], shape[2])
    places, live = np.argwhere(u > TAIL), living_rows(u)
    cells, bounds = widen(*live, margin, *extent_of_rows(tissue), all_rows(u), first, stop)
    parts = parts_of(first, stop, shape[2])
    assert cells == parts.sum()
    assert bounds == around(np.argwhere(parts), shape) if parts.any() else bounds[0] == bounds[1]
    assert not (first[parts.any(2)] % LANES).any()
    assert not (stop[parts.any(2)] % LANES).any()
    near = np.zeros(shape, np.bool_)
    for x, y, z in places:
        near[
            max(0, x - margin) : x + margin + 1,
            max(0, y - margin) : y + margin + 1,
            max(0, z - margin) : z + margin + 1,
        ] = True
    assert (parts >= (near & tissue)).all()
    assert not parts[~near.any(2)].any()
    # bounds that hold life and no more lead to the same
    again = empty_rows(shape[:2], shape[2])
    assert widen(*live, margin, *extent_of_rows(tissue), around(places, shape), *again) == (cells, bounds)
    np.testing.assert_array_equal(again, (first, stop))


def test_rows_never_narrow():
    first, stop = np.full((9, 9), 16, np.int32), np.full((9, 9), 48, np.int32)
    nothing, tissue = empty_rows((9, 9), 64), (np.zeros((9, 9), np.int32), np.full((9, 9), 64, np.int32))
    assert widen(*nothing, 4, *tissue, (0, 9, 0, 9), first, stop) == (81 * 32, (0, 9, 0, 9))
    assert (first == 16).all()
    assert (stop == 48).all()


def test_bounds_keep_rows_that_had_a_part_before():
    """Life has left the rows of one corner and lives in another."""
    first, stop = empty_rows((20, 20), 64)
    first[2:4, 3:5], stop[2:4, 3:5] = 16, 32
    live_first, live_stop = empty_rows((20, 20), 64)
    live_first[12, 13], live_stop[12, 13] = 30, 31
    tissue = np.zeros((20, 20), np.int32), np.full((20, 20), 64, np.int32)
    cells, bounds = widen(live_first, live_stop, 4, *tissue, (2, 13, 3, 14), first, stop)
    assert bounds == (2, 17, 3, 18)
    assert cells == 4 * 16 + 81 * 32
