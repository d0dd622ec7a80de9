import numpy as np
import pytest

from gliodex.simulate.active_box import TAIL, ActiveBox, Faces
from gliodex.simulate.stencil import advance


def closed_faces(shape, seed=0):
    rng = np.random.default_rng(seed)
    x, y, z = (rng.random(shape).astype(np.float32) for _ in range(3))
    x[-1], y[:, -1], z[:, :, -1] = 0, 0, 0
    return Faces(x, y, z)


def placed(box, shape):
    density, low = box.inner()
    out = np.zeros(shape, np.float32)
    out[tuple(slice(a, a + n) for a, n in zip(low, density.shape, strict=True))] = density
    return out


def step(box, diffusion, growth):
    advance(*box.flat(), *box.strides, np.float32(diffusion), np.float32(growth))
    box.swap()


def test_box_starts_eight_layers_around_its_density():
    seed = np.full((2, 3, 4), 0.5, np.float32)
    box = ActiveBox(closed_faces((40, 40, 40)), (15, 16, 17), seed)
    density, low = box.inner()
    assert low == (7, 8, 9)
    assert density.shape == (18, 19, 20)
    np.testing.assert_array_equal(density[8:10, 8:11, 8:12], seed)
    assert density.sum() == seed.sum()


def test_box_stays_within_the_grid():
    box = ActiveBox(closed_faces((12, 30, 10)), (0, 26, 4), np.ones((4, 4, 2), np.float32))
    for _ in range(2):
        density, low = box.inner()
        assert low == (0, 18, 0)
        assert density.shape == (12, 12, 10)
        assert density.sum() == 32
        box.follow_front()


def test_ghost_planes_and_strides_fit_the_arrays():
    box = ActiveBox(closed_faces((40, 40, 40)), (15, 16, 17), np.ones((2, 3, 4), np.float32))
    assert box.u.shape == (20, 19, 20)
    assert box.strides == (19 * 20, 20)
    assert not box.u[[0, -1]].any()
    assert {a.shape for a in box.flat()} == {(20 * 19 * 20,)}
    assert all(a.flags.c_contiguous and a.dtype == np.float32 for a in box.flat())


def test_flat_views_write_through_and_swap_exchanges_them():
    box = ActiveBox(closed_faces((30, 30, 30)), (10, 10, 10), np.ones((2, 2, 2), np.float32))
    density, scratch = box.flat()[:2]
    scratch[0] = 0.25
    box.swap()
    assert box.u.ravel()[0] == np.float32(0.25)
    assert np.shares_memory(box.flat()[1], density)


def test_follow_front_moves_only_the_side_that_the_front_reached():
    box = ActiveBox(closed_faces((60, 60, 60)), (28, 28, 28), np.full((3, 3, 3), 0.5, np.float32))
    before, low = box.inner()
    shape = before.shape
    box.follow_front()
    assert box.inner()[1] == low
    assert box.inner()[0].shape == shape
    box.u[1:-1][-2, 9, 9] = 10 * TAIL
    kept = placed(box, (60, 60, 60))
    box.follow_front()
    assert box.inner()[1] == low
    assert box.inner()[0].shape == (shape[0] + 8, *shape[1:])
    np.testing.assert_array_equal(placed(box, (60, 60, 60)), kept)


def test_follow_front_ignores_what_is_below_the_tail():
    box = ActiveBox(closed_faces((60, 60, 60)), (28, 28, 28), np.full((3, 3, 3), 0.5, np.float32))
    shape = box.inner()[0].shape
    box.u[1:-1][0, 0, 0] = TAIL
    box.follow_front()
    assert box.inner()[0].shape == shape


@pytest.mark.parametrize("growth", [1.0, 1.1])
def test_small_box_matches_a_box_of_the_whole_grid(growth):
    shape = (44, 40, 36)
    faces = closed_faces(shape, seed=3)
    seed = np.random.default_rng(4).random((4, 5, 3), dtype=np.float32)
    low = (20, 17, 16)
    everywhere = np.zeros(shape, np.float32)
    everywhere[20:24, 17:22, 16:19] = seed
    small, large = ActiveBox(faces, low, seed), ActiveBox(faces, (0, 0, 0), everywhere)
    assert small.u.size < large.u.size / 3
    for number in range(60):
        if number % 4 == 0:
            small.follow_front()
        step(small, 0.16, growth)
        step(large, 0.16, growth)
    assert small.u.size > 20**3
    np.testing.assert_allclose(placed(small, shape), placed(large, shape), atol=1e-6)


def test_nothing_leaves_a_box_that_does_not_grow():
    box = ActiveBox(closed_faces((50, 50, 50)), (20, 20, 20), np.ones((6, 6, 6), np.float32))
    for _ in range(400):
        step(box, 0.16, 1.0)
    density = box.inner()[0]
    assert density[0].max() > 1e-4
    assert density.sum(dtype=np.float64) == pytest.approx(216, rel=1e-5)
    assert not box.u[[0, -1]].any()
