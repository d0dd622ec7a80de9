"""Stores of tumours with mass effect."""

import nibabel as nib
import numpy as np
import pytest

from gliodex.errors import InputError, OutputError, UnsolvedError
from gliodex.simulate import FisherKolmogorovSettings, GrowthParameters, MassEffect, MassEffectSettings, Prior, build
from gliodex.simulate.additions import add_simulated
from gliodex.simulate.mass_effect.export import deformer
from gliodex.store import open_store

SETTINGS = MassEffectSettings(pushes=6)


@pytest.fixture(scope="module")
def built(ellipsoid_atlas, tmp_path_factory):
    path = tmp_path_factory.mktemp("pushing") / "store"
    build(path, 8, 5, ellipsoid_atlas, settings=SETTINGS, snapshots=1, workers=1)
    return open_store(path)


def test_each_tumour_is_kept_with_its_mass_effect(built, ellipsoid_atlas):
    solver = MassEffect(ellipsoid_atlas, SETTINGS)
    assert len(built) == 8
    ends = [n for n in built.ids.tolist() if built.provenance(n)["snapshot"] == 0]
    assert len(ends) >= 2
    for tumour in ends:
        parameters = built.parameters(tumour)
        assert 0 < parameters.mass_effect < 16000
        run = solver.grow(parameters)
        np.testing.assert_allclose(built.density(tumour), run.full(), atol=1.1 / 4095)
        own = max((s for s in built.segments if s.first_id <= tumour), key=lambda s: s.first_id)
        kept = built.segment(own).column("least_jacobian")[tumour - own.first_id]
        assert kept == pytest.approx(run.least_jacobian)
    assert built.manifest.model["model"] == "mass-effect 2"


def test_processes_change_nothing(built, ellipsoid_atlas, tmp_path):
    build(tmp_path / "store", 8, 5, ellipsoid_atlas, settings=SETTINGS, snapshots=1, workers=2)
    other = open_store(tmp_path / "store")
    for tumour in built.ids.tolist():
        np.testing.assert_array_equal(other.integers(tumour), built.integers(tumour))


def test_a_store_of_the_other_model_is_refused(built, ellipsoid_atlas):
    with pytest.raises(InputError, match="was built with the growth model mass-effect 2, not with fisher-kolmogorov"):
        build(built.path, 9, 5, ellipsoid_atlas, settings=FisherKolmogorovSettings())
    with pytest.raises(InputError, match=r"another growth model \(pushes differ\)"):
        build(built.path, 9, 5, ellipsoid_atlas, settings=MassEffectSettings())


def test_a_prior_with_mass_effect_wants_the_model(ellipsoid_atlas, tmp_path):
    with pytest.raises(InputError, match="has no mass effect"):
        build(tmp_path / "store", 1, 0, ellipsoid_atlas, prior=Prior(mass_effect=(0.0, 1.0)))


class TestAdditions:
    def test_one_with_chosen_parameters_is_simulated(self, ellipsoid_atlas, tmp_path):
        build(tmp_path / "store", 1, 0, ellipsoid_atlas, settings=SETTINGS, workers=1)
        wanted = GrowthParameters((20.0, 5.0, 0.0), 0.1, 0.05, 200.0, 12000.0)
        (added,) = add_simulated(tmp_path / "store", [wanted], {"kind": "test"})
        store = open_store(tmp_path / "store")
        assert store.parameters(added) == wanted
        np.testing.assert_allclose(store.density(added), MassEffect(ellipsoid_atlas, SETTINGS)(wanted), atol=1.1 / 4095)

    def test_a_store_without_mass_effect_takes_none(self, ellipsoid_atlas, tmp_path):
        build(tmp_path / "store", 1, 0, ellipsoid_atlas, workers=1)
        wanted = GrowthParameters((20.0, 5.0, 0.0), 0.1, 0.05, 200.0, 12000.0)
        with pytest.raises(InputError, match="built without mass effect: leave out mass_effect"):
            add_simulated(tmp_path / "store", [wanted], {"kind": "test"})


def test_draws_that_are_not_solved_are_counted_and_left_out(built, ellipsoid_atlas, tmp_path, monkeypatch):
    plain = MassEffect.grow

    def fails(self, parameters, *more):
        if parameters.seed_mm == built.parameters(0).seed_mm:
            raise UnsolvedError("not solved")
        return plain(self, parameters, *more)

    monkeypatch.setattr(MassEffect, "grow", fails)
    report = build(tmp_path / "store", 3, 5, ellipsoid_atlas, settings=SETTINGS, workers=1)
    assert report.unsolved == 1
    seeds = [open_store(tmp_path / "store").parameters(n).seed_mm for n in range(3)]
    assert built.parameters(0).seed_mm not in seeds


class TestDeformed:
    def test_tissue_and_displacement_are_written(self, built, ellipsoid_atlas, tmp_path):
        deformer(built, [0, 3])(tmp_path, lambda done, total: None)
        assert len(list(tmp_path.iterdir())) == 8
        for tumour in (0, 3):
            expected = MassEffect(ellipsoid_atlas, SETTINGS).deform(built.parameters(tumour))
            images = {
                name: nib.load(tmp_path / f"tumour_{tumour}_{name}.nii.gz")
                for name in ("white", "grey", "csf", "displacement")
            }
            np.testing.assert_allclose(images["white"].get_fdata(), expected.white, atol=1e-6)
            np.testing.assert_allclose(images["displacement"].get_fdata(), expected.displacement_mm, atol=1e-6)
            np.testing.assert_allclose(images["csf"].affine, ellipsoid_atlas.frame.affine)
            total = sum(images[name].get_fdata() for name in ("white", "grey", "csf"))
            np.testing.assert_allclose(total[ellipsoid_atlas.brain], 1, atol=1e-5)

    def test_a_store_without_mass_effect_has_nothing_to_deform(self, ellipsoid_atlas, tmp_path):
        build(tmp_path / "store", 1, 0, ellipsoid_atlas, workers=1)
        with pytest.raises(InputError, match="leave the tissue as it is: leave out deformed"):
            deformer(open_store(tmp_path / "store"), [0])

    def test_one_that_was_added_as_a_density_is_refused_before_anything_is_written(self, built, tmp_path, monkeypatch):
        monkeypatch.setattr(type(built), "provenance", lambda self, tumour: {"kind": "added"})
        with pytest.raises(InputError, match=r"tumour 3 of .* was added as a density"):
            deformer(built, [3])

    def test_a_folder_that_cannot_be_written_is_said(self, built, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError):
            deformer(built, [0])(tmp_path / "file", lambda done, total: None)
