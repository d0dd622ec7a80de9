"""What a tumour starts from."""

from dataclasses import replace

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.simulate import FisherKolmogorov, GrowthParameters

from .tumours import DEFAULTS, moments, seed_density


class TestSeed:
    def test_integral_is_the_seed_volume(self, ragged_atlas, white_block):
        for atlas in (white_block((30, 30, 30), 2.0), ragged_atlas((30, 30, 30), (2.0, 1.5, 2.5))):
            for volume in (0.02, 0.1):
                start = seed_density(atlas, (2.2, 1.3, -0.6), replace(DEFAULTS, seed_volume_ml=volume))
                assert start.sum() * atlas.frame.voxel_ml == pytest.approx(volume, rel=1e-6)

    def test_shape_is_a_gaussian_cut_at_three_widths(self, white_block):
        atlas = white_block((40, 40, 40))
        seed = np.array([0.4, -1.3, 2.6])
        start = seed_density(atlas, tuple(seed))
        distance = np.linalg.norm(atlas.frame.world(np.moveaxis(np.indices(start.shape), 0, -1)) - seed, axis=-1)
        gaussian = np.exp(-(distance**2) / (2 * 2.5**2)) * (distance <= 7.5)
        np.testing.assert_allclose(start, gaussian * 100 / gaussian.sum(), rtol=1e-6)

    @pytest.mark.parametrize("axis", range(3))
    def test_moving_it_by_part_of_a_voxel_moves_the_centre_as_much(self, white_block, axis):
        atlas = white_block((32, 32, 32), 2.0)
        for shift in np.linspace(0, 2, 9):
            seed = np.array([0.1, 0.3, -0.4])
            seed[axis] += shift
            centre = moments(seed_density(atlas, tuple(seed)), atlas.frame)[1]
            np.testing.assert_allclose(centre, seed, atol=0.05)

    def test_moving_it_a_little_changes_the_tumour_a_little(self, ragged_atlas):
        solver = FisherKolmogorov(ragged_atlas((28, 28, 28)))
        here, there, far = (
            solver(GrowthParameters((x, 0.5, 0.5), 0.2, 0.03, 150)).astype(np.float64) for x in (0.1, 0.2, 8.1)
        )
        assert 0 < np.abs(here - there).max() < 0.1 * np.abs(here - far).max()

    @pytest.mark.parametrize("seed", [(300, 0, 0), (0, -41, 0), (0, 0, 1e6), (28.1, 28.1, 28.1)])
    def test_outside_the_frame_is_refused(self, white_block, seed):
        atlas = white_block((20, 20, 20), 2.0)
        with pytest.raises(InputError, match="outside"):
            FisherKolmogorov(atlas)(GrowthParameters(seed, 0.1, 0.01, 100))

    def test_outside_the_tissue_is_refused(self, ellipsoid_atlas):
        with pytest.raises(InputError, match="outside the tissue of ellipsoid"):
            FisherKolmogorov(ellipsoid_atlas)(GrowthParameters((58, 0, 0), 0.1, 0.01, 100))

    def test_inside_the_border_but_in_csf_grows_only_in_tissue(self, ellipsoid_atlas):
        start = seed_density(ellipsoid_atlas, (5, 0, 0))
        assert start.any()
        assert not start[~ellipsoid_atlas.tissue].any()

    @pytest.mark.parametrize("beyond", [0.0, 2.0, 4.0, 6.0, 7.0])
    def test_hanging_at_the_border_stays_below_one(self, make_atlas, beyond):
        white = np.zeros((24, 24, 24))
        white[:12, 12, 12] = 1
        atlas = make_atlas(white, spacing=2.0)
        start = seed_density(atlas, (-1.0 + beyond, 1.0, 1.0))
        assert start.max() <= np.float32(0.95)
        assert start.max() == pytest.approx(0.95, rel=1e-6)
        assert start.sum() * atlas.frame.voxel_ml < DEFAULTS.seed_volume_ml
        u = FisherKolmogorov(atlas)(GrowthParameters((-1.0 + beyond, 1.0, 1.0), 0.1, 0.02, 100))
        assert u.max() <= 1
        assert not u[~atlas.tissue].any()

    def test_beside_the_frame_but_near_tissue_grows(self, white_block):
        start = seed_density(white_block((20, 20, 20), 2.0), (22.0, 0, 0))
        assert start[-1].sum() > start[-2].sum() > 0

    def test_a_seed_that_can_grow_stays_and_another_goes_to_the_nearest_tissue(self, ellipsoid_atlas):
        solver, frame = FisherKolmogorov(ellipsoid_atlas), ellipsoid_atlas.frame
        assert solver.nearest_seed((5.0, 0.0, 0.0)) == (5.0, 0.0, 0.0)
        for outside in ((58.0, 0.0, 0.0), (400.0, -300.0, 20.0)):
            found = solver.nearest_seed(outside)
            solver.seed_density(found)
            places = frame.world(np.argwhere(ellipsoid_atlas.tissue))
            nearest = np.linalg.norm(places - outside, axis=1).min()
            assert np.linalg.norm(np.subtract(found, outside)) == pytest.approx(nearest)
