import numpy as np
import pytest
from scipy import ndimage

from gliodex.learn.label_embedding import fit_embedding

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


@pytest.mark.parametrize("regress", [True, False])
def test_numbers_are_standardised_over_what_it_was_fitted_to(maps, targets, regress):
    embedding, numbers = fit_embedding(maps, targets, 1, regress=regress)
    assert numbers.shape == (240, 14 + 3 * regress)
    np.testing.assert_allclose(numbers.mean(axis=0), 0, atol=1e-4)
    assert (np.abs(numbers.std(axis=0) - 1) < 1e-3).sum() >= numbers.shape[1] - 4, "only what never changes has none"
    assert embedding(maps[:5]).dtype == np.float32
    if not regress:
        np.testing.assert_allclose(embedding(maps), numbers, atol=1e-5)


def test_moments_are_volume_centre_and_spread(maps, targets):
    embedding, numbers = fit_embedding(maps, targets, 1, regress=False)
    raw = numbers * embedding.spread + embedding.centre
    for n in (0, 100, 239):
        for k, label in enumerate((1, 2)):
            mask = maps[n] >= label
            assert raw[n, k] == pytest.approx(np.log1p(mask.sum()), abs=1e-3)
            np.testing.assert_allclose(raw[n, 2 + 3 * k : 5 + 3 * k], ndimage.center_of_mass(mask), atol=1e-3)
            np.testing.assert_allclose(raw[n, 8 + 3 * k : 11 + 3 * k], np.argwhere(mask).std(axis=0), atol=1e-3)


def test_regressions_foretell_maps_that_they_have_not_seen(maps, targets):
    embedding, numbers = fit_embedding(maps, targets, 1)
    others = np.random.default_rng(2).uniform([5, 2.5, 0.4], [9, 5.5, 0.9], (100, 3))
    new = embedding(balls(others))
    for n in range(3):
        known, unknown = (
            np.corrcoef(found[:, n], wanted[:, n])[0, 1] for found, wanted in ((numbers, targets), (new, others))
        )
        assert known > 0.8
        assert unknown > 0.8
        assert abs(known - unknown) < 0.1, "what it was fitted to is told no better than the rest"


def test_empty_and_full_maps_have_numbers(maps, targets):
    embedding, _ = fit_embedding(maps, targets, 1)
    for value in (0, 1, 2):
        assert np.isfinite(embedding(np.full((1, *SHAPE), value, np.uint8))).all()


def test_maps_that_are_all_alike_can_be_embedded():
    alike = balls([(7, 4, 0.5)] * 12)
    embedding, numbers = fit_embedding(alike, np.random.default_rng(1).random((12, 2)), 1)
    assert np.isfinite(numbers).all()
    assert np.isfinite(embedding(alike)).all()
