import numpy as np
import pytest

from gliodex.simulate.active_rows import TAIL
from gliodex.simulate.kernels import (
    DONE,
    count_at_least,
    grow_logistic,
    march,
    margin_ahead,
    spread,
    steps_until_look,
)
from gliodex.simulate.rkc import scheme

from .chebyshev import classical_step


def random_box(seed, shape=(5, 6, 7)):
    """Density and closed faces of a box with a ghost plane at both x ends."""
    rng = np.random.default_rng(seed)
    u = np.zeros(shape, np.float32)
    u[1:-1] = rng.random((shape[0] - 2, *shape[1:]), dtype=np.float32)
    faces = [np.zeros(shape, np.float32) for _ in range(3)]
    faces[0][1:-2] = rng.random((shape[0] - 3, *shape[1:]))
    faces[1][1:-1, :-1] = rng.random((shape[0] - 2, shape[1] - 1, shape[2]))
    faces[2][1:-1, :, :-1] = rng.random((*(np.array(shape[:2]) - [2, 0]), shape[2] - 1))
    return u, faces


def rows_with_all_cells(shape):
    """Rows' parts that hold every cell but those of the ghost planes, and their bounds."""
    first, stop = np.zeros((2, *shape[:2]), np.int32)
    stop[1:-1] = shape[2]
    return first, stop, (1, shape[0] - 1, 0, shape[1])


def spread_to(u, faces, diffusion, growth=1.0, *, onto=None, rows=None, corner=(0, 0, 0)):
    """What one stage writes into an array of sevens, or on top of `onto`."""
    out = np.full_like(u, 7) if onto is None else onto.copy()
    numbers = (np.float32(v) for v in (diffusion, onto is not None, growth))
    spread(u, out, *faces, corner, *(rows or rows_with_all_cells(u.shape)), *numbers)
    return out


def face_by_face(u, faces, diffusion, growth=1.0, onto=None):
    out = (u if onto is None else onto).astype(np.float64)
    for axis, face in enumerate(faces):
        for cell in np.ndindex(u.shape):
            beyond = list(cell)
            beyond[axis] += 1
            if beyond[axis] < u.shape[axis]:
                flow = diffusion * float(face[cell]) * (float(u[tuple(beyond)]) - float(u[cell]))
                out[cell] += flow
                out[tuple(beyond)] -= flow
    if growth == 1:
        return out
    out = out.clip(0, 1)
    return out * growth / (1 + out * (growth - 1))


@pytest.mark.parametrize("growth", [1.0, 1.1, 40.0])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("on_top", [False, True], ids=["of itself", "onto another"])
def test_a_stage_is_flux_through_every_face_then_growth(seed, growth, on_top):
    u, faces = random_box(seed)
    base = random_box(seed + 10)[0] if on_top else None
    found = spread_to(u, faces, 0.15, growth, onto=base)
    np.testing.assert_allclose(
        found[1:-1], face_by_face(u, faces, 0.15, growth, base)[1:-1], atol=3e-7 if growth < 2 else 1e-6
    )


def test_growth_starts_from_inside_zero_to_one_and_diffusion_alone_may_leave_it():
    """Longer steps than explicit ones may overshoot by a little, in stages by a lot."""
    u, faces = random_box(6, (8, 9, 10))
    after = spread_to(u, faces, 1.5)[1:-1]
    assert after.min() < -0.1
    assert after.max() > 1.1
    np.testing.assert_allclose(after, face_by_face(u, faces, 1.5)[1:-1], atol=2e-6)
    grown = spread_to(u, faces, 1.5, 1.3)[1:-1]
    assert grown.min() == 0
    assert grown.max() <= 1
    np.testing.assert_allclose(grown, face_by_face(u, faces, 1.5, 1.3)[1:-1], atol=2e-6)


@pytest.mark.parametrize("diffusion", [0.16, 3.0])
@pytest.mark.parametrize("on_top", [False, True], ids=["of itself", "onto another"])
def test_a_stage_without_growth_keeps_the_sum(diffusion, on_top):
    u, faces = random_box(2, (12, 13, 14))
    base = random_box(3, (12, 13, 14))[0] if on_top else u
    after = spread_to(u, faces, diffusion, onto=base if on_top else None)[1:-1]
    assert after.sum(dtype=np.float64) == pytest.approx(base.sum(dtype=np.float64), rel=1e-7)
    assert np.abs(after - base[1:-1]).max() > 0.1


@pytest.mark.parametrize("on_top", [False, True], ids=["of itself", "onto another"])
@pytest.mark.parametrize("growth", [1.0, 1.2])
def test_a_stage_writes_the_rows_parts_and_nothing_else(on_top, growth):
    shape = (8, 9, 40)
    u, faces = random_box(3, shape)
    base = random_box(4, shape)[0] if on_top else None
    rng = np.random.default_rng(3)
    first, stop = rng.integers(0, 41, (2, *shape[:2])).astype(np.int32)
    first[[0, -1]], stop[[0, -1]] = 40, 0
    everywhere = spread_to(u, faces, 0.1, growth, onto=base)
    found = spread_to(u, faces, 0.1, growth, onto=base, rows=(first, stop, (0, 8, 0, 9)))
    z = np.arange(40)
    inside = (z >= first[..., None]) & (z < stop[..., None])
    assert 100 < inside.sum() < u.size / 2
    untouched = 7 if base is None else base
    np.testing.assert_array_equal(found, np.where(inside, everywhere, untouched))
    # rows outside the bounds are left alone too
    found = spread_to(u, faces, 0.1, growth, onto=base, rows=(first, stop, (2, 6, 3, 8)))
    inside[:2], inside[6:], inside[:, :3], inside[:, 8:] = False, False, False, False
    assert inside.any()
    np.testing.assert_array_equal(found, np.where(inside, everywhere, untouched))


@pytest.mark.parametrize("corner", [(0, 0, 0), (2, 3, 4), (0, 1, 9)])
def test_faces_may_be_those_of_a_larger_grid(corner):
    """A box takes its own from the corner that it has there, whatever lies around."""
    u, faces = random_box(5, (6, 5, 7))
    rng = np.random.default_rng(9)
    on_grid = []
    for face in faces:
        grid = rng.random((10, 11, 19), dtype=np.float32)
        x, y, z = corner
        grid[x : x + 6, y : y + 5, z : z + 7] = face
        grid[:, -1], grid[:, :, -1] = 0, 0  # as on every grid; and nothing couples the box with what is around it
        grid[x : x + 6, y - 1, z : z + 7] = 0
        grid[x : x + 6, y : y + 5, z - 1] = 0
        on_grid.append(grid)
    rows = rows_with_all_cells(u.shape)
    found, expected = spread_to(u, on_grid, 0.1, rows=rows, corner=corner), spread_to(u, faces, 0.1, rows=rows)
    np.testing.assert_array_equal(found, expected)


def test_closed_faces_keep_every_cell_to_itself():
    u, faces = random_box(4)
    after = spread_to(u, [np.zeros_like(f) for f in faces], 0.16)
    np.testing.assert_array_equal(after[1:-1], u[1:-1])


def test_no_cell_reaches_across_the_end_of_a_row():
    """The flat neighbour of a row's last cell is the first of the next row: it must not receive anything."""
    u = np.zeros((4, 5, 6), np.float32)
    u[1, 2, -1] = 0.5
    faces = [np.zeros_like(u) for _ in range(3)]
    faces[2][1:-1, :, :-1] = 1
    after = spread_to(u, faces, 0.16)[1:-1]
    assert set(zip(*np.nonzero(after), strict=True)) == {(0, 2, 5), (0, 2, 4)}


@pytest.fixture(scope="module")
def matrix():
    """Flux through random faces of a box, as a matrix: faces, operator on flat densities."""
    u, faces = random_box(7, (7, 5, 16))
    at, operator = np.arange(u.size).reshape(u.shape), np.zeros((u.size, u.size))
    for axis, face in enumerate(faces):
        for cell in np.argwhere(face):
            near, far = at[tuple(cell)], at[tuple(cell + np.eye(3, dtype=int)[axis])]
            operator[near, near] -= face[tuple(cell)]
            operator[near, far] += face[tuple(cell)]
            operator[far, near] += face[tuple(cell)]
            operator[far, far] -= face[tuple(cell)]
    return u, faces, operator


@pytest.mark.parametrize("stages", [2, 4, 6, 8])
@pytest.mark.parametrize("growth", [1.0, 1.05])
def test_marching_is_classical_steps_with_growth_after_each(matrix, stages, growth):
    """Three steps as long as is stable, on random faces, all cells alive."""
    u, faces, operator = matrix
    made, steps = scheme(stages), 3
    days = 2 * made.reach / np.abs(np.linalg.eigvalsh(operator)).max()
    expected = u.astype(np.float64).ravel()
    for _ in range(steps):
        expected = classical_step(expected, days, lambda v: operator @ v, stages)
        if growth > 1:
            expected = expected.clip(0, 1)
            expected = expected * growth / (1 + expected * (growth - 1))
    found, whole, sides = u.copy(), rows_with_all_cells(u.shape)[:2], np.zeros(6, np.bool_)
    marched, _, updates, why = march(
        u=found,
        scratch=np.zeros_like(u),
        face_x=faces[0],
        face_y=faces[1],
        face_z=faces[2],
        corner=(0, 0, 0),
        first=whole[0].copy(),
        stop=whole[1].copy(),
        tissue_first=whole[0],
        tissue_stop=whole[1],
        movable=sides,
        reached=sides.copy(),
        begin=0,
        steps=steps,
        next_look=0,
        weights=made.weights,
        diffusion=np.float32(days),
        growth=np.float32(growth),
        level=np.float32(0.2),
        limits=np.full(steps + 1, np.inf),
        before=0,
        spread_before=0.0,
        growth_before=0.0,
        step_spread=0.16 * made.reach,
        step_growth=float(np.log(growth)),
    )
    assert (marched, updates, why) == (steps, steps * stages * 5 * 5 * 16, DONE)
    assert np.abs(expected - u.ravel()).max() > 0.3
    np.testing.assert_allclose(found[1:-1], expected.reshape(u.shape)[1:-1], atol=2e-5)


def growing(u, growth):
    """A line of cells after growth."""
    box = np.array(u, np.float32).reshape(1, 1, -1)
    first, stop = np.zeros((2, 1, 1), np.int32)
    stop[:] = box.size
    grow_logistic(box, first, stop, np.float32(growth))
    return box.ravel()


@pytest.mark.parametrize("exponent", [0.0, 0.05, 3.0, 60.0])
def test_grow_logistic_is_the_exact_solution(exponent):
    start = np.linspace(0, 1, 1001, dtype=np.float32)
    grown, start = growing(start, np.exp(exponent)), start.astype(np.float64)
    expected = start / (start + (1 - start) * np.exp(-exponent))
    np.testing.assert_allclose(grown, expected, rtol=1e-6, atol=1e-7)


def test_grow_logistic_keeps_empty_and_full():
    empty, full = growing([0, 1], 1.7)
    assert empty == 0
    assert full == pytest.approx(1, abs=2e-7)


def test_grow_logistic_touches_the_rows_parts_and_nothing_else():
    rng = np.random.default_rng(8)
    u = rng.random((6, 5, 32), dtype=np.float32)
    first, stop = rng.integers(0, 33, (2, 6, 5)).astype(np.int32)
    z = np.arange(32)
    inside = (z >= first[..., None]) & (z < stop[..., None])
    grown = u.copy()
    grow_logistic(grown, first, stop, np.float32(1.3))
    np.testing.assert_array_equal(grown, np.where(inside, growing(u, 1.3).reshape(u.shape), u))
    assert (grown != u).sum() > 100


def test_two_growths_make_one():
    u = np.random.default_rng(5).random(500, dtype=np.float32)
    twice = growing(growing(u, np.exp(0.3)), np.exp(0.5))
    np.testing.assert_allclose(twice, growing(u, np.exp(0.8)), rtol=1e-6)


def test_count_at_least_includes_the_level_itself_and_looks_only_inside_the_parts():
    level = np.float32(0.2)
    u = np.array([0, np.nextafter(level, np.float32(0)), level, np.nextafter(level, np.float32(1)), 1, 1], np.float32)
    rows = np.array([[0]], np.int32), np.array([[5]], np.int32)
    assert count_at_least(u.reshape(1, 1, 6), *rows, level) == 3
    assert count_at_least(u.reshape(1, 1, 6), *reversed(rows), level) == 0


STEPS_ALIKE = [
    # step_spread, step_growth, stages: D dt / h², rho dt
    (0.0025, 0.1, 2),
    (0.03, 0.1, 2),
    (0.15, 0.6, 2),
    (0.15, 0.001, 2),
    (0.15, 0.1, 2),
    (0.75, 0.6, 4),
    (0.77, 0.01, 4),
    (0.2, 0.6, 4),
    (1.8, 0.6, 6),
    (1.8, 0.02, 6),
    (3.2, 0.6, 8),
    (3.2, 0.1, 8),
    (3.2, 0.0, 8),
]


@pytest.mark.parametrize(("step_spread", "step_growth", "stages"), STEPS_ALIKE)
@pytest.mark.parametrize("width", [1.25, 2.5])
def test_life_stays_inside_the_margin_until_the_next_look(step_spread, step_growth, stages, width):
    """A line of cells from a seed as narrow as they come: its tail moves less than the margin between two looks."""
    margin, u, made = margin_ahead(step_spread, stages), np.zeros(3001), scheme(stages)
    assert step_spread <= made.reach / 6
    offsets = np.arange(-10, 11)
    u[1490:1511] = np.exp(-0.5 * (offsets / width) ** 2) * (np.abs(offsets) <= 3 * width)
    steps = looks = 0
    while u[[200, -200]].max() < TAIL and steps < 1500:
        wait = steps_until_look(steps * step_spread, steps * step_growth, step_spread, step_growth, stages, margin)
        assert 1 <= wait <= 32 // stages or wait == 1
        edge, looks = np.flatnonzero(u > TAIL)[-1], looks + 1
        for _ in range(wait):
            for half, whole in made.weights:
                between = u.copy()
                between[1:-1] += half * step_spread * np.diff(u, 2)
                u[1:-1] += whole * step_spread * np.diff(between, 2)
            u = np.clip(u, 0, 1)
            u = u * np.exp(step_growth) / (1 + u * np.expm1(step_growth))
        steps += wait
        assert np.flatnonzero(u > TAIL)[-1] - edge <= margin
    assert looks > 30
