import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliodex.errors import InputError
from gliodex.learn.lmi.targets import TARGETS, Targets
from gliodex.store import Frame, GrowthParameters

FRAME = Frame((40, 36, 32), np.array([[-2, 0, 0, 40], [0, 2, 0, -30], [0, 0, 3, 5], [0, 0, 0, 1]], float))
TUMOURS = st.builds(
    GrowthParameters,
    st.tuples(st.floats(-30, 30), st.floats(-25, 35), st.floats(10, 90)),
    st.floats(0.02, 1.5),
    st.floats(0.002, 0.2),
    st.floats(50, 1500),
)


@given(TUMOURS, st.sampled_from(TARGETS), st.sampled_from(["log", "linear"]), st.booleans())
def test_what_is_told_is_told_back(tumour, name, scale, mirrored):
    targets, centre = Targets(name, scale), np.array([12.3, 17.1, 9.9])
    numbers = targets.of(tumour, centre, mirrored, FRAME)
    assert numbers.shape == (targets.count,)
    rates, seed = targets.parameters(numbers, centre, mirrored, FRAME)
    assert (rates is None, seed is None) == (targets.growth is None, not targets.seed)
    if rates is not None:
        found = GrowthParameters((0, 0, 0), *rates)
        assert (found.mu1, found.mu2) == pytest.approx((tumour.mu1, tumour.mu2), rel=1e-6)
        if targets.growth == "rates":
            assert rates == pytest.approx((tumour.diffusivity, tumour.proliferation, tumour.duration), rel=1e-6)
    if seed is not None:
        assert seed == pytest.approx(tumour.seed_mm, abs=1e-6)


@given(TUMOURS, st.sampled_from(TARGETS), st.sampled_from(["log", "linear"]), st.floats(0, 16000))
def test_a_mass_effect_is_told_beside_the_growth(tumour, name, scale, pressure):
    pushing, centre = dataclasses.replace(tumour, mass_effect=pressure), np.array([12.3, 17.1, 9.9])
    targets, plain = Targets(name, scale, True), Targets(name, scale)
    numbers = targets.of(pushing, centre, False, FRAME)
    assert numbers.shape == (targets.count,) == (plain.count + (targets.growth is not None),)
    rates, seed = targets.parameters(numbers, centre, False, FRAME)
    same_rates, same_seed = plain.parameters(plain.of(pushing, centre, False, FRAME), centre, False, FRAME)
    assert seed == same_seed
    if rates is not None:
        assert rates[:3] == same_rates
        assert GrowthParameters((0, 0, 0), *rates).mass_effect == pytest.approx(pressure, abs=0.01)


@pytest.mark.parametrize(("told", "pressure"), [(-1.2, 0.0), (-1.0, 0.0), (1.0, 16000.0), (9.0, 16000.0)])
def test_no_mass_effect_is_told_that_cannot_be_simulated(told, pressure):
    rates, _ = Targets("mu", "log", True).parameters(np.array([3.0, 1.0, told]), np.zeros(3), False, FRAME)
    assert rates[3] == pytest.approx(pressure)


def test_the_mirror_image_of_a_seed_has_the_same_numbers():
    targets = Targets("seed")
    here = GrowthParameters(tuple(FRAME.world(np.array([10.0, 9, 8]))), 0.1, 0.02, 300)
    there = GrowthParameters(tuple(FRAME.world(np.array([29.0, 9, 8]))), 0.1, 0.02, 300)
    centre = np.array([12.0, 9, 9])
    np.testing.assert_allclose(targets.of(here, centre, False, FRAME), targets.of(there, centre, True, FRAME))


def test_growth_that_fixes_the_same_density_has_the_same_time_independent_numbers():
    one, same = (GrowthParameters((0, 0, 30), *rates) for rates in ((0.2, 0.03, 400.0), (0.8, 0.12, 100.0)))
    centre = np.zeros(3)
    for scale in ("log", "linear"):
        numbers = [Targets("mu", scale).of(tumour, centre, False, FRAME) for tumour in (one, same)]
        np.testing.assert_allclose(*numbers)
        apart = [Targets("rates", scale).of(tumour, centre, False, FRAME) for tumour in (one, same)]
        assert np.abs(apart[0] - apart[1]).max() > 0.1


def test_the_priors_range_is_linear_from_minus_one_to_one():
    for n, rates in enumerate([(0.02, 0.002, 50.0), (1.5, 0.2, 1500.0)]):
        tumour = GrowthParameters((0, 0, 0), *rates)
        for name in ("mu", "rates"):
            np.testing.assert_allclose(Targets(name, "linear").of(tumour, np.zeros(3), False, FRAME), 2 * n - 1)


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_what_a_network_cannot_have_learned_is_cut_off(scale):
    for name in ("mu", "rates"):
        targets = Targets(name, scale)
        for numbers in (np.full(3, 50.0), np.full(3, -50.0)):
            rates, _ = targets.parameters(numbers[: targets.count], np.zeros(3), False, FRAME)
            tumour = GrowthParameters((0, 0, 0), *rates)
            assert 0 < tumour.mu1 < 120
            assert 0 < tumour.mu2 < 50


def test_other_targets_are_refused():
    with pytest.raises(InputError, match=r"targets are one of .*, not velocity"):
        Targets("velocity")
