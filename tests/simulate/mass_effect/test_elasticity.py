"""The elastic solver held against exact solutions, manufactured ones, and the symmetries of its equations."""

import math

import numpy as np
import pytest
import sympy

from gliodex.errors import InputError, UnsolvedError
from gliodex.simulate.mass_effect import FORMS, ElasticBody, elasticity
from gliodex.simulate.mass_effect.elastic_stencil import inner_product

LAME, SHEAR = 3000.0, 750.0  # white matter, Pa
SIDE = 64.0  # mm
X = sympy.symbols("x y z")


def faces(cells):
    """World coordinates of the faces of a cube of cells, for each component, (3, 3, n, n, n)."""
    spacing = SIDE / cells
    centres, between = (np.arange(cells) + 0.5) * spacing, (np.arange(cells) + 1) * spacing
    return np.array([np.meshgrid(*(between if a == b else centres for b in range(3)), indexing="ij") for a in range(3)])


def at_faces(field, cells):
    """Sample three expressions on the faces that they are normal to."""
    points = faces(cells)
    return np.array(
        [
            np.broadcast_to(sympy.lambdify(X, e, "numpy")(*points[a]), (cells,) * 3)
            for a, e in enumerate(map(sympy.sympify, field))
        ],
        np.float64,
    )


def at_centres(expression, cells):
    centres = (np.arange(cells) + 0.5) * SIDE / cells
    points = np.meshgrid(centres, centres, centres, indexing="ij")
    return np.broadcast_to(sympy.lambdify(X, expression, "numpy")(*points), (cells,) * 3).astype(np.float32)


def left_side(u, lame, shear, form):
    """The equations of Ezhov et al. (2023) (textbook), and those of their code."""
    divergence = sum(sympy.diff(u[a], X[a]) for a in range(3))
    if form == "textbook":
        return [
            sympy.diff(lame * divergence, X[a])
            + sum(sympy.diff(shear * (sympy.diff(u[a], X[b]) + sympy.diff(u[b], X[a])), X[b]) for b in range(3))
            for a in range(3)
        ]
    return [
        (lame + shear) * sum(sympy.diff(u[a], X[b], 2) for b in range(3)) + shear * sympy.diff(divergence, X[a])
        for a in range(3)
    ]


def moving(displacement):
    """Leave out faces on the far border, which are listed but cannot move."""
    return np.stack(
        [np.where(np.arange(len(u)) < len(u) - 1, np.moveaxis(u, a, -1), 0) for a, u in enumerate(displacement)]
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_manufactured_solution_is_met_with_second_order(form):
    k = sympy.pi / SIDE
    sin, cos = sympy.sin, sympy.cos
    x, y, z = X
    u = [
        sin(k * x) * sin(2 * k * y) * sin(k * z),
        sin(2 * k * x) * sin(k * y) * sin(k * z) * 0.7,
        sin(k * x) * sin(k * y) * sin(k * z) * cos(k * x),
    ]
    lame, shear = LAME * (1 + cos(k * x) * cos(k * z) / 2), SHEAR * (1 + cos(k * y) / 2)
    errors = []
    for cells in (8, 16, 32):
        body = ElasticBody(np.ones((cells,) * 3, bool), (SIDE / cells,) * 3, form)
        body.stiffen(at_centres(lame, cells), at_centres(shear, cells))
        found = body.balance(at_faces(left_side(u, lame, shear, form), cells).astype(np.float32), tolerance=1e-5)
        errors.append(np.abs(moving(found.displacement) - moving(at_faces(u, cells))).max())
        assert found.iterations <= 10, "as many on every grid, each to a third or less"
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert errors[-1] < 0.006
    assert orders[-1] > 1.8, errors


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "rigid",
    [(1.0, -2.0, 0.5), (X[1], -X[0], 0), (X[2] - 3, 0, -X[0]), (1, X[2], -X[1])],
    ids=["shift", "xy", "xz", "yz"],
)
def test_a_rigid_motion_takes_no_force(form, rigid):
    body = ElasticBody(np.ones((12, 12, 12), bool), (SIDE / 12,) * 3, form)
    body.stiffen(np.full((12,) * 3, LAME, np.float32), np.full((12,) * 3, SHEAR, np.float32))
    force = body.force_of(at_faces(rigid, 12).astype(np.float32))
    assert np.abs(force[:, 2:-3, 2:-3, 2:-3]).max() < 1e-5 * LAME


@pytest.mark.parametrize("form", FORMS)
def test_an_even_pressure_moves_nothing(form):
    body = ElasticBody(np.ones((9, 12, 10), bool), (4.0, 3.0, 5.0), form)
    body.stiffen(np.full((9, 12, 10), LAME, np.float32), np.full((9, 12, 10), SHEAR, np.float32))
    found = body.yield_to(np.full((9, 12, 10), 800.0, np.float32))
    assert found.iterations == 0
    assert not found.displacement.any()


def ball(cells, outer, inner):
    """Cells of a ball, and those of a smaller one in its middle, as shares of volume."""
    spacing = 2.2 * outer / cells
    fine = 4
    at = (np.arange(cells * fine) + 0.5) * spacing / fine - 1.1 * outer
    radius = np.sqrt(at[:, None, None] ** 2 + at[:, None] ** 2 + at**2)
    share = (radius < inner).reshape((cells, fine) * 3).mean(axis=(1, 3, 5))
    whole = (radius < outer).reshape((cells, fine) * 3).mean(axis=(1, 3, 5)) >= 0.5
    return whole, share.astype(np.float32), spacing


def test_a_ball_under_pressure_in_a_fixed_shell_moves_as_lame_found():
    """Inside u = a r, outside u = b r + c / r², at rest at the border (Lamé's problem)."""
    outer, inner, pressure = 60.0, 24.0, 400.0
    a_of, bulk = np.array([[inner, -inner, -(inner**-2)], [0, outer, outer**-2]]), 3 * LAME + 2 * SHEAR
    stress = [bulk, -bulk, 4 * SHEAR / inner**3]
    a, b, c = np.linalg.solve(np.vstack([a_of, stress]), [0, 0, pressure])
    errors = []
    for cells in (20, 40):
        whole, share, spacing = ball(cells, outer, inner)
        body = ElasticBody(whole, (spacing,) * 3)
        body.stiffen(np.where(whole, LAME, 0).astype(np.float32), np.where(whole, SHEAR, 0).astype(np.float32))
        found = body.yield_to(pressure * share, tolerance=1e-5).displacement
        x = (np.arange(cells) + 1) * spacing - 1.1 * outer
        middle = cells // 2
        y = z = (middle + 0.5) * spacing - 1.1 * outer  # half a cell beside the axis
        radius = np.sqrt(x**2 + y**2 + z**2)
        exact = np.where(radius < inner, a * radius, b * radius + c / radius**2) * x / radius
        inside = radius < outer - spacing
        errors.append(np.abs(found[0][:, middle, middle] - exact)[inside].max() / (a * inner))
    assert errors[1] < 0.05
    assert errors[1] < 0.7 * errors[0], "the staircase of its border is of first order"


@pytest.mark.parametrize("form", FORMS)
def test_a_mirrored_pressure_moves_everything_in_the_mirror(form):
    rng = np.random.default_rng(0)
    inside = rng.random((14, 12, 10)) < 0.9
    lame, shear = (rng.uniform(10, 3000, inside.shape).astype(np.float32) for _ in range(2))
    pressure = rng.random(inside.shape).astype(np.float32) * 1000
    plain, mirrored = ElasticBody(inside, (4.0,) * 3, form), ElasticBody(inside[::-1], (4.0,) * 3, form)
    plain.stiffen(lame, shear)
    mirrored.stiffen(lame[::-1], shear[::-1])
    a = plain.yield_to(pressure, tolerance=1e-5).displacement
    b = mirrored.yield_to(np.ascontiguousarray(pressure[::-1]), tolerance=1e-5).displacement
    scale = np.abs(a).max()
    np.testing.assert_allclose(b[0][:-1], -a[0][:-1][::-1], atol=2e-4 * scale)
    np.testing.assert_allclose(b[1:], a[1:, ::-1], atol=2e-4 * scale)


def test_a_solve_that_begins_at_its_solution_makes_no_iteration():
    whole, share, spacing = ball(16, 60.0, 24.0)
    body = ElasticBody(whole, (spacing,) * 3)
    body.stiffen(np.full(whole.shape, LAME, np.float32), np.full(whole.shape, SHEAR, np.float32))
    first = body.yield_to(400 * share, tolerance=1e-4)
    again = body.yield_to(400 * share, first.displacement, tolerance=2e-4)
    assert first.iterations > 0
    assert again.iterations == 0
    np.testing.assert_array_equal(again.displacement, first.displacement)


def test_stiffness_a_thousandfold_apart_still_converges():
    """Tumour in CSF is 300 times as stiff."""
    rng = np.random.default_rng(1)
    inside = np.ones((24, 24, 24), bool)
    stiff = rng.random(inside.shape) < 0.3
    body = ElasticBody(inside, (4.0,) * 3)
    body.stiffen(np.where(stiff, 30000, 30).astype(np.float32), np.where(stiff, 3000, 3).astype(np.float32))
    assert body.yield_to(rng.random(inside.shape).astype(np.float32) * 1000, tolerance=1e-3).residual <= 1e-3


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_a_body_without_stiffness_is_refused(bad):
    inside = np.zeros((8, 8, 8), bool)
    inside[1:, 1:, 1:] = True
    stiff, bent = np.where(inside, SHEAR, bad).astype(np.float32), np.full((8,) * 3, SHEAR, np.float32)
    bent[4, 4, 4] = bad
    body = ElasticBody(inside, (4.0,) * 3)
    body.stiffen(stiff, stiff)
    pressure = np.random.default_rng(0).random((8,) * 3).astype(np.float32)
    found = body.yield_to(pressure).displacement
    body.stiffen(*[np.where(inside, SHEAR, 1.0).astype(np.float32)] * 2)
    # what lies outside does not matter
    np.testing.assert_array_equal(body.yield_to(pressure).displacement, found)
    for lame, shear, name in ((stiff, bent, "mu"), (bent, stiff, "lambda")):
        with pytest.raises(InputError, match=f"{name} must be finite and above 0"):
            body.stiffen(lame, shear)


def test_equations_that_do_not_converge_are_not_answered(monkeypatch):
    monkeypatch.setattr(elasticity, "MOST_ITERATIONS", 1)
    body = ElasticBody(np.ones((8, 8, 8), bool), (4.0,) * 3)
    body.stiffen(np.full((8,) * 3, LAME, np.float32), np.full((8,) * 3, SHEAR, np.float32))
    with pytest.raises(UnsolvedError, match="did not converge"):
        body.yield_to(np.random.default_rng(0).random((8,) * 3).astype(np.float32), tolerance=1e-6)


def test_a_pressure_that_is_not_finite_is_refused_and_leaves_nothing_behind():
    body = ElasticBody(np.ones((8, 8, 8), bool), (4.0,) * 3)
    body.stiffen(np.full((8,) * 3, LAME, np.float32), np.full((8,) * 3, SHEAR, np.float32))
    pressure = np.random.default_rng(0).random((8,) * 3).astype(np.float32)
    expected = body.yield_to(pressure).displacement
    for bad in (np.nan, np.inf):
        with pytest.raises(UnsolvedError, match="not finite"):
            body.yield_to(np.where(pressure > 0.9, bad, pressure).astype(np.float32))
    np.testing.assert_array_equal(body.yield_to(pressure).displacement, expected)


def test_an_unknown_form_is_refused():
    with pytest.raises(InputError, match="textbook or as_published, not 'hooke'"):
        ElasticBody(np.ones((8, 8, 8), bool), (4.0,) * 3, "hooke")


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 100_003])
def test_an_inner_product_is_summed_in_one_order(size):
    one, other = np.random.default_rng(size).standard_normal((2, size)).astype(np.float32)
    products = one.astype(np.float64) * other
    columns = np.append(products, np.zeros(-size % 256)).reshape(-1, 256)
    sums = np.zeros(256)
    for row in columns:
        sums = sums + row
    found = inner_product(one, other)
    assert found == sum(sums.tolist())
    assert found == pytest.approx(math.fsum(products.tolist()), abs=1e-10)
