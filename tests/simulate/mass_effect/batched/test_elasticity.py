"""Against the compiled solver, one body at a time."""

import numpy as np
import pytest

from gliodex.simulate.mass_effect.elasticity import FORMS, ElasticBody, grids_of
from gliodex.simulate.mass_effect.transfers import coarsen_cells, interpolate, restrict

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")
batched = pytest.importorskip("gliodex.simulate.mass_effect.batched.elasticity")
transfers = pytest.importorskip("gliodex.simulate.mass_effect.batched.transfers")

CPU = torch.device("cpu")
SPACING = (2.0, 2.5, 3.0)


@pytest.fixture
def body():
    x, y, z = np.indices((21, 18, 16))
    return ((x - 10) / 9.7) ** 2 + ((y - 9) / 8.2) ** 2 + ((z - 7.4) / 7.1) ** 2 <= 1


@pytest.fixture
def stiffness(body):
    rng = np.random.default_rng(2)
    return [rng.uniform(low, 4 * low, (2, *body.shape)).astype(np.float32) for low in (2000, 500)]


def pressures(body):
    at = np.indices(body.shape)
    return np.stack(
        [
            3000 * np.exp(-((at.T - centre) ** 2).sum(-1).T / width).astype(np.float32)
            for centre, width in (((8, 9, 7), 20), ((14, 6, 9), 6))
        ]
    )


@pytest.mark.parametrize("form", FORMS)
def test_each_body_yields_as_it_would_alone(body, stiffness, form):
    lame, shear = stiffness
    pressure = pressures(body)
    bodies = batched.ElasticBodies(body, SPACING, form, CPU)
    start = torch.zeros((2, 3, *body.shape))
    found, there = bodies.yield_to(*map(torch.from_numpy, (pressure, lame, shear)), start, 1e-5)
    assert there.all()
    for n in range(2):
        alone = ElasticBody(body, SPACING, form)
        alone.stiffen(lame[n], shear[n])
        wanted = alone.yield_to(pressure[n], tolerance=1e-5).displacement
        np.testing.assert_allclose(found[n].numpy(), wanted, atol=1e-4 * np.abs(wanted).max())
        # and after as many iterations, not just in the end
        coarse, _ = bodies.yield_to(*map(torch.from_numpy, (pressure, lame, shear)), start, 0.1)
        wanted = alone.yield_to(pressure[n], tolerance=0.1).displacement
        np.testing.assert_allclose(coarse[n].numpy(), wanted, atol=1e-4 * np.abs(wanted).max())


def test_no_pressure_gives_no_displacement_whatever_came_before(body, stiffness):
    lame, shear = map(torch.from_numpy, stiffness)
    pressure = torch.from_numpy(pressures(body) * np.array([1, 0], np.float32)[:, None, None, None])
    start = torch.ones((2, 3, *body.shape))
    found, there = batched.ElasticBodies(body, SPACING, "textbook", CPU).yield_to(pressure, lame, shear, start, 1e-3)
    assert there.all()
    assert not found[1].any()
    assert found[0].abs().max() > 0.1


def test_a_pressure_that_is_not_finite_is_told_and_spoils_no_other(body, stiffness):
    lame, shear = map(torch.from_numpy, stiffness)
    pressure = torch.from_numpy(pressures(body))
    start = torch.zeros((2, 3, *body.shape))
    bodies = batched.ElasticBodies(body, SPACING, "textbook", CPU)
    right, _ = bodies.yield_to(pressure, lame, shear, start, 1e-3)
    pressure[1, 10, 9, 7] = np.nan
    found, there = bodies.yield_to(pressure, lame, shear, start, 1e-3)
    assert there.tolist() == [True, False]
    np.testing.assert_array_equal(found[0], right[0])


def test_a_stiffness_or_a_start_that_is_no_number_is_told(body, stiffness):
    lame, shear = (torch.from_numpy(values).clone() for values in stiffness)
    pressure, start = torch.from_numpy(pressures(body)), torch.zeros((2, 3, *body.shape))
    bodies = batched.ElasticBodies(body, SPACING, "textbook", CPU)
    start[0, 0, 10, 9, 7] = np.nan
    _, there = bodies.yield_to(pressure, lame, shear, start, 1e-3)
    assert there.tolist() == [False, True]
    lame[1, 10, 9, 7] = np.nan
    _, there = bodies.yield_to(pressure, lame, shear, start, 1e-3)
    assert there.tolist() == [False, False]


def test_transfers_are_those_of_the_compiled_solver(body):
    fine, coarse = (grid.astype(bool) for grid in grids_of(body)[:2])
    rng = np.random.default_rng(4)
    free = [np.stack([grid & np.roll(grid, -1, axis) for axis in range(3)]) for grid in (fine, coarse)]
    residual = rng.standard_normal((3, *fine.shape)).astype(np.float32) * free[0]
    correction = rng.standard_normal((3, *coarse.shape)).astype(np.float32) * free[1]
    down, up = (
        transfers.restrict(torch.from_numpy(residual)[None]),
        transfers.interpolate(torch.from_numpy(correction)[None]),
    )
    for axis in range(3):
        wanted = np.zeros(coarse.shape, np.float32)
        restrict(residual[axis], axis, free[1][axis], wanted)
        np.testing.assert_allclose(down[0, axis].numpy() * free[1][axis], wanted, atol=1e-6)
        wanted = np.zeros(fine.shape, np.float32)
        interpolate(correction[axis], axis, free[0][axis], wanted, False)
        np.testing.assert_allclose(up[0, axis].numpy() * free[0][axis], wanted, atol=1e-6)
    cells, wanted = rng.uniform(1, 2, fine.shape).astype(np.float32), np.zeros(coarse.shape, np.float32)
    coarsen_cells(cells, fine, coarse, wanted)
    inside = torch.from_numpy(fine.astype(np.float32))
    found = transfers.eights(torch.from_numpy(cells) * inside) / transfers.eights(inside).clamp_min(1)
    np.testing.assert_allclose(found.numpy() * coarse, wanted, rtol=1e-6)
