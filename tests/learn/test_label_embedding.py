from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from gliodex.learn.label_embedding import MOMENTS, SHELLS, fit_embedding

SHAPE = (15, 14, 13)


def balls(targets):
    """Label maps of nested balls: place along the first axis, radius of the whole, radius of the core over it."""
    x, y, z = np.indices(SHAPE)
    maps = []
    for place, radius, share in targets:
        distance = np.sqrt((x - place) ** 2 + (y - 7) ** 2 + (z - 6) ** 2)
        maps.append((distance <= radius).astype(np.uint8) + (distance <= share * radius))
    return np.array(maps, np.uint8)


@pytest.fixture(scope="module")
def targets():
    return np.random.default_rng(1).uniform([5, 2.5, 0.4], [9, 5.5, 0.9], (240, 3))


@pytest.fixture(scope="module")
def maps(targets):
    return balls(targets)


@pytest.mark.parametrize("shells", [True, False])
def test_numbers_are_standardised_over_what_it_was_fitted_to(maps, shells):
    embedding = fit_embedding(maps, shells=shells)
    numbers = embedding(maps)
    assert numbers.shape == (240, MOMENTS + 2 * SHELLS * shells)
    assert numbers.dtype == np.float32
    np.testing.assert_allclose(numbers.mean(axis=0), 0, atol=1e-4)
    assert (np.abs(numbers.std(axis=0) - 1) < 1e-3).sum() >= numbers.shape[1] - 4, "only what never changes has none"


def test_moments_are_volume_centre_and_spread(maps):
    embedding = fit_embedding(maps, shells=False)
    raw = embedding(maps) * embedding.spread + embedding.centre
    for n in (0, 100, 239):
        for k, label in enumerate((1, 2)):
            mask = maps[n] >= label
            assert raw[n, k] == pytest.approx(np.log1p(mask.sum()), abs=1e-3)
            np.testing.assert_allclose(raw[n, 2 + 3 * k : 5 + 3 * k], ndimage.center_of_mass(mask), atol=1e-3)
            np.testing.assert_allclose(raw[n, 8 + 3 * k : 11 + 3 * k], np.argwhere(mask).std(axis=0), atol=1e-3)


def test_shells_are_voxels_that_are_in_an_outline_about_equally_often(maps):
    embedding = fit_embedding(maps)
    for shells, sizes, label in zip(embedding.shells, embedding.sizes, (1, 2), strict=True):
        often = (maps >= label).mean(axis=0).reshape(-1)
        inside = [often[shells == n] for n in range(SHELLS)]
        left_out = np.minimum(often, 1 - often)[shells == SHELLS]
        assert left_out.max() <= 2 / 240, "where an outline nearly always or hardly ever is, it says nothing"
        assert np.ptp(sizes) <= 1
        np.testing.assert_array_equal(sizes, [len(one) for one in inside])
        assert all(a.max() <= b.min() for a, b in pairwise(inside))


def test_shares_are_counted_in_each_shell(maps):
    embedding = fit_embedding(maps)
    raw = embedding(maps[:7]) * embedding.spread + embedding.centre
    for row, label_map in zip(raw, maps, strict=False):
        expected = [
            (label_map.reshape(-1)[shells == n] >= label).mean()
            for shells, label in zip(embedding.shells, (1, 2), strict=True)
            for n in range(SHELLS)
        ]
        np.testing.assert_allclose(row[MOMENTS:], expected, atol=1e-5)


def test_empty_and_full_maps_have_numbers(maps):
    embedding = fit_embedding(maps)
    for value in (0, 1, 2):
        assert np.isfinite(embedding(np.full((1, *SHAPE), value, np.uint8))).all()


@pytest.mark.parametrize("shells", [True, False])
def test_maps_that_are_all_alike_can_be_embedded(shells):
    alike = balls([(7, 4, 0.5)] * 12)
    assert (fit_embedding(alike, shells=shells)(alike) == 0).all()
