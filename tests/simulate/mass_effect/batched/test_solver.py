"""Against the compiled solver, one tumour at a time; on the processor, and on a GPU where there is one."""

from dataclasses import replace

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.simulate import GrowthParameters, MassEffectSettings
from gliodex.simulate.mass_effect import MassEffect
from gliodex.simulate.mass_effect.elasticity import FORMS

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")
batched = pytest.importorskip("gliodex.simulate.mass_effect.batched.solver")

DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()

TUMOURS = [
    GrowthParameters((10.0, 6.0, 4.0), 0.12, 0.03, 300, 9000.0),
    GrowthParameters((-20.0, 10.0, 6.0), 0.05, 0.05, 250, 15000.0),
    GrowthParameters((6.0, -20.0, -8.0), 0.3, 0.02, 200, 3000.0),
    GrowthParameters((10.0, 6.0, 4.0), 0.0, 0.03, 300, 9000.0),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("form", "voxels"), [(FORMS[0], 2), (FORMS[1], 1)])
def test_each_tumour_grows_as_it_would_alone(ellipsoid_atlas, device, form, voxels):
    settings = MassEffectSettings(form=form, voxels_a_cell=voxels, pushes=5)
    alone = MassEffect(ellipsoid_atlas, settings)
    shares = [(0.5,), (), (0.3, 0.7), ()]
    together = batched.BatchedMassEffect(ellipsoid_atlas, settings, device, 3).grow_many(TUMOURS, None, shares)
    for parameters, share, run in zip(TUMOURS, shares, together, strict=True):
        wanted = alone.grow(parameters, snapshots=share)
        np.testing.assert_allclose(run.full(), wanted.full(), atol=1e-4)
        assert run.least_jacobian == pytest.approx(wanted.least_jacobian, abs=1e-4)
        assert run.steps == wanted.steps
        assert not run.outgrew
        assert [taken.days for taken in run.snapshots] == [taken.days for taken in wanted.snapshots]
        for one, other in zip(run.snapshots, wanted.snapshots, strict=True):
            assert float(one.density.sum()) == pytest.approx(float(other.density.sum()), rel=1e-4)
            assert one.least_jacobian == pytest.approx(other.least_jacobian, abs=1e-4)


def test_a_tumour_that_outgrows_is_given_up_and_the_others_go_on(ellipsoid_atlas):
    settings = MassEffectSettings(pushes=5)
    solver = batched.BatchedMassEffect(ellipsoid_atlas, settings, "cpu", 4)
    alone = [MassEffect(ellipsoid_atlas, settings).grow(parameters, 25.0) for parameters in TUMOURS]
    together = solver.grow_many(TUMOURS, [25.0] * 4)
    assert [run.outgrew for run in together] == [run.outgrew for run in alone]
    assert {run.outgrew for run in together} == {True, False}
    for run, wanted in zip(together, alone, strict=True):
        if not wanted.outgrew:
            np.testing.assert_allclose(run.full(), wanted.full(), atol=1e-4)


def test_of_equations_that_are_not_solved_it_is_said_and_the_others_are(ellipsoid_atlas, monkeypatch):
    settings = MassEffectSettings(pushes=3)
    solver = batched.BatchedMassEffect(ellipsoid_atlas, settings, "cpu", 4)
    plain = batched.MovingTissues.push

    def push(self, density, pressure):
        moved, solved = plain(self, density, pressure)
        return moved, solved & (pressure != 15000.0)

    monkeypatch.setattr(batched.MovingTissues, "push", push)
    together = solver.grow_many(TUMOURS)
    assert [run is None for run in together] == [False, True, False, False]
    np.testing.assert_allclose(together[2].full(), MassEffect(ellipsoid_atlas, settings)(TUMOURS[2]), atol=1e-4)


def test_a_solution_that_is_no_number_ends_its_tumour_alone(ellipsoid_atlas, monkeypatch):
    settings = MassEffectSettings(pushes=3)
    solver = batched.BatchedMassEffect(ellipsoid_atlas, settings, "cpu", 4)
    plain = batched.ElasticBodies.yield_to

    def yield_to(self, pressure, *rest):
        found, solved = (values.clone() for values in plain(self, pressure, *rest))
        if len(pressure) == len(TUMOURS):  # of all of them, the one that presses hardest
            spoilt = pressure.flatten(1).amax(dim=1).argmax()
            found[spoilt], solved[spoilt] = torch.nan, False
        return found, solved

    monkeypatch.setattr(batched.ElasticBodies, "yield_to", yield_to)
    together = solver.grow_many(TUMOURS)
    assert [run is None for run in together] == [False, True, False, False]
    np.testing.assert_allclose(together[2].full(), MassEffect(ellipsoid_atlas, settings)(TUMOURS[2]), atol=1e-4)


def test_too_large_a_mass_effect_is_refused(ellipsoid_atlas):
    solver = batched.BatchedMassEffect(ellipsoid_atlas, MassEffectSettings(), "cpu", 4)
    with pytest.raises(InputError, match="beyond"):
        solver.grow_many([replace(TUMOURS[0], mass_effect=1e6)])


def test_where_memory_is_short_fewer_are_simulated_at_a_time(ellipsoid_atlas, monkeypatch):
    solver = batched.BatchedMassEffect(ellipsoid_atlas, MassEffectSettings(pushes=2), "cpu", 4)
    sizes, plain = [], solver._march

    def march(works, most=2):
        sizes.append(len(works))
        if len(works) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(works)

    monkeypatch.setattr(solver, "_march", march)
    found = solver.grow_many(TUMOURS)
    assert sizes == [4, 2, 2]
    assert all(run.full().any() for run in found)
    monkeypatch.setattr(solver, "_march", lambda works: march(works, 0))
    with pytest.raises(InputError, match="does not hold one tumour"):
        solver.grow_many(TUMOURS)
