"""Growing from a density that an image shows, instead of from a seed."""

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.simulate import FisherKolmogorov, GrowthParameters

FIRST = GrowthParameters((-8.0, -20.0, 12.0), 0.4, 0.05, 150.0)
MORE = GrowthParameters((0.0, 0.0, 0.0), 0.4, 0.05, 60.0)
BOTH = GrowthParameters((-8.0, -20.0, 12.0), 0.4, 0.05, 210.0)


@pytest.fixture(scope="module")
def solver(ellipsoid_atlas):
    return FisherKolmogorov(ellipsoid_atlas)


@pytest.fixture(scope="module")
def seen(solver):
    return solver(FIRST)


def test_two_spans_of_time_give_what_one_does(solver, seen):
    np.testing.assert_allclose(solver.grow(MORE, initial=seen).full(), solver(BOTH), atol=3e-3)


def test_the_seed_of_the_parameters_does_not_matter(solver, seen):
    elsewhere = GrowthParameters((900.0, 0.0, 0.0), MORE.diffusivity, MORE.proliferation, MORE.duration)
    np.testing.assert_array_equal(solver.grow(elsewhere, initial=seen).full(), solver.grow(MORE, initial=seen).full())


def test_without_time_it_stays_as_it_is(solver, seen):
    still = GrowthParameters((0.0, 0.0, 0.0), 0.4, 0.05, 0.0)
    np.testing.assert_allclose(solver.grow(still, initial=seen).full(), seen, atol=1e-7)


def test_without_growth_the_mass_stays(solver, seen):
    spread = GrowthParameters((0.0, 0.0, 0.0), 0.4, 0.0, 60.0)
    assert solver.grow(spread, initial=seen).full().sum() == pytest.approx(seen.sum(), rel=1e-4)


def test_what_lies_outside_the_tissue_is_left_out(solver, seen):
    everywhere = np.full(seen.shape, 0.3, np.float32)
    still = GrowthParameters((0.0, 0.0, 0.0), 0.4, 0.05, 0.0)
    found = solver.grow(still, initial=everywhere).full()
    np.testing.assert_allclose(found[solver.atlas.tissue], 0.3, rtol=1e-6)
    assert (found[~solver.atlas.tissue] == 0).all()


def test_one_that_outgrows_a_limit_is_given_up(solver, seen):
    final_ml = (solver(BOTH) >= 0.2).sum() * solver.atlas.frame.voxel_ml
    assert solver.grow(MORE, 0.9 * final_ml, initial=seen).outgrew
    assert not solver.grow(MORE, 1.1 * final_ml, initial=seen).outgrew


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda u: u[1:], "does not fit"),
        (lambda u: u * np.float32(np.nan), "finite"),
        (lambda u: u + 1, r"in \[0, 1\]"),
        (lambda u: u - 0.5, r"in \[0, 1\]"),
        (np.zeros_like, "no part of the initial density"),
    ],
)
def test_what_is_no_density_is_refused(solver, seen, change, words):
    with pytest.raises(InputError, match=words):
        solver.grow(MORE, initial=change(seen))
