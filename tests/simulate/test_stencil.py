import numpy as np
import pytest

from gliodex.simulate.stencil import advance, count_at_least, edge_exceeds, grow_logistic


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


def advanced(u, faces, diffusion, growth):
    scratch = np.zeros_like(u)
    flat = [a.ravel() for a in (u, scratch, *faces)]
    advance(*flat, u.shape[1] * u.shape[2], u.shape[2], np.float32(diffusion), np.float32(growth))
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
    np.testing.assert_allclose(advanced(u, faces, 0.15, growth), face_by_face(u, faces, 0.15, growth), atol=3e-7)


def test_advance_without_growth_keeps_the_sum():
    u, faces = random_box(2, (12, 13, 14))
    after = advanced(u, faces, 0.16, 1.0)
    assert after.sum(dtype=np.float64) == pytest.approx(u.sum(dtype=np.float64), rel=1e-7)
    assert np.abs(after - u).max() > 0.1


def test_advance_leaves_the_ghost_planes_alone():
    u, faces = random_box(3)
    scratch = np.full_like(u, 7)
    flat = [a.ravel() for a in (u, scratch, *faces)]
    advance(*flat, u.shape[1] * u.shape[2], u.shape[2], np.float32(0.1), np.float32(1.2))
    assert (scratch[[0, -1]] == 7).all()
    assert (scratch[1:-1] <= 1).all()


def test_closed_faces_keep_every_cell_to_itself():
    u, faces = random_box(4)
    after = advanced(u, [np.zeros_like(f) for f in faces], 0.16, 1.0)
    np.testing.assert_array_equal(after, u)


def test_no_cell_reaches_across_the_end_of_a_row():
    """The flat neighbour of a row's last cell is the first of the next row: it must not receive anything."""
    u = np.zeros((4, 5, 6), np.float32)
    u[1, 2, -1] = 0.5
    faces = [np.zeros_like(u) for _ in range(3)]
    faces[2][1:-1, :, :-1] = 1
    after = advanced(u, faces, 0.16, 1.0)
    assert set(zip(*np.nonzero(after), strict=True)) == {(1, 2, 5), (1, 2, 4)}


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


def test_count_at_least_includes_the_level_itself():
    level = np.float32(0.2)
    u = np.array([0, np.nextafter(level, np.float32(0)), level, np.nextafter(level, np.float32(1)), 1], np.float32)
    assert count_at_least(u, level) == 3


def edges_by_slicing(u, layers, level):
    found = []
    for axis in range(3):
        swept = np.moveaxis(u, axis, 0)
        found += [(swept[:layers] > level).any(), (swept[-layers:] > level).any()]
    return found


@pytest.mark.parametrize("shape", [(9, 9, 9), (3, 10, 4), (12, 2, 9), (8, 9, 1)])
@pytest.mark.parametrize("seed", range(6))
def test_edge_exceeds_matches_slicing(seed, shape):
    rng = np.random.default_rng(seed)
    u = np.where(rng.random(shape) < 2 / np.prod(shape), rng.random(shape), 0).astype(np.float32)
    level = np.float32(1e-8)
    assert list(edge_exceeds(u, 4, level)) == edges_by_slicing(u, 4, level)


@pytest.mark.parametrize("side", range(6))
def test_edge_exceeds_names_the_one_side_that_is_reached(side):
    u = np.zeros((20, 20, 20), np.float32)
    place = [10, 10, 10]
    place[side // 2] = 3 if side % 2 == 0 else 16
    u[tuple(place)] = 1e-7
    assert list(np.flatnonzero(edge_exceeds(u, 4, np.float32(1e-8)))) == [side]
    place[side // 2] = 4 if side % 2 == 0 else 15
    inner = np.zeros_like(u)
    inner[tuple(place)] = 1e-7
    assert not edge_exceeds(inner, 4, np.float32(1e-8)).any()
