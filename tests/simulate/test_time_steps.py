"""Steps of a run: how many, and what errors they leave."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters
from gliodex.simulate.rkc import Phase, scheme
from gliodex.store.atlas import Atlas
from gliodex.store.frame import Frame

from .tumours import DEFAULTS, stage_count


class TestConvergence:
    def test_halving_the_spacing_quarters_the_error(self):
        """A wide smooth seed in white matter; cells of the coarsest grid are compared by their means."""
        solver_settings = FisherKolmogorovSettings(seed_width_mm=9, seed_volume_ml=5, growth_per_step=0.1)
        coarsest = Frame.centred((0, 0, 0), 12, 6.0)
        means = {}
        for factor in (1, 2, 4, 8):
            frame = coarsest.refined(factor)
            ones, zeros = np.ones(frame.shape, np.float32), np.zeros(frame.shape, np.float32)
            solver = FisherKolmogorov(Atlas("white", frame, ones, zeros, zeros, ones), solver_settings)
            u = solver(GrowthParameters((1.3, -0.7, 0.4), 0.3, 0.01, 200)).astype(np.float64)
            means[factor] = u.reshape(12, factor, 12, factor, 12, factor).mean(axis=(1, 3, 5))
        apart = [np.sqrt(((means[n] - means[2 * n]) ** 2).mean()) for n in (1, 2, 4)]
        orders = [math.log2(apart[0] / apart[1]), math.log2(apart[1] / apart[2])]
        assert min(orders) > 1.8
        assert max(orders) < 2.2
        error = {n: np.sqrt(((means[n] - means[8]) ** 2).mean()) for n in (1, 2)}
        assert math.log2(error[1] / error[2]) > 1.6

    @pytest.mark.parametrize(
        ("diffusivity", "proliferation", "duration"),
        [(0.5, 0.02, 300), (0.5, 0.02, 150), (0.2, 0.05, 150), (0.1, 0.1, 150), (0.03, 0.1, 150), (0.3, 0.0, 150)],
    )
    def test_halving_every_step_of_a_run_quarters_the_error(
        self, white_block, monkeypatch, diffusivity, proliferation, duration
    ):
        """Of the default's own phases, from one kind of steps to all four."""
        solver = FisherKolmogorov(white_block((40, 40, 40), 2.0))
        parameters = GrowthParameters((1.3, -0.7, 0.4), diffusivity, proliferation, duration)
        phases, results = solver._phases(parameters), {}
        for parts in (1, 2, 4, 32):
            finer = [Phase(parts * phase.steps, phase.days / parts, phase.scheme) for phase in phases]
            monkeypatch.setattr(solver, "_phases", lambda *_, finer=finer: finer)
            results[parts] = solver(parameters).astype(np.float64)
        for norm in (np.max, np.mean):
            errors = [norm(np.abs(results[parts] - results[32])) for parts in (1, 2, 4)]
            assert 3.5 < errors[0] / errors[1] < 6
            assert 3.5 < errors[1] / errors[2] < 6
        assert np.abs(results[1] - results[32]).max() < 0.01

    def test_halving_what_a_step_may_grow_quarters_the_error(self, white_block):
        atlas = white_block((32, 32, 32), 2.0)
        parameters = GrowthParameters((1.3, -0.7, 0.4), 0.01, 0.05, 200)

        def run(growth_per_step):
            solver = FisherKolmogorov(atlas, replace(DEFAULTS, growth_per_step=growth_per_step))
            assert {phase.scheme.stages for phase in solver._phases(parameters)} == {2}
            return solver(parameters).astype(np.float64)

        finest = run(0.02)
        errors = [np.abs(run(value) - finest).max() for value in (1.6, 0.8, 0.4, 0.2)]
        for coarse, fine in itertools.pairwise(errors):
            assert 3.4 < coarse / fine < 4.6
        assert errors[0] < 0.005

    def test_halving_the_diffusion_number_quarters_the_error(self, white_block):
        """Steps that only stability limits, from a seed so wide that all have eight stages.

        Its sharp rim is damped by 5 % a step; the coarsest run makes enough of them to forget it.
        """
        atlas = white_block((40, 40, 40), 2.0)
        parameters = GrowthParameters((1.3, -0.7, 0.4), 0.5, 0.02, 600)

        def run(number):
            solver_settings = FisherKolmogorovSettings(
                diffusion_number=number, growth_per_step=9, seed_width_mm=12, seed_volume_ml=8
            )
            solver = FisherKolmogorov(atlas, solver_settings)
            assert {phase.scheme.stages for phase in solver._phases(parameters)} == {8}
            return solver(parameters).astype(np.float64)

        finest = run(0.03)
        errors = [np.abs(run(value) - finest).mean() for value in (0.9, 0.45, 0.225)]
        for coarse, fine in itertools.pairwise(errors):
            assert 3.4 < coarse / fine < 5
        assert errors[0] < 1e-5

    @pytest.mark.parametrize("spacing", [2.0, (1.0, 2.0, 4.0)], ids=["cubic", "anisotropic"])
    @pytest.mark.parametrize(
        ("diffusivity", "proliferation", "duration"),
        [(0.3, 0, 100), (0.3, 0.01, 900), (0.001, 0.15, 103), (0.05, 0.05, 300), (1.5, 0.2, 700), (1e-9, 0, 1000)],
    )
    def test_steps_obey_both_limits(self, ragged_atlas, spacing, diffusivity, proliferation, duration):
        """No diffusion matrix of any tissue has a larger eigenvalue than twice its largest possible diagonal."""
        solver = FisherKolmogorov(ragged_atlas((20, 20, 20), spacing))
        parameters = GrowthParameters((1, 2, 3), diffusivity, proliferation, duration)
        largest = 4 * diffusivity * sum(1 / h**2 for h in solver.atlas.frame.spacing)
        faces = (solver._medium.x, solver._medium.y, solver._medium.z)
        diagonal = sum(face + np.roll(face, 1, axis) for axis, face in enumerate(faces))
        assert 2 * diffusivity * diagonal.max() < largest * (1 + 1e-6)
        phases = solver._phases(parameters)
        for phase in phases:
            assert phase.days * largest <= 2 * phase.scheme.reach * DEFAULTS.diffusion_number * (1 + 1e-9)
            assert phase.days * proliferation <= DEFAULTS.growth_per_step * (1 + 1e-9)
        assert sum(phase.steps * phase.days for phase in phases) == pytest.approx(duration, rel=1e-12)
        assert solver.grow(parameters).steps == sum(phase.steps for phase in phases)

    def test_steps_are_as_few_as_the_limits_allow(self, white_block):
        """Where growth alone limits them they are counted; where diffusion does, eight stages carry 20.6 explicit."""
        solver = FisherKolmogorov(white_block((20, 20, 20), (1.0, 2.0, 4.0)))
        assert solver.grow(GrowthParameters((0, 0, 0), 0.001, 0.15, 103)).steps == math.ceil(0.15 * 103 / 0.6)
        explicit = 2 * 0.3 * 1000 * (1 + 1 / 4 + 1 / 16) / DEFAULTS.diffusion_number
        spreading = GrowthParameters((0, 0, 0), 0.3, 0, 1000)
        assert explicit / 20.6 < solver.grow(spreading).steps < explicit / 20.6 + 25
        assert stage_count(solver, spreading) < 0.5 * explicit

    def test_without_diffusion_one_step_is_exact(self, white_block):
        solver = FisherKolmogorov(white_block((20, 20, 20)))
        assert solver._phases(GrowthParameters((0, 0, 0), 0, 0.1, 900)) == [Phase(1, 900.0, scheme(2))]


REALISTIC = [
    # mu1 in mm, mu2, mean error allowed where there is tumour: steps that only growth limits err most
    (18.7, 2.63, 0.0005),
    (14.0, 2.45, 0.0005),
    (20.0, 3.0, 0.0005),
    (8.0, 3.5, 0.001),
    (12.0, 4.0, 0.002),
    (7.0, 4.5, 0.005),
    (4.0, 6.0, 0.008),
]


class TestDefaultSteps:
    """What the default's long steps cost in the default atlas, against steps five to ten times as short."""

    @pytest.fixture(scope="class")
    def solvers(self, icbm152):
        finer = replace(DEFAULTS, diffusion_number=0.1, growth_per_step=0.05)
        return FisherKolmogorov(icbm152), FisherKolmogorov(icbm152, finer)

    @pytest.mark.parametrize("tissue", ["white", "grey"])
    @pytest.mark.parametrize(("mu1", "mu2", "allowed"), REALISTIC)
    def test_tumours_are_those_of_a_much_finer_run(self, icbm152, solvers, mu1, mu2, allowed, tissue):
        pure = np.argwhere(getattr(icbm152, tissue) > 0.95)
        voxel = pure[np.random.default_rng(int(100 * mu1)).integers(len(pure))]
        parameters = GrowthParameters.from_mu(tuple(icbm152.frame.world(voxel)), mu1, mu2, 300)
        run, fine = (solver.grow(parameters) for solver in solvers)
        assert fine.steps > 3.5 * run.steps
        found, expected = run.full(), fine.full()
        assert (expected >= np.float32(0.2)).sum() > 1000
        for level in (0.2, 0.6):
            a, b = found >= np.float32(level), expected >= np.float32(level)
            if b.sum() > 100:
                assert 2 * (a & b).sum() / (a.sum() + b.sum()) >= 0.99
        apart = np.abs(found.astype(np.float64) - expected)
        assert apart.mean() <= 0.0002
        assert apart[expected >= 0.01].mean() <= allowed
