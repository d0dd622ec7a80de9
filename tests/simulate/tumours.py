"""What tests of the solver have in common."""

import numpy as np

from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters

DEFAULTS = FisherKolmogorovSettings()


def moments(density, frame):
    """Integral in ml, centre in mm, and variance in mm² along each voxel axis."""
    u = density.astype(np.float64)
    total = u.sum()
    centre, variance = [], []
    for axis in range(3):
        profile = u.sum(axis=tuple(a for a in range(3) if a != axis)) / total
        x = frame.affine[axis, 3] + frame.affine[axis, axis] * np.arange(frame.shape[axis])
        centre.append((profile * x).sum())
        variance.append((profile * (x - centre[-1]) ** 2).sum())
    return total * frame.voxel_ml, np.array(centre), np.array(variance)


def seed_density(atlas, seed_mm, solver_settings=DEFAULTS):
    return FisherKolmogorov(atlas, solver_settings)(GrowthParameters(seed_mm, 0, 0, 0)).astype(np.float64)


def random_parameters(rng, atlas, *, diffusivity, proliferation, duration):
    voxel = rng.choice(np.argwhere(atlas.tissue)) + rng.uniform(-0.4, 0.4, 3)
    return GrowthParameters(
        tuple(atlas.frame.world(voxel)),
        rng.uniform(*diffusivity),
        rng.uniform(*proliferation),
        rng.uniform(*duration),
    )


def stage_count(solver, parameters):
    """How often a run applies the stencil to all that lives."""
    return sum(phase.steps * phase.scheme.stages for phase in solver._phases(parameters))


def reaches(shape, seed_voxel, alive):
    """Boxes to expect a tumour in: right, too small, too large, beside it, outside, and nonsense."""
    x, y, z = (int(v) for v in seed_voxel)
    half = tuple(n // 2 for n in shape)
    return [
        ((0, 0, 0), tuple(shape)),
        tuple(tuple(int(v) for v in corner) for corner in (alive.min(0), alive.max(0) + 1)),
        ((x, y, z), (x + 1, y + 1, z + 1)),
        ((-20, -9, -33), half),
        (half, tuple(3 * n for n in shape)),
        ((0, y, z), (shape[0], y + 1, z + 1)),
        ((x, y, 0), (x + 1, y + 1, shape[2])),
        ((2, 2, 2), (3, 3, 3)),
        ((1000, 1000, 1000), (-5, -5, -5)),
    ]


def assert_same_run(found, expected):
    assert found.low == expected.low
    np.testing.assert_array_equal(found.density, expected.density)
    assert (found.steps, found.voxel_updates, found.outgrew) == (
        expected.steps,
        expected.voxel_updates,
        expected.outgrew,
    )
