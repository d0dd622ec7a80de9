from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliodex.learn.surrogate.crops import (
    SYMMETRIES,
    anatomy_maps,
    corner_of,
    cropped,
    distances,
    relative_diffusivity,
    turned,
)
from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters
from gliodex.store import Frame
from gliodex.store.atlas import MAPS, Atlas

SETTINGS = FisherKolmogorovSettings()


@given(st.tuples(*[st.integers(-12, 16)] * 3), st.sampled_from([4, 8]))
def test_a_crop_holds_what_is_there_and_zeros_beyond(corner, crop):
    values = np.random.default_rng(0).random((2, 9, 10, 11))
    wide = np.pad(values, [(0, 0), *[(30, 30)] * 3])
    low = [a + 30 for a in corner]
    expected = wide[(slice(None), *(slice(a, a + crop) for a in low))]
    np.testing.assert_array_equal(cropped(values, corner, crop), expected)


@given(st.tuples(*[st.floats(5, 20)] * 3), st.tuples(*[st.integers(-4, 4)] * 3))
def test_the_crop_goes_with_the_seed(centre, step):
    one, other = corner_of(np.array(centre), 8), corner_of(np.array(centre) + step, 8)
    assert tuple(np.subtract(other, one)) == step
    middle = np.array(one) + 4
    assert np.abs(middle - centre).max() <= 0.5 + 1e-9


def test_distances_are_those_from_the_seed():
    centre, corner = np.array([10.25, 9.0, 8.5]), (6, 5, 5)
    found = distances(centre, corner, 8)
    places = np.moveaxis(np.indices((8, 8, 8)), 0, -1) + corner
    np.testing.assert_allclose(found, np.linalg.norm(places - centre, axis=-1), rtol=1e-6)


def test_symmetries_are_all_48_of_a_cube():
    cube = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    found = {turned(cube, n).tobytes() for n in range(len(SYMMETRIES))}
    assert len(found) == len(SYMMETRIES) == 48
    np.testing.assert_array_equal(turned(cube, 0), cube)


@pytest.mark.parametrize("symmetry", [1, 6, 13, 29, 47])
def test_a_tumour_in_a_turned_brain_is_the_turned_tumour(symmetry):
    """What allows a network to learn from symmetries: held against the solver, to the rounding of its steps."""
    rng = np.random.default_rng(0)
    frame = Frame.centred((0, 0, 0), 24, 4.0)
    smooth = rng.random((24, 24, 24))
    white = np.where(smooth > 0.4, 1.0, 0.0).astype(np.float32)
    maps = {"white": white, "grey": 1 - white, "csf": np.zeros_like(white), "t1": white}
    at = np.array([10, 13, 11])
    brain = Atlas("random", frame, **maps)
    here = np.zeros(frame.shape, np.float32)
    here[tuple(at)] = 1
    there = np.argwhere(turned(here, symmetry))[0]
    other = Atlas("turned", frame, **{name: turned(maps[name], symmetry) for name in MAPS})
    tumours = [GrowthParameters(tuple(frame.world(place)), 0.2, 0.03, 300) for place in (at, there)]
    one, two = FisherKolmogorov(brain)(tumours[0]), FisherKolmogorov(other)(tumours[1])
    np.testing.assert_allclose(turned(one, symmetry), two, atol=1e-4)


def test_relative_diffusivity_is_the_solvers(small_atlas):
    found = relative_diffusivity(small_atlas, SETTINGS)
    np.testing.assert_allclose(found[small_atlas.white > 0], 1)
    np.testing.assert_allclose(found[small_atlas.grey > 0], 0.1)
    assert (found[~small_atlas.tissue] == 0).all()
    halves = replace(small_atlas, white=small_atlas.white / 2, grey=small_atlas.grey / 2)
    np.testing.assert_array_equal(relative_diffusivity(halves, SETTINGS), found)
    raw = relative_diffusivity(halves, replace(SETTINGS, tissue_fractions="raw"))
    np.testing.assert_allclose(raw[small_atlas.tissue], found[small_atlas.tissue] / 2)


def test_networks_see_what_their_design_says(small_atlas):
    assert anatomy_maps(small_atlas, SETTINGS, "diffusivity").shape == (1, *small_atlas.frame.shape)
    np.testing.assert_array_equal(anatomy_maps(small_atlas, SETTINGS, "csf")[0], small_atlas.csf)
    tissue = anatomy_maps(small_atlas, SETTINGS, "tissue")
    np.testing.assert_array_equal(tissue, [small_atlas.white, small_atlas.grey, small_atlas.csf])
