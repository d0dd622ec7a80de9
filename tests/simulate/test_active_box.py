import math

import numpy as np
import pytest

from gliodex.simulate import kernels
from gliodex.simulate.active_box import ActiveBox, Medium, Workspace
from gliodex.simulate.active_rows import LANES, extent_of_rows
from gliodex.simulate.rkc import scheme

LEVEL = np.float32(0.2)
EXPLICIT = 0.16
"""Diffusion of the longest stable explicit step, mm², where faces are at most 1/mm²."""


def closed_medium(shape, seed=0, tissue=None):
    """Random faces, zero where tissue or the grid ends."""
    rng = np.random.default_rng(seed)
    x, y, z = (rng.random(shape).astype(np.float32) for _ in range(3))
    if tissue is not None:
        for axis, face in enumerate((x, y, z)):
            face[...] *= tissue & np.roll(tissue, -1, axis)
    x[-1], y[:, -1], z[:, :, -1] = 0, 0, 0
    return Medium(x, y, z, *extent_of_rows(np.ones(shape, np.bool_) if tissue is None else tissue))


def placed(box, shape):
    """All that the box holds, on the grid, also what overshoots below 0 after a long step."""
    x, y, z = box._low
    held = box.u[1:-1, :, : shape[2] - z]
    out = np.zeros(shape, np.float32)
    out[x : x + held.shape[0], y : y + held.shape[1], z : z + held.shape[2]] = held
    return out


def enter(box, growth=1.0, stages=2):
    made = scheme(stages)
    box.enter_phase(made.weights, np.float32(EXPLICIT * made.reach), float(np.log(growth)))


def march(box, steps, growth=1.0, limit=math.inf, stages=2):
    """Make a phase of so many steps; returns whether the box gave up."""
    enter(box, growth, stages)
    return box.march(steps, np.float32(growth), LEVEL, np.full(1000, limit))


def every_cell(medium, u, phases):
    """All cells of the grid stepped, none left out; phases are (steps, growth, stages)."""
    u, x, y, z = (np.pad(a, ((1, 1), (0, 0), (0, 0))) for a in (u, medium.x, medium.y, medium.z))
    first, stop = np.zeros((2, *u.shape[:2]), np.int32)
    stop[1:-1] = u.shape[2]
    rows, between = (first, stop, (0, u.shape[0], 0, u.shape[1])), np.zeros_like(u)
    one, zero = np.float32(1), np.float32(0)
    for steps, growth, stages in phases:
        made = scheme(stages)
        diffusion = np.float32(EXPLICIT * made.reach)
        for _ in range(steps):
            for pair, (half, whole) in enumerate(made.weights, start=1):
                grown = np.float32(growth) if pair == len(made.weights) else one
                kernels.spread(u, between, x, y, z, (0, 0, 0), *rows, diffusion * half, zero, one)
                kernels.spread(between, u, x, y, z, (0, 0, 0), *rows, diffusion * whole, one, grown)
    return u[1:-1]


class TestMedium:
    @pytest.mark.parametrize("depth", [16, 17, 31, 40])
    def test_its_whole_grid_is_lined_with_ghosts_and_filled_up_to_whole_lanes(self, depth):
        shape = (5, 4, depth)
        medium = closed_medium(shape, tissue=np.random.default_rng(1).random(shape) < 0.4)
        lanes = -(-depth // LANES) * LANES
        for whole, face in zip(medium.whole_grid, (medium.x, medium.y, medium.z), strict=True):
            assert whole.shape == (7, 4, lanes)
            assert whole.flags.c_contiguous
            np.testing.assert_array_equal(whole[1:-1, :, :depth], face)
            assert whole.sum(dtype=np.float64) == face.sum(dtype=np.float64)
        for rows, grid_rows in zip(medium.tissue, (medium.tissue_first, medium.tissue_stop), strict=True):
            np.testing.assert_array_equal(rows[1:-1], grid_rows)
        assert (medium.tissue[1][[0, -1]] <= medium.tissue[0][[0, -1]]).all()

    def test_nothing_leaves_its_whole_grid_even_where_faces_are_open(self):
        shape = (4, 5, 16)
        x, y, z = np.ones((3, *shape), np.float32)
        whole = Medium(x, y, z, *extent_of_rows(np.ones(shape, np.bool_))).whole_grid
        assert not whole[0][[0, -2, -1]].any()
        assert not whole[1][:, -1].any()
        assert not whole[2][:, :, -1].any()

    def test_largest_is_that_of_all_faces(self):
        medium = closed_medium((4, 5, 6))
        medium.y[2, 2, 2] = 3.5
        assert medium.largest == 3.5


class TestPlace:
    def test_box_starts_around_its_density_at_whole_lanes(self):
        seed = np.full((2, 3, 4), 0.5, np.float32)
        box = ActiveBox(closed_medium((60, 60, 60)), (25, 26, 27), seed)
        assert box.u.shape == (18 + 2, 19, 3 * LANES)
        density, low = box.living()
        assert low == (25, 26, 16)
        assert density.shape == (2, 3, LANES)
        np.testing.assert_array_equal(density[:, :, 11:15], seed)
        assert density.sum() == seed.sum()

    def test_box_starts_as_large_as_it_is_told_to_reach(self):
        seed, reach = np.ones((2, 3, 4), np.float32), ((5, 17, 3), (41, 60, 47))
        box = ActiveBox(closed_medium((60, 60, 60)), (25, 26, 27), seed, reach)
        assert box.u.shape == (36 + 2, 43, 3 * LANES)
        np.testing.assert_array_equal(np.argwhere(placed(box, (60, 60, 60)))[[0, -1]], [[25, 26, 27], [26, 28, 30]])

    def test_box_stays_within_the_grid(self):
        shape = (12, 30, 10)
        box = ActiveBox(closed_medium(shape), (0, 26, 4), np.ones((4, 4, 2), np.float32))
        assert box.u.shape == (12 + 2, 12, LANES)
        assert placed(box, shape).sum() == 32
        march(box, 200)
        assert box.u.shape == (12 + 2, 30, LANES)
        density, low = box.living()
        assert low == (0, 0, 0)
        assert density.shape == shape
        assert density.sum(dtype=np.float64) == pytest.approx(32, rel=1e-5)

    def test_living_is_all_there_is(self):
        """Of a box far larger than what lives in it, and in which life came near an edge of the grid."""
        shape = (50, 40, 37)
        box = ActiveBox(closed_medium(shape), (30, 8, 26), np.ones((3, 3, 3), np.float32), ((0, 0, 0), shape))
        march(box, 10, 1.1)
        density, low = box.living()
        assert density.flags.c_contiguous
        assert density.size < np.prod(shape) / 2
        whole = np.zeros_like(box.u)
        first = (low[0] + 1, *low[1:])
        whole[tuple(slice(a, a + n) for a, n in zip(first, density.shape, strict=True))] = density
        np.testing.assert_array_equal(whole, box.u)
        density[...] = 7
        assert box.u.max() <= 1

    def test_living_at_another_time_has_grown_by_so_much(self):
        shape = (40, 40, 40)
        box = ActiveBox(closed_medium(shape), (20, 18, 19), np.full((3, 3, 3), 0.7, np.float32))
        march(box, 10, 1.1)
        (now, low), (earlier, low_then) = box.living(), box.living(np.float32(0.8))
        assert low == low_then
        u = now.astype(np.float64)
        np.testing.assert_allclose(earlier, u * 0.8 / (1 - 0.2 * u), rtol=1e-6)
        box.grow(np.float32(1.3))
        np.testing.assert_allclose(box.living()[0], u * 1.3 / (1 + 0.3 * u), rtol=1e-6)


class TestMarch:
    @pytest.mark.parametrize("growth", [1.0, 1.1])
    @pytest.mark.parametrize(("steps", "stages"), [(1, 2), (7, 2), (60, 2), (20, 4), (9, 6), (1, 8), (6, 8)])
    def test_small_box_matches_the_whole_grid(self, growth, steps, stages):
        shape = (44, 40, 36)
        medium, low = closed_medium(shape, seed=3), (20, 17, 16)
        everywhere = np.zeros(shape, np.float32)
        everywhere[20:24, 17:22, 16:19] = seed = np.random.default_rng(4).random((4, 5, 3), dtype=np.float32)
        box = ActiveBox(medium, low, seed)
        assert not march(box, steps, growth, stages=stages)
        assert box.steps == steps
        expected = every_cell(medium, everywhere, [(steps, growth, stages)])
        np.testing.assert_allclose(placed(box, shape), expected, atol=1e-6)
        assert box.count_at_least(LEVEL) == np.count_nonzero(placed(box, shape) >= LEVEL)

    def test_phases_follow_each_other(self):
        shape, phases = (52, 48, 44), [(12, 1.02, 2), (1, 1.1, 4), (4, 1.2, 6), (5, 1.3, 8)]
        medium, low = closed_medium(shape, seed=3), (20, 17, 16)
        everywhere = np.zeros(shape, np.float32)
        everywhere[20:24, 17:22, 16:19] = seed = np.random.default_rng(4).random((4, 5, 3), dtype=np.float32)
        box = ActiveBox(medium, low, seed)
        for steps, growth, stages in phases:
            assert not march(box, steps, growth, stages=stages)
        assert box.steps == 22
        np.testing.assert_allclose(placed(box, shape), every_cell(medium, everywhere, phases), atol=1e-6)

    @pytest.mark.parametrize("stages", [2, 8])
    def test_marching_in_parts_is_marching_once(self, stages):
        shape, seed = (60, 56, 50), np.ones((3, 3, 3), np.float32)
        once, parts = (ActiveBox(closed_medium(shape), (30, 20, 20), seed) for _ in range(2))
        limits, growth = np.full(1000, math.inf), np.float32(1.05)
        total = 64 // stages
        enter(once, 1.05, stages)
        enter(parts, 1.05, stages)
        assert not once.march(total, growth, LEVEL, limits)
        for until in (0, 1, total // 4, total // 4 + 1, total // 2, total - 1, total - 1, total):
            assert not parts.march(until, growth, LEVEL, limits)
            assert parts.steps == until
        assert parts.updates == once.updates
        np.testing.assert_array_equal(placed(parts, shape), placed(once, shape))

    @pytest.mark.parametrize("stages", [2, 8])
    def test_cells_without_tissue_are_left_out(self, stages):
        shape = (40, 40, 64)
        medium, tissue = closed_medium(shape), np.zeros(shape, np.bool_)
        tissue[:, :, 16:32] = True
        medium.z[:, :, [15, 31]] = 0
        walled = Medium(medium.x, medium.y, medium.z, *extent_of_rows(tissue))
        open_box, box = (ActiveBox(m, (18, 18, 20), np.ones((3, 3, 3), np.float32)) for m in (medium, walled))
        march(open_box, 60 // stages, 1.1, stages=stages)
        march(box, 60 // stages, 1.1, stages=stages)
        np.testing.assert_array_equal(placed(box, shape), placed(open_box, shape))
        assert box.updates <= open_box.updates

    def test_it_gives_up_when_the_volume_passes_the_limit(self):
        box = ActiveBox(closed_medium((60, 60, 60)), (28, 28, 28), np.ones((3, 3, 3), np.float32))
        assert march(box, 200, 1.2, limit=500)
        assert 0 < box.steps < 200
        assert box.count_at_least(LEVEL) > 500

    @pytest.mark.parametrize(("stages", "wait"), [(2, 16), (8, 4)])
    def test_limits_are_those_of_the_step_reached(self, stages, wait):
        limits = np.full(1000, math.inf)
        limits[50:] = 0
        box = ActiveBox(closed_medium((60, 60, 60)), (28, 28, 28), np.ones((3, 3, 3), np.float32))
        enter(box, 1.1, stages)
        assert not box.march(20, np.float32(1.1), LEVEL, limits)
        enter(box, 1.1, stages)  # another phase: steps before it count too
        assert box.march(200, np.float32(1.1), LEVEL, limits)
        assert 50 <= box.steps <= 50 + wait


REACHES = {
    "the whole grid": ((0, 0, 0), (52, 44, 37)),
    "far beyond the grid": ((-40, -9, -50), (99, 98, 97)),
    "one voxel": ((23, 22, 17), (24, 23, 18)),
    "elsewhere": ((40, 2, 33), (50, 9, 36)),
    "one end only": ((-5, 20, 0), (30, 24, 20)),
    "about right": ((8, 6, 2), (40, 36, 36)),
    "upside down": ((60, 60, 60), (-3, -2, -1)),
}


class TestReach:
    """What a tumour becomes does not depend on the box that was made ready for it, not by a bit."""

    @pytest.mark.parametrize("reach", REACHES.values(), ids=REACHES)
    @pytest.mark.parametrize("holes", [False, True], ids=["tissue", "holes"])
    def test_it_changes_nothing(self, reach, holes):
        shape, seed = (52, 44, 37), np.random.default_rng(5).random((5, 5, 5), dtype=np.float32)
        medium = closed_medium(shape, 6, np.random.default_rng(7).random(shape) < 0.75 if holes else None)
        boxes = [ActiveBox(medium, (20, 19, 15), seed, r) for r in (None, reach)]
        for steps, growth, stages in [(9, 1.02, 2), (3, 1.2, 4), (1, 1.2, 6), (4, 1.3, 8)]:
            for box in boxes:
                assert not march(box, steps, growth, stages=stages)
            (density, low), (expected, expected_low) = boxes[1].living(), boxes[0].living()
            assert low == expected_low
            np.testing.assert_array_equal(density, expected)
            assert boxes[1].updates == boxes[0].updates
        assert np.count_nonzero(density > 0.01) > 2500

    def test_it_changes_nothing_where_the_seed_lies_in_a_corner_of_what_is_planted(self):
        """Life starts at one end of the planted box and runs back along a thread of tissue beside it."""
        shape, planted = (64, 48, 48), np.zeros((17, 17, 17), np.float32)
        tissue = np.zeros(shape, np.bool_)
        tissue[37, 30:39, 30], tissue[10:38, 38, 30] = True, True
        planted[15, 8:11, 8] = 0.9
        medium = closed_medium(shape, 1, tissue)
        for face in (medium.x, medium.y):
            face[face > 0] = 1
        boxes = [ActiveBox(medium, (22, 22, 22), planted, r) for r in (None, ((30, 30, 30), (31, 31, 31)))]
        for _ in range(12):
            for box in boxes:
                march(box, 3, 1.02)
            np.testing.assert_array_equal(placed(boxes[1], shape), placed(boxes[0], shape))

    def test_a_large_enough_one_saves_moving_the_box(self, monkeypatch):
        moved, resize = [], ActiveBox._resize
        monkeypatch.setattr(ActiveBox, "_resize", lambda box, *to: moved.append(1) or resize(box, *to))
        medium = closed_medium((60, 60, 60))
        for reach, times in ((None, range(3, 20)), (((0, 0, 0), (60, 60, 60)), [1])):
            moved.clear()
            march(ActiveBox(medium, (28, 28, 28), np.ones((3, 3, 3), np.float32), reach), 8, 1.2, stages=8)
            assert len(moved) in times


def test_a_workspace_is_used_again_and_leaves_no_trace():
    workspace, shape = Workspace(), (60, 60, 60)
    seed = np.random.default_rng(1).random((4, 4, 4), dtype=np.float32)
    fresh = ActiveBox(closed_medium(shape), (10, 12, 30), seed)
    whole = (0, 0, 0), shape
    for low, reach in (((40, 30, 20), None), ((5, 6, 7), whole), ((10, 12, 30), None)):
        box = ActiveBox(closed_medium(shape), low, seed, reach, workspace)
        march(box, 40, 1.1)
        march(box, 6, 1.1, stages=8)
    march(fresh, 40, 1.1)
    march(fresh, 6, 1.1, stages=8)
    np.testing.assert_array_equal(placed(box, shape), placed(fresh, shape))
    memory = [workspace.carve(name, (2, 2)) for name in ("first", "second", "third")]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(memory) for b in memory[:i])
