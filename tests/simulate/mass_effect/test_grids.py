"""Finer and finer grids of the same brain: what the whole model gives converges."""

import numpy as np

from gliodex.simulate import FisherKolmogorovSettings, GrowthParameters, MassEffect, MassEffectSettings

CUBE_MM = 96.0
WIDE = FisherKolmogorovSettings(seed_width_mm=6.0, seed_volume_ml=2.0)  # that coarse grids can tell
EXACT = MassEffectSettings(WIDE, voxels_a_cell=1, tolerance=1e-5)


def in_cubes_of_eight(values):
    n = values.shape[0] // 2
    return values.reshape(n, 2, n, 2, n, 2, *values.shape[3:]).mean((1, 3, 5))


def test_density_and_displacement_converge_on_finer_grids(make_atlas):
    """White matter that passes into CSF over a centimetre, pressed by a tumour beside it."""
    found = []
    for n in (16, 32, 64):
        across = CUBE_MM / n * (np.arange(n) - (n - 1) / 2)
        csf = np.broadcast_to(1 / (1 + np.exp((18 - across) / 3))[:, None, None], (n, n, n))
        solver = MassEffect(make_atlas(1 - csf, csf=csf, spacing=CUBE_MM / n), EXACT)
        tumour = GrowthParameters((-6.0, 3.0, 0.0), 0.2, 0.04, 150.0, 16000.0)
        found.append((solver(tumour), solver.deform(tumour).displacement_mm))
    assert np.abs(found[-1][1]).max() > 10
    for (coarse, middle, fine), least in zip(zip(*found, strict=True), (1.3, 1.5), strict=True):
        first = np.abs(in_cubes_of_eight(middle) - coarse).mean()
        second = np.abs(in_cubes_of_eight(fine) - middle).mean()
        assert np.log2(first / second) > least
        assert second < 0.015 * np.abs(fine).mean()
