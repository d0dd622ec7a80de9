import numpy as np
import pytest

from gliodex.simulate.live_rows import TAIL
from gliodex.simulate.stencil import advance, count_at_least, grow_logistic, margin_ahead, steps_until_look


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


def all_cells(shape):
    """Rows' parts that hold every cell but those of the ghost planes."""
    first, stop = np.zeros((2, *shape[:2]), np.int32)
    stop[1:-1] = shape[2]
    return first, stop


def advanced(u, faces, diffusion, growth, rows=None):
    scratch = np.full_like(u, 7)
    advance(u, scratch, *faces, *(rows or all_cells(u.shape)), np.float32(diffusion), np.float32(growth))
    return scratch


def face_by_face(u, faces, diffusion, growth):
    out = u.astype(np.float64)
    for axis, face in enumerate(faces):
        for cell in np.ndindex(u.shape):
            beyond = list(cell)
            beyond[axis] += 1
            if beyond[axis] < u.shape[axis]:
                flow = diffusion * float(face[cell]) * (float(u[tuple(beyond)]) - float(u[cell]))
                out[cell] += flow
                out[tuple(beyond)] -= flow
    return out * growth / (1 + out * (growth - 1))


@pytest.mark.parametrize("growth", [1.0, 1.1, 40.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_advance_is_flux_through_every_face_then_growth(seed, growth):
    u, faces = random_box(seed)
    found, expected = advanced(u, faces, 0.15, growth), face_by_face(u, faces, 0.15, growth)
    np.testing.assert_allclose(found[1:-1], expected[1:-1], atol=3e-7)


def test_advance_without_growth_keeps_the_sum():
    u, faces = random_box(2, (12, 13, 14))
    after = advanced(u, faces, 0.16, 1.0)[1:-1]
    assert after.sum(dtype=np.float64) == pytest.approx(u.sum(dtype=np.float64), rel=1e-7)
    assert np.abs(after - u[1:-1]).max() > 0.1


def test_advance_writes_the_rows_parts_and_nothing_else():
    u, faces = random_box(3, (8, 9, 40))
    rng = np.random.default_rng(3)
    first, stop = rng.integers(0, 41, (2, 8, 9)).astype(np.int32)
    first[[0, -1]], stop[[0, -1]] = 40, 0
    everywhere, found = advanced(u, faces, 0.1, 1.2), advanced(u, faces, 0.1, 1.2, (first, stop))
    z = np.arange(40)
    inside = (z >= first[..., None]) & (z < stop[..., None])
    assert 100 < inside.sum() < u.size / 2
    np.testing.assert_array_equal(found, np.where(inside, everywhere, 7))


def test_closed_faces_keep_every_cell_to_itself():
    u, faces = random_box(4)
    after = advanced(u, [np.zeros_like(f) for f in faces], 0.16, 1.0)
    np.testing.assert_array_equal(after[1:-1], u[1:-1])


def test_no_cell_reaches_across_the_end_of_a_row():
    """The flat neighbour of a row's last cell is the first of the next row: it must not receive anything."""
    u = np.zeros((4, 5, 6), np.float32)
    u[1, 2, -1] = 0.5
    faces = [np.zeros_like(u) for _ in range(3)]
    faces[2][1:-1, :, :-1] = 1
    after = advanced(u, faces, 0.16, 1.0)[1:-1]
    assert set(zip(*np.nonzero(after), strict=True)) == {(0, 2, 5), (0, 2, 4)}


@pytest.mark.parametrize("exponent", [0.0, 0.05, 3.0, 60.0])
def test_grow_logistic_is_the_exact_solution(exponent):
    u = np.linspace(0, 1, 1001, dtype=np.float32)
    grown = u.copy()
    grow_logistic(grown, np.float32(np.exp(exponent)))
    start = u.astype(np.float64)
    expected = start / (start + (1 - start) * np.exp(-exponent))
    np.testing.assert_allclose(grown, expected, rtol=1e-6, atol=1e-7)


def test_grow_logistic_keeps_empty_and_full():
    u = np.array([0, 1], np.float32)
    grow_logistic(u, np.float32(1.7))
    assert u[0] == 0
    assert u[1] == pytest.approx(1, abs=2e-7)


def test_two_growths_make_one():
    u = np.random.default_rng(5).random(500, dtype=np.float32)
    once, twice = u.copy(), u.copy()
    grow_logistic(once, np.float32(np.exp(0.8)))
    grow_logistic(twice, np.float32(np.exp(0.3)))
    grow_logistic(twice, np.float32(np.exp(0.5)))
    np.testing.assert_allclose(twice, once, rtol=1e-6)


def test_count_at_least_includes_the_level_itself_and_looks_only_inside_the_parts():
    level = np.float32(0.2)
    u = np.array([0, np.nextafter(level, np.float32(0)), level, np.nextafter(level, np.float32(1)), 1, 1], np.float32)
    rows = np.array([[0]], np.int32), np.array([[5]], np.int32)
    assert count_at_least(u.reshape(1, 1, 6), *rows, level) == 3
    assert count_at_least(u.reshape(1, 1, 6), *reversed(rows), level) == 0


@pytest.mark.parametrize(("spread", "growth"), [(0.0025, 0.1), (0.03, 0.1), (0.15, 0.001), (0.15, 0.1)])
def test_life_stays_inside_the_margin_until_the_next_look(spread, growth):
    """A line of cells from a seed as narrow as they come: its tail moves less than the margin between two looks."""
    margin, u = margin_ahead(spread), np.zeros(2001)
    u[990:1011] = np.exp(-0.5 * (np.arange(-10, 11) / 1.25) ** 2) * (np.abs(np.arange(-10, 11)) <= 3.75)
    steps = 0
    while u[[200, -200]].max() < TAIL and steps < 1500:
        wait, edge = steps_until_look(steps, margin, spread, growth), np.flatnonzero(u > TAIL)[-1]
        for _ in range(wait):
            u[1:-1] += spread * np.diff(u, 2)
            u = u * np.exp(growth) / (1 + u * np.expm1(growth))
        steps += wait
        assert np.flatnonzero(u > TAIL)[-1] - edge <= margin
    assert steps > 400
