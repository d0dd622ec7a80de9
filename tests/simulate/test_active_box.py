import math

import numpy as np
import pytest

from gliodex.simulate import stencil
from gliodex.simulate.active_box import ActiveBox, Medium, Workspace
from gliodex.simulate.live_rows import LANES, extent_of_rows

LEVEL = np.float32(0.2)


def closed_medium(shape, seed=0):
    """Random faces, as many steps as a run may make, tissue everywhere."""
    rng = np.random.default_rng(seed)
    x, y, z = (rng.random(shape).astype(np.float32) for _ in range(3))
    x[-1], y[:, -1], z[:, :, -1] = 0, 0, 0
    return Medium(x, y, z, *extent_of_rows(np.ones(shape, np.bool_)))


def placed(box, shape):
    density, low = box.inner()
    out = np.zeros(shape, np.float32)
    out[tuple(slice(a, a + n) for a, n in zip(low, density.shape, strict=True))] = density
    return out


def march(box, steps, growth=1.0, limit=math.inf):
    return box.march(steps, np.float32(0.16), np.float32(growth), LEVEL, np.full(1000, limit))


def every_cell(medium, u, steps, growth):
    """All cells of the grid stepped, none left out."""
    u, x, y, z = (np.pad(a, ((1, 1), (0, 0), (0, 0))) for a in (u, medium.x, medium.y, medium.z))
    scratch = np.zeros_like(u)
    first, stop = np.zeros((2, *u.shape[:2]), np.int32)
    stop[1:-1] = u.shape[2]
    for _ in range(steps):
        stencil.advance(u, scratch, x, y, z, first, stop, np.float32(0.16), np.float32(growth))
        u, scratch = scratch, u
    return u[1:-1]


def test_box_starts_around_its_density_at_whole_lanes():
    seed = np.full((2, 3, 4), 0.5, np.float32)
    box = ActiveBox(closed_medium((60, 60, 60)), (25, 26, 27), seed)
    density, low = box.inner()
    assert low == (17, 18, 0)
    assert density.shape == (18, 19, 3 * LANES)
    np.testing.assert_array_equal(density[8:10, 8:11, 27:31], seed)
    assert density.sum() == seed.sum()


def test_box_stays_within_the_grid():
    box = ActiveBox(closed_medium((12, 30, 10)), (0, 26, 4), np.ones((4, 4, 2), np.float32))
    density, low = box.inner()
    assert low == (0, 18, 0)
    assert density.shape == (12, 12, 10)
    assert density.sum() == 32
    march(box, 200)
    density, low = box.inner()
    assert low == (0, 0, 0)
    assert density.shape == (12, 30, 10)
    assert density.sum(dtype=np.float64) == pytest.approx(32, rel=1e-5)


@pytest.mark.parametrize("growth", [1.0, 1.1])
@pytest.mark.parametrize("steps", [1, 7, 60])
def test_small_box_matches_the_whole_grid(growth, steps):
    shape = (44, 40, 36)
    medium, low = closed_medium(shape, seed=3), (20, 17, 16)
    everywhere = np.zeros(shape, np.float32)
    everywhere[20:24, 17:22, 16:19] = seed = np.random.default_rng(4).random((4, 5, 3), dtype=np.float32)
    box = ActiveBox(medium, low, seed)
    assert march(box, steps, growth) == (steps, False)
    expected = every_cell(medium, everywhere, steps, growth)
    np.testing.assert_allclose(placed(box, shape), expected, atol=1e-6)
    assert box.count_at_least(LEVEL) == np.count_nonzero(placed(box, shape) >= LEVEL)


def test_marching_in_parts_is_marching_once():
    shape, seed = (50, 50, 50), np.ones((3, 3, 3), np.float32)
    once, parts = (ActiveBox(closed_medium(shape), (20, 20, 20), seed) for _ in range(2))
    march(once, 64, 1.05)
    for steps in (16, 1, 2, 13, 32):
        march(parts, steps, 1.05)
    np.testing.assert_allclose(placed(parts, shape), placed(once, shape), atol=1e-7)


def test_cells_without_tissue_are_left_out():
    shape = (40, 40, 64)
    medium, tissue = closed_medium(shape), np.zeros(shape, np.bool_)
    tissue[:, :, 16:32] = True
    medium.z[:, :, [15, 31]] = 0
    walled = Medium(medium.x, medium.y, medium.z, *extent_of_rows(tissue))
    open_box, box = (ActiveBox(m, (18, 18, 20), np.ones((3, 3, 3), np.float32)) for m in (medium, walled))
    march(open_box, 60, 1.1)
    march(box, 60, 1.1)
    np.testing.assert_array_equal(placed(box, shape), placed(open_box, shape))
    assert box.updates <= open_box.updates


def test_it_gives_up_when_the_volume_passes_the_limit():
    box = ActiveBox(closed_medium((60, 60, 60)), (28, 28, 28), np.ones((3, 3, 3), np.float32))
    made, gave_up = march(box, 200, 1.2, limit=500)
    assert gave_up
    assert 0 < made < 200
    assert box.count_at_least(LEVEL) > 500


def test_limits_are_those_of_the_step_reached():
    limits = np.full(1000, math.inf)
    limits[50:] = 0
    box = ActiveBox(closed_medium((60, 60, 60)), (28, 28, 28), np.ones((3, 3, 3), np.float32))
    made, gave_up = box.march(200, np.float32(0.16), np.float32(1.1), LEVEL, limits)
    assert gave_up
    assert 50 <= made <= 50 + 32


def test_a_workspace_is_used_again_and_leaves_no_trace():
    workspace, shape = Workspace(), (60, 60, 60)
    seed = np.random.default_rng(1).random((4, 4, 4), dtype=np.float32)
    fresh = ActiveBox(closed_medium(shape), (10, 12, 30), seed)
    for low in ((40, 30, 20), (10, 12, 30)):
        box = ActiveBox(closed_medium(shape), low, seed, workspace)
        march(box, 70, 1.1)
    march(fresh, 70, 1.1)
    np.testing.assert_array_equal(placed(box, shape), placed(fresh, shape))
    memory = [workspace.carve(name, (2, 2)) for name in ("first", "second", "third", "x", "y", "z")]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(memory) for b in memory[:i])
