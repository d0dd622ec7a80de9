import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliodex.errors import InputError
from gliodex.store.quantization import LEVELS, bounding_box, dequantise, level_of, quantise

ALL_LEVELS = np.arange(LEVELS + 1, dtype=np.uint16)


def test_the_thresholds_fall_exactly_on_integers():
    assert dequantise(np.array([819, 2457, 0, 4095], np.uint16)).tolist() == [
        np.float32(0.2),
        np.float32(0.6),
        0.0,
        1.0,
    ]
    assert quantise(np.array([0.2, 0.6], np.float32)).tolist() == [819, 2457]
    assert (level_of(0.2), level_of(0.6)) == (819, 2457)


def test_a_density_just_below_a_threshold_stays_below_it():
    below = np.nextafter(np.array([0.2, 0.6], np.float32), np.float32(0))
    assert (dequantise(quantise(below)) < np.array([0.2, 0.6], np.float32)).all()


def test_a_density_read_from_a_store_is_stored_again_unchanged():
    np.testing.assert_array_equal(quantise(dequantise(ALL_LEVELS)), ALL_LEVELS)


def test_densities_are_the_nearest_float32_to_the_fraction():
    expected = (ALL_LEVELS.astype(np.float64) / LEVELS).astype(np.float32)
    np.testing.assert_array_equal(dequantise(ALL_LEVELS), expected)


@given(st.floats(0, 1, width=32))
@settings(max_examples=200, deadline=None)
def test_quantising_takes_the_floor_of_4095_u(u):
    expected = int(np.floor(np.float64(np.float32(u)) * 4095))
    assert int(quantise(np.array([u], np.float32))[0]) == min(expected, LEVELS)


@given(st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_comparing_integers_with_the_level_equals_comparing_densities_with_the_threshold(threshold):
    np.testing.assert_array_equal(dequantise(ALL_LEVELS) >= np.float32(threshold), level_of(threshold) <= ALL_LEVELS)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e-3, 1.01])
def test_a_density_outside_the_unit_interval_is_refused(bad):
    with pytest.raises(InputError, match="density"):
        quantise(np.array([0.5, bad], np.float32))


def test_rounding_errors_above_one_are_taken_as_one():
    assert quantise(np.array([np.nextafter(np.float32(1), np.float32(2))])).tolist() == [LEVELS]


def test_quantising_keeps_the_place_of_every_voxel_whatever_the_memory_order():
    density = np.random.default_rng(5).random((4, 5, 6)).astype(np.float32)
    expected = np.floor(np.float64(density) * 4095)
    for view in (density, np.asfortranarray(density)):
        np.testing.assert_array_equal(quantise(view), expected)
    np.testing.assert_array_equal(quantise(density[::-1, :, ::2]), expected[::-1, :, ::2])
    np.testing.assert_array_equal(quantise(density.transpose(2, 0, 1)), expected.transpose(2, 0, 1))


def test_one_bad_voxel_among_many_is_enough_to_refuse():
    for place in (0, 499, 999):
        density = np.full(1000, 0.5, np.float32)
        density[place] = np.nan
        with pytest.raises(InputError):
            quantise(density)


@given(st.integers(0, 10_000), st.tuples(*[st.integers(1, 7)] * 3), st.floats(0, 0.2))
@settings(max_examples=100, deadline=None)
def test_the_bounding_box_is_that_of_the_voxels_that_are_not_zero(seed, shape, share):
    rng = np.random.default_rng(seed)
    integers = (rng.integers(1, LEVELS + 1, shape) * (rng.random(shape) < share)).astype(np.uint16)
    places = np.argwhere(integers)
    expected = [*places.min(axis=0), *(places.max(axis=0) + 1)] if len(places) else [0] * 6
    assert list(bounding_box(integers)) == expected
