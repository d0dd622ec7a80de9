import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gliodex.errors import InputError
from gliodex.retrieval.refinement.likelihood import (
    LEAST_PROBABILITY,
    PET_STEP,
    Images,
    Imaging,
    draw_images,
    probability_of_showing,
)
from gliodex.simulate import FisherKolmogorov, GrowthParameters

TRUTH = GrowthParameters((-8.0, -20.0, 12.0), 0.4, 0.05, 200.0)
OTHER = GrowthParameters((-6.0, -22.0, 12.0), 0.5, 0.04, 200.0)
IMAGING = Imaging(0.7, 0.25, 0.06, pet_scale=0.8, pet_noise=0.05)


@pytest.fixture(scope="module")
def solver(small_atlas):
    return FisherKolmogorov(small_atlas)


@pytest.fixture(scope="module")
def drawn(solver):
    """Core, whole and PET of a tumour."""
    core, whole, pet = draw_images(solver(TRUTH), IMAGING, np.random.default_rng(3))
    return core & solver.atlas.tissue, whole & solver.atlas.tissue, np.clip(pet, 0, 1)


def by_hand(images, density, imaging, region):
    """Eqs. 4 to 7 of Ezhov et al. (2021), voxel by voxel with plain numpy and scipy."""
    value = 0.0
    for mask, threshold in ((images.core, imaging.core), (images.whole, imaging.whole)):
        if mask is None:
            continue
        apart = density[region].astype(np.float64) - threshold
        alpha = 0.5 + 0.5 * np.sign(apart) * (1 - np.exp(-(apart**2) / imaging.width**2))
        alpha = np.clip(alpha, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        value += np.where(mask[region], np.log(alpha), np.log(1 - alpha)).sum()
    if images.pet is not None:
        there = images.pet > 0
        signal = stats.norm(imaging.pet_scale * density[there], imaging.pet_noise).logpdf(images.pet[there]).sum()
        value += signal + there.sum() * 0.5 * math.log(2 * math.pi)
    return value


def region_of(atlas, outline):
    """Tissue in a sphere of twice the radius of one as large as the outline, around its centre of mass."""
    voxels = np.argwhere(outline)
    radius = 2 * (3 * len(voxels) * atlas.frame.voxel_ml * 1000 / (4 * np.pi)) ** (1 / 3)
    places = atlas.frame.world(np.argwhere(np.ones(atlas.frame.shape, bool)))
    near = np.linalg.norm(places - atlas.frame.world(voxels.mean(axis=0)), axis=1) <= radius
    return (near.reshape(atlas.frame.shape) | outline) & atlas.tissue


@pytest.mark.parametrize("missing", ["none", "core", "whole", "pet", "core whole", "core pet", "whole pet"])
@pytest.mark.parametrize("parameters", [TRUTH, OTHER])
def test_the_likelihood_is_that_of_the_paper(solver, drawn, missing, parameters):
    there = {
        name: None if name in missing else image for name, image in zip(("core", "whole", "pet"), drawn, strict=True)
    }
    images = Images(solver.atlas, **there)
    tumour = solver.grow(parameters)
    outline = np.logical_or.reduce([image > 0 for image in there.values() if image is not None])
    # densities are told apart to a 4095th, rounded down
    expected = by_hand(images, np.floor(tumour.full() * 4095) / 4095, IMAGING, region_of(solver.atlas, outline))
    found = images.log_likelihood(images.evidence(tumour), IMAGING)
    assert found == pytest.approx(expected, rel=2e-3 if "pet" not in missing else 1e-6)
    assert images.known == tuple(name for name in ("core", "whole", "pet") if name not in missing)


def test_the_truth_is_likelier_than_another(solver, drawn):
    images = Images(solver.atlas, *drawn)
    right, wrong = (images.log_likelihood(images.evidence(solver.grow(p)), IMAGING) for p in (TRUTH, OTHER))
    assert right > wrong + 100
    off = Imaging(0.62, 0.4, 0.06, pet_scale=0.65, pet_noise=0.05)
    assert right > images.log_likelihood(images.evidence(solver.grow(TRUTH)), off) + 100


def test_one_voxel_in_27_of_a_pet_counts(solver, drawn):
    pet = np.ones(solver.atlas.frame.shape, np.float32)
    kept = Images(solver.atlas, drawn[0], drawn[1], pet).pet
    assert kept.sum() == math.prod(-(-n // PET_STEP) for n in pet.shape)
    spot = np.zeros_like(pet)
    spot[1, 1, 1] = 0.4
    assert Images(solver.atlas, drawn[0], drawn[1], spot).pet[1, 1, 1] == np.float32(0.4), "a spot is not lost"


@given(st.floats(0, 1), st.floats(0.05, 0.8), st.floats(0.05, 0.08))
def test_the_chance_to_show_is_a_chance_and_rises(density, threshold, width):
    at = np.array([density, min(density + 0.01, 1.0)])
    low, high = probability_of_showing(at, threshold, width)
    assert LEAST_PROBABILITY <= low <= high <= 1 - LEAST_PROBABILITY
    assert probability_of_showing(np.array([threshold]), threshold, width)[0] == 0.5


def test_images_are_drawn_as_often_as_they_are_likely():
    density = np.full((40, 40, 40), 0.66, np.float32)
    core, whole, pet = draw_images(density, IMAGING, np.random.default_rng(1))
    chance = 0.5 * math.exp(-((0.04 / 0.06) ** 2))
    assert core.mean() == pytest.approx(chance, abs=4 * math.sqrt(chance / density.size))
    assert whole.mean() > 0.999
    assert pet.mean() == pytest.approx(0.8 * 0.66, abs=0.001)
    assert pet.std() == pytest.approx(0.05, rel=0.02)


@pytest.mark.parametrize(
    ("value", "words"),
    [(1.5, r"runs from 0 to 1\.5: scale it to \[0, 1\]"), (-0.1, r"runs from -0\.1 to 0"), (0.0, "0 everywhere")],
)
def test_a_pet_out_of_range_is_refused(solver, drawn, value, words):
    pet = np.zeros(solver.atlas.frame.shape, np.float32)
    pet[5, 5, 5] = value
    with pytest.raises(InputError, match=words):
        Images(solver.atlas, drawn[0], drawn[1], pet)


def test_without_any_image_there_is_nothing_to_explain(solver):
    with pytest.raises(InputError, match="no image shows a tumour"):
        Images(solver.atlas)
    with pytest.raises(InputError, match="no image shows a tumour"):
        Images(solver.atlas, whole=np.zeros(solver.atlas.frame.shape, bool))
