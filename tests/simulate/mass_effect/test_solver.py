"""The model with mass effect: what it shares with the one without, and what pushing tissue must and must not do."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliodex.errors import InputError
from gliodex.simulate import FisherKolmogorov, GrowthParameters, MassEffect, MassEffectSettings
from gliodex.simulate.mass_effect.deforming_tissue import MovingTissue
from gliodex.store.atlas import Atlas
from gliodex.store.frame import Frame

from ..tumours import DEFAULTS, random_parameters

STRONG = 16000.0  # Pa, the authors' value


def grown(atlas, parameters, **choices):
    solver = MassEffect(atlas, MassEffectSettings(**choices))
    return solver.grow(parameters), solver.deform(parameters)


@pytest.fixture(scope="module")
def brain(ellipsoid_atlas):
    return ellipsoid_atlas


@pytest.fixture(scope="module")
def tumour():
    return GrowthParameters((22.0, 5.0, -3.0), 0.15, 0.05, 200.0, STRONG)


@pytest.fixture(scope="module")
def pushed(brain, tumour):
    return grown(brain, tumour)


@pytest.fixture(scope="module")
def ragged(ragged_atlas):
    return ragged_atlas((34, 37, 33), spacing=3.0)


class TestWithoutMassEffect:
    """gamma = 0 is the Fisher-Kolmogorov model, and there is no step to it."""

    @pytest.mark.parametrize("seed", range(4))
    def test_it_is_the_same_tumour(self, ragged, seed):
        rng = np.random.default_rng(seed)
        parameters = random_parameters(
            rng, ragged, diffusivity=(0.02, 0.5), proliferation=(0.01, 0.1), duration=(60, 300)
        )
        expected = FisherKolmogorov(ragged).grow(parameters)
        found = MassEffect(ragged).grow(parameters)
        assert found.low == expected.low
        np.testing.assert_array_equal(found.density, expected.density)
        assert found.least_jacobian == 1.0

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize("growth", [{}, {"face_mean": "arithmetic"}, {"tissue_fractions": "raw"}], ids=str)
    def test_next_to_none_is_next_to_the_same(self, ragged, seed, growth):
        rng = np.random.default_rng(seed)
        parameters = random_parameters(
            rng, ragged, diffusivity=(0.02, 0.5), proliferation=(0.01, 0.1), duration=(60, 300)
        )
        plain = replace(DEFAULTS, **growth)
        expected = FisherKolmogorov(ragged, plain)(parameters)
        few = MassEffectSettings(plain, pushes=4)  # more would cut its time steps
        found = MassEffect(ragged, few)(replace(parameters, mass_effect=1e-3))
        np.testing.assert_allclose(found, expected, atol=1e-5)


class TestTissue:
    """White matter, grey matter and CSF are moved, never made or lost."""

    @pytest.mark.parametrize("form", ["textbook", "as_published"])
    def test_fractions_stay_fractions(self, brain, tumour, form):
        _, deformation = grown(brain, tumour, form=form)
        maps = np.array([deformation.white, deformation.grey, deformation.csf])
        assert maps.min() >= 0
        np.testing.assert_allclose(maps.sum(axis=0)[brain.brain], 1, atol=1e-5)
        assert not maps[:, ~brain.brain].any()
        assert np.abs(maps[0] - brain.white).max() > 0.3, "it has moved"

    @pytest.mark.parametrize("seed", range(3))
    def test_the_mass_of_each_is_kept(self, ragged, seed):
        rng = np.random.default_rng(seed)
        parameters = random_parameters(
            rng, ragged, diffusivity=(0.02, 0.5), proliferation=(0.01, 0.1), duration=(60, 300)
        )
        solver = MassEffect(ragged)
        solver.grow(replace(parameters, mass_effect=STRONG))
        tissue = solver._tissue()
        assert np.abs(tissue.displacement).max() > 0.1
        before, after = (m.sum(axis=(1, 2, 3), dtype=np.float64) for m in (tissue._grid.at_rest, tissue._fields[:3]))
        np.testing.assert_allclose(after, before, rtol=1e-5)
        assert tissue._fields.min() >= 0

    def test_a_ventricle_beside_the_tumour_is_pressed(self, make_atlas):
        x, y, z = np.indices((40, 30, 30)) - np.array([19.5, 14.5, 14.5])[:, None, None, None]
        ventricle = (np.abs(x) < 5) & (np.abs(y) < 9) & (np.abs(z) < 9)
        atlas = make_atlas(~ventricle, csf=ventricle, spacing=3.0)
        _, deformation = grown(atlas, GrowthParameters((-33.0, 0.0, 0.0), 0.1, 0.08, 170.0, STRONG))
        before, after = ventricle, deformation.csf > 0.5
        assert after.sum() < 0.97 * before.sum()
        assert x[after].mean() > x[before].mean() + 0.2, "away from the tumour"

    def test_tissue_moves_away_from_the_tumour(self, brain, tumour, pushed):
        growth, deformation = pushed
        voxels = np.moveaxis(np.indices(brain.frame.shape), 0, -1)
        off = brain.frame.world(voxels) - np.array(tumour.seed_mm)
        distance = np.linalg.norm(off, axis=-1)
        outward = (deformation.displacement_mm * off).sum(axis=-1) / np.maximum(distance, 1)
        largest = np.linalg.norm(deformation.displacement_mm, axis=-1).max()
        around = (growth.full() > 0.01) & (distance > 8)
        assert largest > 2
        assert (outward[around] > -0.02 * largest).mean() > 0.97
        assert outward[around].mean() > 0.3 * largest

    def test_nothing_passes_the_skull(self, brain, tumour):
        tissue = MovingTissue(brain, MassEffectSettings())
        low, seed = FisherKolmogorov(brain).seed_density((30.0, 5.0, -3.0))
        tissue.push(low, seed, STRONG)
        inside = tissue._grid.brain
        for axis, shifts in enumerate(tissue._shifts):
            border = inside != np.roll(inside, -1, axis)
            assert np.abs(shifts).max() > 0
            assert not shifts[border].any()


class TestTumour:
    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), mass_effect=st.floats(1, 30000))
    def test_densities_are_densities(self, ragged, seed, mass_effect):
        rng = np.random.default_rng(seed)
        parameters = random_parameters(
            rng, ragged, diffusivity=(0.02, 1.5), proliferation=(0.002, 0.2), duration=(50, 500)
        )
        run = MassEffect(ragged).grow(replace(parameters, mass_effect=mass_effect))
        assert run.density.min() >= 0
        assert run.density.max() <= 1
        assert not run.full()[~(ragged.brain | ragged.tissue)].any()

    def test_it_grows_larger_than_one_that_pushes_nothing(self, brain, tumour, pushed):
        growth, _ = pushed
        plain = FisherKolmogorov(brain)(replace(tumour, mass_effect=0.0))
        assert np.count_nonzero(growth.density >= 0.2) > 1.1 * np.count_nonzero(plain >= 0.2)

    def test_only_products_with_the_duration_count(self, brain, tumour):
        slower = replace(
            tumour, diffusivity=tumour.diffusivity / 3, proliferation=tumour.proliferation / 3, duration=600
        )
        solver = MassEffect(brain)
        np.testing.assert_allclose(solver(slower), solver(tumour), atol=2e-4)

    def test_a_tumour_in_the_middle_of_a_mirror_image_is_one(self, brain):
        growth, deformation = grown(brain, GrowthParameters((0.0, 26.0, -2.0), 0.2, 0.06, 200, STRONG), tolerance=1e-5)
        density, moved = growth.full(), deformation.displacement_mm
        assert np.abs(moved[..., 0]).max() > 2
        np.testing.assert_allclose(density[::-1], density, atol=2e-3)
        np.testing.assert_allclose(moved[::-1, ..., 0], -moved[..., 0], atol=0.01)
        np.testing.assert_allclose(moved[::-1, ..., 1:], moved[..., 1:], atol=0.01)

    def test_more_pushes_come_closer_to_many(self, brain, tumour):
        """Each push lags behind by a part of the growth between two: an error of first order."""
        found = {n: grown(brain, tumour, pushes=n, tolerance=1e-4)[0].full() for n in (4, 8, 16, 64)}
        errors = [np.abs(found[n] - found[64]).mean() for n in (4, 8, 16)]
        assert errors[2] < 0.7 * errors[1] < 0.5 * errors[0]

    def test_smaller_elastic_cells_change_little(self, brain, tumour, pushed):
        finer = grown(brain, tumour, voxels_a_cell=1)[0].full() >= 0.2
        coarse = pushed[0].full() >= 0.2
        assert 2 * (finer & coarse).sum() / (finer.sum() + coarse.sum()) > 0.95

    def test_the_box_it_is_expected_in_changes_nothing(self, brain, tumour, pushed):
        whole = (0, 0, 0), brain.frame.shape
        for reach in (whole, ((14, 14, 14), (16, 16, 16))):
            np.testing.assert_allclose(MassEffect(brain).grow(tumour, None, reach).full(), pushed[0].full(), atol=1e-6)

    def test_a_run_does_not_remember_the_one_before(self, brain, tumour, pushed):
        solver = MassEffect(brain)
        solver.grow(replace(tumour, seed_mm=(-20.0, 10.0, 5.0), mass_effect=9000.0))
        np.testing.assert_array_equal(solver.grow(tumour).full(), pushed[0].full())

    def test_threads_do_not_disturb_each_other(self, brain, tumour, pushed):
        solver = MassEffect(brain)
        wanted = [replace(tumour, mass_effect=m) for m in (4000.0, STRONG) * 3]
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(solver, wanted))
        for one in found[1::2]:
            np.testing.assert_array_equal(one, pushed[0].full())

    def test_it_gives_up_as_soon_as_it_is_too_large(self, brain, tumour):
        solver = MassEffect(brain)
        ended, stopped = solver.grow(tumour), solver.grow(tumour, 1.0)
        assert stopped.outgrew
        assert not ended.outgrew
        assert stopped.steps < ended.steps
        whole_ml = np.count_nonzero(ended.density >= 0.2) * brain.frame.voxel_ml
        assert solver.grow(tumour, 1.01 * whole_ml).outgrew is False
        assert solver.grow(tumour, 0.99 * whole_ml).outgrew is True

    def test_what_it_was_on_its_way_is_a_shorter_run(self, brain, tumour):
        solver = MassEffect(brain)
        run = solver.grow(tumour, snapshots=(0.6, 0.8))
        assert len(run.snapshots) == 2
        for snapshot, share in zip(run.snapshots, (0.6, 0.8), strict=True):
            assert snapshot.days == pytest.approx(share * tumour.duration, rel=0.1)
            found = replace(run, density=snapshot.density, low=snapshot.low).full()
            expected = solver(replace(tumour, duration=snapshot.days))
            masks = found >= 0.2, expected >= 0.2
            assert 2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum()) > 0.93
        np.testing.assert_array_equal(run.full(), solver(tumour))

    def test_it_pushes_as_often_as_it_is_said_to(self, brain, tumour, monkeypatch):
        """Also where the time steps of the growth alone would be fewer."""
        pushed = []
        plain = MovingTissue.push
        monkeypatch.setattr(MovingTissue, "push", lambda self, *a: pushed.append(1) or plain(self, *a))
        for rates in ({"diffusivity": 0.0}, {"diffusivity": 0.01}, {"proliferation": 0.002}, {}):
            pushed.clear()
            MassEffect(brain, MassEffectSettings(pushes=12)).grow(replace(tumour, **rates))
            assert len(pushed) >= 11

    @pytest.mark.parametrize("still", [{"diffusivity": 0.0}, {"proliferation": 0.0}, {"duration": 0.0}], ids=str)
    def test_one_that_does_not_spread_or_grow_still_pushes(self, brain, tumour, still):
        growth, deformation = grown(brain, replace(tumour, **still))
        assert np.isfinite(growth.density).all()
        assert np.abs(deformation.displacement_mm).max() > 0


class TestAtlases:
    """Brains that fill their frame to its border, as those cropped for a patient do, thin ones and lying ones."""

    @pytest.mark.parametrize("voxels_a_cell", [1, 2])
    @pytest.mark.parametrize("shape", [(21, 20, 20), (20, 21, 22), (23, 25, 27), (5, 5, 5), (32, 35, 33)], ids=str)
    def test_a_brain_may_fill_its_frame(self, make_atlas, shape, voxels_a_cell):
        atlas = make_atlas(np.ones(shape), spacing=4.0)
        solver = MassEffect(atlas, MassEffectSettings(voxels_a_cell=voxels_a_cell, pushes=5))
        size = 4.0 * min(shape)
        for seed in ((0.0, 0.0, 0.0), tuple(2.0 * (n - 1) for n in shape)):  # in the middle, and in a corner
            parameters = GrowthParameters(seed, size**2 / 4e4, 0.05, 200.0, STRONG)
            run = solver.grow(parameters)
            assert run.full().shape == shape
            assert run.full().max() > 0.5
            total = solver._tissue()._fields[:3].sum(dtype=np.float64)
            assert total == pytest.approx(np.prod(shape), rel=1e-5)

    @pytest.mark.parametrize("thickness", [1, 2, 3])
    @pytest.mark.parametrize("axis", range(3))
    def test_a_brain_may_be_thin(self, make_atlas, axis, thickness):
        shape = np.insert([24, 24], axis, thickness)
        run = MassEffect(make_atlas(np.ones(shape), spacing=4.0)).grow(
            GrowthParameters((0.0, 0.0, 0.0), 0.1, 0.05, 200.0, STRONG)
        )
        assert run.density.max() > 0.5
        assert 0 < run.least_jacobian <= 1

    def test_voxels_may_be_of_any_shape(self, make_atlas):
        """As many voxels of another shape in the same brain give about the same tumour."""
        found = []
        for spacing in ((4.0, 4.0, 4.0), (2.0, 4.0, 8.0)):
            shape = tuple(int(96 / h) for h in spacing)
            run = MassEffect(make_atlas(np.ones(shape), spacing=spacing)).grow(
                GrowthParameters((0.0, 0.0, 0.0), 0.3, 0.05, 200.0, STRONG)
            )
            found.append(np.count_nonzero(run.density >= 0.2) * np.prod(spacing))
        assert found[1] == pytest.approx(found[0], rel=0.1)

    def test_a_flipped_frame_gives_the_flipped_tumour(self, brain, tumour):
        flip = np.diag([-1.0, 1.0, 1.0, 1.0])
        flip[0, 3] = brain.frame.shape[0] - 1
        maps = [m[::-1] for m in (brain.white, brain.grey, brain.csf, brain.t1)]
        other = Atlas("flipped", Frame(brain.frame.shape, brain.frame.affine @ flip), *maps)
        (growth, moved), (flipped, flipped_moved) = (grown(a, tumour, tolerance=1e-5) for a in (brain, other))
        np.testing.assert_allclose(flipped.full()[::-1], growth.full(), atol=2e-3)
        np.testing.assert_allclose(flipped_moved.displacement_mm[::-1], moved.displacement_mm, atol=0.01)


class TestJacobian:
    """Of u = e x, each length has grown by 1 / (1 - e)."""

    @pytest.mark.parametrize(
        ("stretches", "expected"),
        [
            ((-0.1, -0.3, 0.2), 1 / (1.1 * 1.3 * 0.8)),
            ((-0.5, 0.0, 0.0), 1 / 1.5),
            ((0.1, 0.2, 0.3), 1.0),  # nothing is smaller than it was
            ((1.2, 0.0, 0.0), 0.0),  # folded
        ],
    )
    def test_it_is_the_smallest_ratio_of_volumes(self, brain, stretches, expected):
        tissue = MovingTissue(brain, MassEffectSettings())
        shape = tissue.displacement.shape[1:]
        for axis, stretch in enumerate(stretches):
            ramp = (np.arange(shape[axis]) + 1) * 8.0 * stretch
            tissue.displacement[axis] = ramp.reshape([-1 if a == axis else 1 for a in range(3)])
        assert tissue.least_jacobian() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("form", ["textbook", "as_published"])
def test_more_than_the_model_can_take_is_refused(brain, tumour, form):
    solver = MassEffect(brain, MassEffectSettings(form=form))
    with pytest.raises(InputError, match="35000 Pa is beyond 34845 Pa, where strains are no longer small"):
        solver.grow(replace(tumour, mass_effect=35000.0))


def test_a_seed_outside_the_brain_is_refused(brain, tumour):
    with pytest.raises(InputError, match="outside"):
        MassEffect(brain).grow(replace(tumour, seed_mm=(500.0, 0.0, 0.0)))
    x, y, z = MassEffect(brain).nearest_seed((500.0, 0.0, 0.0))
    assert MassEffect(brain).grow(replace(tumour, seed_mm=(x, y, z))).density.any()
