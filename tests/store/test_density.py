import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliodex.errors import InputError
from gliodex.store import THRESHOLDS, EncodedTumour, Frame, GrowthParameters
from gliodex.store.density import decode, encode
from gliodex.store.integers import LEVELS, dequantise, level_of, quantise

ALL_LEVELS = np.arange(LEVELS + 1, dtype=np.uint16)
PARAMETERS = GrowthParameters((0, 0, 0), 0.1, 0.1, 100)


def blob(seed, shape=(9, 8, 7)):
    rng = np.random.default_rng(seed)
    return rng.integers(0, LEVELS + 1, shape, dtype=np.uint16) * (rng.random(shape) < 0.5)


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


@given(st.integers(0, 10_000), st.tuples(*[st.integers(1, 9)] * 3))
@settings(max_examples=40, deadline=None)
def test_decoding_gives_back_what_was_encoded(seed, shape):
    integers = blob(seed, shape)
    np.testing.assert_array_equal(decode(encode(integers), shape), integers)


def test_encoding_does_not_depend_on_memory_order():
    integers = blob(1)
    assert encode(np.asfortranarray(integers)) == encode(integers)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_every_flipped_byte_is_detected(mask):
    integers = blob(2)
    chunk = encode(integers)
    for position in range(len(chunk)):
        broken = bytearray(chunk)
        broken[position] ^= mask
        with pytest.raises(ValueError, match="checksum"):
            decode(bytes(broken), integers.shape)


def test_every_truncation_is_detected():
    integers = blob(3, (3, 3, 3))
    chunk = encode(integers)
    for length in range(len(chunk)):
        with pytest.raises(ValueError, match="checksum"):
            decode(chunk[:length], integers.shape)


@pytest.mark.parametrize("shape", [(9, 8, 6), (9, 8, 8)])
def test_a_chunk_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r".+"):
        decode(encode(blob(4)), shape)


def test_an_encoded_tumour_knows_its_volumes_peak_and_box():
    frame = Frame((6, 7, 8), np.diag([2.0, 2.0, 2.0, 1.0]))
    density = np.zeros(frame.shape, np.float32)
    density[1:4, 2:5, 3] = 0.25
    density[2, 3, 3] = 0.6
    density[4, 2, 6] = 0.1
    tumour = EncodedTumour.from_density(density, frame, PARAMETERS, THRESHOLDS, draw=7)
    assert tumour.whole_ml == pytest.approx(9 * 0.008)
    assert tumour.core_ml == pytest.approx(1 * 0.008)
    assert tumour.peak == np.float32(0.6)
    assert tumour.box == (1, 2, 3, 5, 5, 7)
    assert tumour.draw == 7
    np.testing.assert_array_equal(decode(tumour.chunk, frame.shape), quantise(density))


def test_the_box_leaves_out_densities_that_round_to_zero():
    frame = Frame.centred((0, 0, 0), 4)
    density = np.full(frame.shape, 1e-5, np.float32)
    density[1, 2, 3] = 1
    assert EncodedTumour.from_density(density, frame, PARAMETERS, THRESHOLDS).box == (1, 2, 3, 2, 3, 4)


def test_an_empty_density_has_no_volume_and_an_empty_box():
    frame = Frame.centred((0, 0, 0), 4)
    tumour = EncodedTumour.from_density(np.zeros(frame.shape, np.float32), frame, PARAMETERS, THRESHOLDS)
    assert (tumour.whole_ml, tumour.core_ml, tumour.peak, tumour.box) == (0, 0, 0, (0,) * 6)


def test_a_density_on_another_grid_is_refused():
    with pytest.raises(InputError, match=r"\(4, 4, 5\)"):
        EncodedTumour.from_density(np.zeros((4, 4, 5), np.float32), Frame.centred((0, 0, 0), 4), PARAMETERS, THRESHOLDS)
