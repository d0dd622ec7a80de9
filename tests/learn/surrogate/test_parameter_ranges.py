import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.learn.surrogate import Ranges
from gliodex.store import GrowthParameters


def tumour(diffusivity, proliferation, duration=100.0):
    return GrowthParameters((0, 0, 0), diffusivity, proliferation, duration)


TUMOURS = [tumour(0.01, 0.01), tumour(0.16, 0.02), tumour(0.04, 0.09)]


@pytest.mark.parametrize("told", ["mu", "rates"])
def test_what_was_learned_lies_between_minus_one_and_one(told):
    ranges = Ranges.of(TUMOURS, told)
    found = np.array([ranges.scaled(one) for one in TUMOURS])
    np.testing.assert_allclose(found.min(axis=0)[:2], -1, atol=1e-6)
    np.testing.assert_allclose(found.max(axis=0)[:2], 1, atol=1e-6)
    for one in TUMOURS:
        ranges.check(one)


def test_mu_is_told_as_its_logarithm_and_time_does_not_matter():
    ranges = Ranges.of(TUMOURS, "mu")
    assert ranges.scaled(tumour(0.04, 0.03))[0] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(ranges.scaled(tumour(0.04, 0.03)), ranges.scaled(tumour(0.01, 0.0075, 400)), atol=1e-6)


@pytest.mark.parametrize(("rates", "said"), [((0.5, 0.02), r"√\(DT\), mm = 7.071"), ((0.05, 0.5), r"√\(ρT\) = 7.071")])
def test_what_was_not_learned_is_refused_with_its_bounds(rates, said):
    with pytest.raises(InputError, match=said + r" lies outside what the surrogate has learned, 1 to [34]: use the"):
        Ranges.of(TUMOURS, "mu").check(tumour(*rates))
