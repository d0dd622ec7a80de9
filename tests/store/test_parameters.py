import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliodex.errors import InputError
from gliodex.store import GrowthParameters

SEED = (1.0, -2.0, 3.0)


def test_mu_are_the_roots_of_rate_times_duration():
    parameters = GrowthParameters(SEED, diffusivity=0.25, proliferation=0.04, duration=400)
    assert parameters.mu1 == 10.0
    assert parameters.mu2 == 4.0


@given(st.floats(0, 50), st.floats(0, 20), st.floats(1, 2000))
@settings(max_examples=50, deadline=None)
def test_from_mu_gives_back_mu_at_any_duration(mu1, mu2, duration):
    parameters = GrowthParameters.from_mu(SEED, mu1, mu2, duration)
    assert parameters.duration == duration
    assert math.isclose(parameters.mu1, mu1, rel_tol=1e-12, abs_tol=1e-150)
    assert math.isclose(parameters.mu2, mu2, rel_tol=1e-12, abs_tol=1e-150)


def test_values_become_plain_floats_that_json_takes():
    record = GrowthParameters([1, 2, 3], 1, 2, 3).as_record()
    assert json.loads(json.dumps(record)) == {
        "seed_mm": [1.0, 2.0, 3.0],
        "diffusivity": 1.0,
        "proliferation": 2.0,
        "duration": 3.0,
        "mass_effect": 0.0,
        "mu1_mm": math.sqrt(3),
        "mu2": math.sqrt(6),
    }


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_mass_effect_must_be_finite_and_not_negative(value):
    with pytest.raises(InputError, match=r"mass_effect must be finite and not negative \(Pa\)"):
        GrowthParameters([1, 2, 3], 1, 2, 3, value)


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
@pytest.mark.parametrize("name", ["diffusivity", "proliferation", "duration"])
def test_a_rate_that_is_negative_or_not_finite_is_refused_by_name(name, value):
    rates = {"diffusivity": 0.1, "proliferation": 0.1, "duration": 100.0} | {name: value}
    with pytest.raises(InputError, match=name):
        GrowthParameters(SEED, **rates)


@pytest.mark.parametrize("seed", [(1, 2), (1, 2, 3, 4), (1, 2, math.nan), (math.inf, 0, 0)])
def test_a_seed_that_is_no_point_is_refused(seed):
    with pytest.raises(InputError, match="seed_mm"):
        GrowthParameters(seed, 0.1, 0.1, 100)
