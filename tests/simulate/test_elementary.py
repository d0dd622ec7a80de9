import math
from decimal import Context, Decimal

import numpy as np
import pytest

from gliodex.simulate.elementary import exp


@pytest.mark.parametrize(("low", "high"), [(-1e-9, 1e-9), (-0.4, 0.4), (-60, 60), (-700, 700)])
def test_exp_is_off_by_little_more_than_one_unit_in_the_last_place(low, high):
    digits = Context(prec=40)
    for x in np.random.default_rng(0).uniform(low, high, 400).tolist():
        exact = digits.exp(Decimal(x))
        assert abs(Decimal(exp(x)) - exact) <= Decimal(1.25 * math.ulp(float(exact)))


def test_exp_of_zero_is_one_and_of_what_is_far_below_nothing():
    assert exp(0.0) == 1
    assert exp(-5000.0) == 0
