"""Carrying contents along with a motion: conserved, never negative, and where it should be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliodex.simulate.mass_effect.advection import carry
from gliodex.simulate.mass_effect.elastic_stencil import rows_of

MARGIN = 2


def grid(shape):
    inside = np.zeros(shape, bool)
    inside[MARGIN:-MARGIN, MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    return inside


def shifts_within(inside, shifts):
    """Nothing passes a face that is not between two cells inside."""
    free = np.stack([inside & np.roll(inside, -1, axis) for axis in range(3)])
    return np.where(free, shifts, 0).astype(np.float32)


def carried(fields, shifts, inside):
    fields = fields.astype(np.float32)
    steps = carry(fields, shifts, *rows_of(inside), np.zeros((2, *inside.shape), np.float32))
    return fields, steps


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), fastest=st.floats(0, 3), holes=st.floats(0, 0.5))
def test_nothing_is_lost_and_nothing_falls_below_zero(seed, fastest, holes):
    rng = np.random.default_rng(seed)
    inside = grid((12, 11, 10)) & (rng.random((12, 11, 10)) >= holes)
    fields = rng.random((3, *inside.shape)) * inside * rng.integers(0, 2, (3, *inside.shape))
    before = fields.sum(axis=(1, 2, 3))
    after, _ = carried(fields, shifts_within(inside, rng.uniform(-fastest, fastest, (3, *inside.shape))), inside)
    np.testing.assert_allclose(after.sum(axis=(1, 2, 3), dtype=np.float64), before, rtol=2e-6, atol=1e-6)
    assert after.min() >= -1e-7
    assert not after[:, ~inside].any()


def test_what_turns_in_a_ring_stays_even():
    """A motion without divergence keeps what is the same everywhere."""
    inside = grid((20, 20, 9))
    stream = np.zeros((20, 20))
    stream[4:15, 4:15] = np.random.default_rng(0).random((11, 11)) * 0.1
    shifts = np.zeros((3, *inside.shape))
    shifts[0] = (stream - np.roll(stream, 1, axis=1))[..., None]
    shifts[1] = -(stream - np.roll(stream, 1, axis=0))[..., None]
    after, _ = carried(np.where(inside, 1.0, 0.0)[None], shifts_within(inside, shifts), inside)
    np.testing.assert_allclose(after[0][inside], 1.0, atol=2e-6)


@pytest.mark.parametrize("axis", range(3))
def test_a_smooth_hill_is_moved_with_second_order(axis):
    errors = []
    for cells in (32, 64):
        shape = [10, 10, 10]
        shape[axis] = cells + 2 * MARGIN
        inside = grid(tuple(shape))
        at = (np.arange(shape[axis]) - MARGIN + 0.5) / cells
        way = 0.2

        def hill(x):
            return np.exp(-(((x - 0.4) / 0.1) ** 2))

        profile = np.moveaxis(np.broadcast_to(hill(at), (10, 10, len(at))), -1, axis)
        fields = np.where(inside, profile, 0.0)[None].astype(np.float32)
        shifts = np.zeros((3, *shape))
        steps = cells // 2
        shifts[axis] = way * cells / steps
        for _ in range(steps):
            fields, made = carried(fields, shifts_within(inside, shifts), inside)
            assert made == 1
        line = np.moveaxis(fields[0], axis, -1)[5, 5]
        errors.append(np.abs(line - hill(at - way))[MARGIN:-MARGIN].mean())
    assert errors[1] < 0.35 * errors[0], "a monotonised limiter flattens the peak, the rest is of second order"
    assert errors[1] < 0.004


def test_a_long_way_is_made_in_steps():
    inside = grid((20, 9, 9))
    fields = np.zeros((1, *inside.shape))
    fields[0, 5, 4, 4] = 1.0
    shifts = np.zeros((3, *inside.shape))
    shifts[0] = 3.0
    after, steps = carried(fields, shifts_within(inside, shifts), inside)
    assert steps == 6
    where = np.average(np.arange(20), weights=after[0].sum(axis=(1, 2)))
    assert where == pytest.approx(8.0, abs=0.2)


def test_at_rest_nothing_changes():
    inside = grid((9, 9, 9))
    fields = np.random.default_rng(0).random((2, 9, 9, 9)).astype(np.float32) * inside
    after, steps = carried(fields, np.zeros((3, 9, 9, 9), np.float32), inside)
    assert steps == 1
    np.testing.assert_array_equal(after, fields)
