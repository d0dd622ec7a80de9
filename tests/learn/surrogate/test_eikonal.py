import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from gliodex.learn.surrogate.crops import SYMMETRIES, turned
from gliodex.learn.surrogate.eikonal import CELL, in_cells, travel_times

SEED = np.array([15.3, 16.2, 14.9])


def lengths(cells, seed):
    places = CELL * np.moveaxis(np.indices((cells,) * 3), 0, -1) + (CELL - 1) / 2
    return np.linalg.norm(places - seed, axis=-1)


def along_edges(speed, start):
    """Shortest ways over the graph of cells and their 26 neighbours: an upper bound of the times, by another method."""
    cells = np.arange(speed.size).reshape(speed.shape)
    ends, weights = [], []
    for step in np.ndindex(3, 3, 3):
        move = np.array(step) - 1
        if tuple(move) <= (0, 0, 0):
            continue
        here = tuple(slice(max(0, -m), n - max(0, m)) for m, n in zip(move, speed.shape, strict=True))
        there = tuple(slice(max(0, m), n - max(0, -m)) for m, n in zip(move, speed.shape, strict=True))
        ends.append((cells[here].ravel(), cells[there].ravel()))
        slowness = (1 / speed[here] + 1 / speed[there]) / 2
        weights.append(CELL * np.linalg.norm(move) * slowness.ravel())
    a, b = (np.concatenate(side) for side in zip(*ends, strict=True))
    graph = coo_matrix((np.concatenate(weights), (a, b)), (speed.size, speed.size))
    return dijkstra(graph, directed=False, indices=cells[start]).reshape(speed.shape)


def test_where_all_is_white_matter_times_are_lengths():
    found = travel_times(np.ones((32, 32, 32), np.float32), SEED)
    truth = lengths(16, SEED)
    assert np.abs(found - truth).max() < 1.5 * CELL, "first-order upwind"
    assert np.abs(found - truth).max() > 0
    near = truth < 1.5 * CELL
    np.testing.assert_allclose(found[near], truth[near], rtol=1e-5)


def test_finer_cells_are_more_accurate():
    def off(voxels):
        seed = np.full(3, voxels / 2 - 0.5)
        found = travel_times(np.ones((voxels,) * 3, np.float32), seed) / voxels
        return np.abs(found - lengths(voxels // CELL, seed) / voxels).mean()

    assert off(64) < 0.75 * off(32) < 0.75 * 0.85 * off(16)


def test_a_quarter_of_the_diffusivity_takes_twice_as_long():
    white = travel_times(np.ones((32, 32, 32), np.float32), SEED)
    np.testing.assert_allclose(travel_times(np.full((32, 32, 32), 0.25, np.float32), SEED), 2 * white, rtol=1e-4)


def test_fronts_go_around_what_stops_them():
    diffusivity = np.ones((32, 32, 32), np.float32)
    diffusivity[18:20, :24] = 0  # a wall with a way around it
    free, found = travel_times(np.ones((32, 32, 32), np.float32), SEED), travel_times(diffusivity, SEED)
    behind = (11, 3, 7)
    corner = np.array([18.5, 24, 15])
    around = np.linalg.norm(corner - SEED) + np.linalg.norm(CELL * np.array(behind) + 0.5 - corner)
    assert free[behind] + 4 < found[behind] < around + 3 * CELL
    assert np.isfinite(found).all()


@pytest.mark.parametrize("seed", range(3))
def test_times_are_those_of_shortest_ways(seed):
    rng = np.random.default_rng(seed)
    patches = np.kron(rng.choice([0.1, 1.0], (4, 4, 4)), np.ones((8, 8, 8))).astype(np.float32)
    start = (7, 7, 7)
    found = travel_times(patches, CELL * np.array(start) + 0.5)
    bound = along_edges(np.sqrt(in_cells(patches)), start)
    ratio = (found / np.maximum(bound, 1e-9))[bound > 0]
    assert 0.9 < ratio.mean() < 1.2
    assert np.corrcoef(found.ravel(), bound.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("symmetry", [1, 13, 29, 47])
def test_times_turn_with_the_anatomy(symmetry):
    diffusivity = np.random.default_rng(0).choice([0.0, 0.1, 1.0], (16, 16, 16)).astype(np.float32)
    order, signs = SYMMETRIES[symmetry]
    seed = np.array([7.2, 6.4, 8.9])
    there = [c if sign > 0 else 15 - c for c, sign in zip(seed[list(order)], signs, strict=True)]
    found = travel_times(np.ascontiguousarray(turned(diffusivity, symmetry)), np.array(there))
    np.testing.assert_allclose(found, turned(travel_times(diffusivity, seed), symmetry), atol=0.1 * CELL)


@pytest.mark.parametrize("seed", [(0.0, 0.0, 0.0), (15.0, 15.4, 0.2)])
def test_a_seed_at_the_cubes_face_is_one(seed):
    found = travel_times(np.ones((16, 16, 16), np.float32), np.array(seed))
    np.testing.assert_allclose(found, lengths(8, np.array(seed)), atol=1.1 * CELL)
