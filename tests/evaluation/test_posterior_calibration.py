import numpy as np
import pytest

from gliodex.evaluation.posterior_calibration import checked, coarse, uniformity
from gliodex.retrieval.refinement import TransitionalSettings


@pytest.fixture(scope="module")
def atlas(icbm152):
    return coarse(icbm152)


def test_a_coarse_atlas_averages_the_fine_one(atlas, icbm152):
    fine = icbm152
    assert atlas.frame.spacing == (4.0, 4.0, 4.0)
    np.testing.assert_allclose(atlas.white[30, 31, 32], fine.white[60:62, 62:64, 64:66].mean(), atol=1e-6)
    np.testing.assert_allclose(
        atlas.frame.world([30, 31, 32]), fine.frame.world([[60, 62, 64], [61, 63, 65]]).mean(axis=0)
    )


def test_every_number_has_a_rank_and_seeds_repeat(atlas):
    few = TransitionalSettings(samples=64, steps=8)
    found, again = (list(checked(coarse(atlas), 2, few, seed=5)) for _ in range(2))
    assert found == again
    for ranks, coverage in found:
        assert len(ranks) == 11
        assert all(0 <= rank <= 1 for rank in ranks.values())
        assert 0 < coverage <= 1


def test_even_ranks_are_told_from_others():
    rng = np.random.default_rng(1)
    assert uniformity(rng.random(200)) > 0.01
    assert uniformity(rng.beta(0.5, 0.5, 200)) < 0.01


@pytest.mark.slow
def test_posteriors_of_simulated_images_are_calibrated(atlas):
    """Simulation-based calibration of all eleven numbers; twenty minutes on 2 cores."""
    found = list(checked(atlas, 100, seed=1))
    for name in found[0].ranks:
        assert uniformity(np.array([one.ranks[name] for one in found])) > 0.01, name
    assert 0.8 < np.mean([one.coverage for one in found]) < 0.97
