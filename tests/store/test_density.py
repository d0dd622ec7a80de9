from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliodex.errors import InputError
from gliodex.store import THRESHOLDS, EncodedTumour, Frame, GrowthParameters
from gliodex.store.density import decode, encode
from gliodex.store.quantization import LEVELS, quantise

PARAMETERS = GrowthParameters((0, 0, 0), 0.1, 0.1, 100)


def blob(seed, shape=(9, 8, 7)):
    rng = np.random.default_rng(seed)
    return rng.integers(0, LEVELS + 1, shape, dtype=np.uint16) * (rng.random(shape) < 0.5)


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


@given(st.integers(0, 10_000), st.data())
@settings(max_examples=40, deadline=None)
def test_a_tumour_given_in_a_box_is_encoded_as_if_given_whole(seed, data):
    frame = Frame.centred((0, 0, 0), 7)
    rng = np.random.default_rng(seed)
    low = data.draw(st.tuples(*[st.integers(0, 6)] * 3))
    size = tuple(data.draw(st.integers(1, 7 - a)) for a in low)
    part = (rng.random(size) * (rng.random(size) < 0.4)).astype(np.float32)
    whole = np.zeros(frame.shape, np.float32)
    whole[tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))] = part
    given_whole = EncodedTumour.from_density(whole, frame, PARAMETERS, THRESHOLDS, 3)
    assert EncodedTumour.from_box(part, low, frame, PARAMETERS, THRESHOLDS, 3) == given_whole
    np.testing.assert_array_equal(decode(given_whole.chunk, frame.shape), np.floor(4095 * np.float64(whole)))


def test_nothing_of_one_tumour_stays_in_the_next():
    frames = [Frame.centred((0, 0, 0), n) for n in (8, 6, 8)]
    for frame in frames:
        EncodedTumour.from_density(np.ones(frame.shape, np.float32), frame, PARAMETERS, THRESHOLDS)
        one = np.ones((1, 1, 1), np.float32)
        tumour = EncodedTumour.from_box(one, (2, 3, 4), frame, PARAMETERS, THRESHOLDS)
        assert np.argwhere(decode(tumour.chunk, frame.shape)).tolist() == [[2, 3, 4]]


def test_threads_that_encode_at_the_same_time_do_not_share_memory():
    frame = Frame.centred((0, 0, 0), 24)
    densities = [np.full(frame.shape, n / 40, np.float32) for n in range(40)]
    alone = [EncodedTumour.from_density(u, frame, None, THRESHOLDS) for u in densities]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda u: EncodedTumour.from_density(u, frame, None, THRESHOLDS), densities))
    assert together == alone


def test_a_tumour_knows_which_snapshot_it_is_and_is_an_end_unless_told():
    frame, one = Frame.centred((0, 0, 0), 4), np.ones((1, 1, 1), np.float32)
    assert EncodedTumour.from_box(one, (0, 0, 0), frame, PARAMETERS, THRESHOLDS, 5).snapshot == 0
    assert EncodedTumour.from_box(one, (0, 0, 0), frame, PARAMETERS, THRESHOLDS, 5, 2).snapshot == 2
