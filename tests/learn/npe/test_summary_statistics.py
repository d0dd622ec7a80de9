import numpy as np
import pytest
from scipy import ndimage

from gliodex.learn.npe.summary_statistics import MOMENTS, fit_embedding, moments_of

from ..balls import SHAPE, balls


@pytest.mark.parametrize("scores", [True, False])
def test_numbers_are_standardised_over_what_it_was_fitted_to(maps, targets, scores):
    _, numbers = fit_embedding(maps, targets, scores=scores)
    assert numbers.shape == (240, MOMENTS + 2 * 3 * scores)
    assert numbers.dtype == np.float32
    np.testing.assert_allclose(numbers.mean(axis=0), 0, atol=1e-4)
    assert (np.abs(numbers.std(axis=0) - 1) < 1e-3).sum() >= numbers.shape[1] - 4, "only what never changes has none"


def test_without_scores_maps_that_it_was_fitted_to_are_as_any_other(maps, targets):
    embedding, numbers = fit_embedding(maps, targets, scores=False)
    np.testing.assert_allclose(embedding(maps), numbers, atol=1e-5)


def test_moments_are_volume_centre_and_spread(maps):
    found = moments_of(maps)
    for n in (0, 100, 239):
        for k, label in enumerate((1, 2)):
            mask = maps[n] >= label
            assert found[n, k] == pytest.approx(np.log1p(mask.sum()))
            np.testing.assert_allclose(found[n, 2 + 3 * k : 5 + 3 * k], ndimage.center_of_mass(mask))
            np.testing.assert_allclose(found[n, 8 + 3 * k : 11 + 3 * k], np.argwhere(mask).std(axis=0), atol=1e-9)


def test_empty_and_full_maps_have_numbers(maps, targets):
    embedding, _ = fit_embedding(maps, targets)
    for value in (0, 1, 2):
        assert np.isfinite(embedding(np.full((1, *SHAPE), value, np.uint8))).all()


@pytest.mark.parametrize("scores", [True, False])
def test_maps_that_are_all_alike_can_be_embedded(targets, scores):
    alike = balls([(7, 4, 0.5)] * 12)
    embedding, numbers = fit_embedding(alike, targets[:12], scores=scores)
    assert (numbers == 0).all()
    assert (embedding(alike) == 0).all()
