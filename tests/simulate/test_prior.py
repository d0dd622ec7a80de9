import json
import math

import numpy as np
import pytest
from scipy import stats

from gliodex.errors import InputError
from gliodex.simulate import Prior
from gliodex.simulate.prior import tissue_voxels
from gliodex.store.manifest import Campaign

PRIOR = Prior()


@pytest.fixture(scope="module")
def atlas(ragged_atlas):
    return ragged_atlas((24, 22, 20), (2.0, 1.5, 3.0), seed=4)


@pytest.fixture(scope="module")
def draws(atlas):
    tissue = tissue_voxels(atlas)
    return [PRIOR.draw(atlas, tissue, 17, index) for index in range(2000)]


def test_a_record_gives_it_back():
    for prior in (Prior(), Prior(whole_ml=(1.0, 9.0), mass_effect=(0.0, 5.0))):
        assert Prior.from_record(json.loads(json.dumps(prior.as_record())) | {"snapshots": 3}) == prior


class TestDraw:
    def test_depends_on_seed_and_index_alone(self, atlas, draws):
        tissue = tissue_voxels(atlas)
        for index in (1999, 0, 731, 0):
            assert PRIOR.draw(atlas, tissue, 17, index) == draws[index]
        assert Prior(whole_ml=(1, 2)).draw(atlas, tissue, 17, 5) == draws[5]

    def test_every_seed_and_index_is_its_own(self, atlas):
        tissue = tissue_voxels(atlas)
        seen = {PRIOR.draw(atlas, tissue, seed, index) for seed in range(20) for index in range(20)}
        assert len(seen) == 400

    @pytest.mark.parametrize("start", [2**32, 2**53, 2**63, 2**64 - 4])
    def test_large_seeds_are_told_apart(self, atlas, start):
        tissue = tissue_voxels(atlas)
        seen = {PRIOR.draw(atlas, tissue, start + seed, index) for seed in range(4) for index in range(4)}
        assert len(seen) == 16

    def test_values_are_those_of_the_first_release(self, make_atlas):
        """A change here changes every store that is built or extended later."""
        atlas = make_atlas(np.ones((10, 10, 10)), spacing=2.0)
        drawn = PRIOR.draw(atlas, tissue_voxels(atlas), 3, 11)
        again = np.random.Generator(np.random.Philox(key=[3, 11]))
        voxel = np.unravel_index(again.integers(1000), (10, 10, 10)) + again.uniform(-0.5, 0.5, 3)
        assert drawn.seed_mm == pytest.approx(tuple(2 * voxel - 9))
        assert drawn.diffusivity == again.uniform(0.02, 1.5)
        assert drawn.proliferation == again.uniform(0.002, 0.2)
        assert drawn.duration == again.uniform(50, 1500)

    def test_seeds_lie_in_tissue(self, atlas, draws):
        voxels = np.round(atlas.frame.voxel([d.seed_mm for d in draws])).astype(int)
        assert atlas.tissue[tuple(voxels.T)].all()

    def test_seeds_are_spread_evenly_over_tissue_and_within_voxels(self, atlas, draws):
        tissue = tissue_voxels(atlas)
        places = atlas.frame.voxel([d.seed_mm for d in draws])
        for axis in range(3):
            expected = np.bincount(tissue[:, axis], minlength=atlas.frame.shape[axis]) / len(tissue)
            found = np.bincount(np.round(places[:, axis]).astype(int), minlength=atlas.frame.shape[axis])
            common = expected * len(draws) > 8
            assert not found[expected == 0].any()
            observed = np.append(found[common], found[~common].sum())
            share = np.append(expected[common], expected[~common].sum())
            seen = share > 0
            assert stats.chisquare(observed[seen], share[seen] * len(draws)).pvalue > 0.001
            inside = places[:, axis] - np.round(places[:, axis]) + 0.5
            assert stats.kstest(inside, "uniform").pvalue > 0.001

    @pytest.mark.parametrize("name", ["diffusivity", "proliferation", "duration"])
    def test_rates_and_duration_are_uniform_in_their_range(self, draws, name):
        low, high = getattr(PRIOR, name)
        values = np.array([getattr(d, name) for d in draws])
        assert low <= values.min()
        assert values.max() <= high
        assert stats.kstest(values, "uniform", (low, high - low)).pvalue > 0.001

    def test_parameters_are_independent(self, draws):
        table = np.array([[*d.seed_mm, d.diffusivity, d.proliferation, d.duration] for d in draws])
        correlation = np.corrcoef(table.T)[3:]
        off_diagonal = correlation[~np.eye(6, dtype=bool)[3:]]
        assert np.abs(off_diagonal).max() < 4 / math.sqrt(len(draws))

    def test_changed_range_is_used(self, atlas):
        narrow = Prior(diffusivity=(0.3, 0.31), proliferation=(0.01, 0.011), duration=(100, 101))
        drawn = narrow.draw(atlas, tissue_voxels(atlas), 0, 0)
        assert 0.3 <= drawn.diffusivity <= 0.31
        assert 0.01 <= drawn.proliferation <= 0.011
        assert 100 <= drawn.duration <= 101


@pytest.mark.parametrize(
    ("whole_ml", "core_ml", "kept"),
    [
        (100, 50, True),
        (3, 0.5, True),
        (250, 200, True),
        (math.nextafter(3, 0), 0.5, False),
        (math.nextafter(250, 300), 100, False),
        (100, math.nextafter(0.5, 0), False),
        (220, math.nextafter(200, 300), False),
        (0, 0, False),
    ],
)
def test_keeps_sizes_within_both_ranges_ends_included(whole_ml, core_ml, kept):
    assert PRIOR.keeps(whole_ml, core_ml) is kept


@pytest.mark.parametrize("name", Prior.__dataclass_fields__)
@pytest.mark.parametrize("bad", [(1, 1), (2, 1), (-1, 1), (0, math.inf), (math.nan, 1), (0, math.nan)], ids=str)
def test_senseless_ranges_are_refused_by_name(name, bad):
    with pytest.raises(InputError, match=name):
        Prior(**{name: bad})


def test_tissue_voxels_are_where_tumours_grow(atlas):
    voxels = tissue_voxels(atlas)
    mask = np.zeros(atlas.frame.shape, bool)
    mask[tuple(voxels.T)] = True
    np.testing.assert_array_equal(mask, atlas.white + atlas.grey > atlas.csf)
    assert len(voxels) == mask.sum()


class TestRecord:
    def test_is_plain_json_with_units(self):
        record = PRIOR.as_record()
        assert json.loads(json.dumps(record)) == record
        assert record["diffusivity"] == [0.02, 1.5]
        assert set(record["units"]) == set(Prior.__dataclass_fields__) - {"mass_effect"}
        pushing = Prior(mass_effect=(0.0, 9000.0)).as_record()
        assert set(pushing["units"]) == set(Prior.__dataclass_fields__)
        assert (pushing["mass_effect"], pushing["units"]["mass_effect"]) == ([0.0, 9000.0], "Pa")

    def test_equal_priors_name_the_same_campaign(self):
        """Whole numbers and fractions alike: another name would draw the same tumours a second time."""
        whole_numbers = Prior(duration=(50, 1500), whole_ml=(3, 250), core_ml=(0.5, 200))
        assert whole_numbers == PRIOR
        assert Campaign(1, whole_numbers.as_record()).key == Campaign(1, PRIOR.as_record()).key

    def test_each_changed_range_names_another_campaign(self):
        keys = {Campaign(1, PRIOR.as_record()).key}
        keys |= {Campaign(1, Prior(**{name: (0.1, 0.2)}).as_record()).key for name in Prior.__dataclass_fields__}
        assert len(keys) == 7
