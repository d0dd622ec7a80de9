"""Growth models by name, and by the record of a store."""

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.simulate import (
    MODELS,
    FisherKolmogorov,
    FisherKolmogorovSettings,
    MassEffect,
    MassEffectSettings,
    Prior,
    described,
    equal_to_rounding,
    model_in,
    prior_for,
    settings_of,
    without_mass_effect,
)
from gliodex.simulate.mass_effect.settings import MASS_EFFECT_VERSION

CHOICES = [
    FisherKolmogorovSettings(face_mean="arithmetic", grey_ratio=5.0),
    MassEffectSettings(form="as_published", pushes=9, growth=FisherKolmogorovSettings(seed_width_mm=3.0)),
]


@pytest.mark.parametrize("settings", CHOICES)
def test_a_record_gives_back_the_choices(settings):
    assert settings_of(settings.as_record(), "store", "") == settings
    assert type(settings) in MODELS.values()


@pytest.mark.parametrize(("settings", "kind"), zip(CHOICES, (FisherKolmogorov, MassEffect), strict=True))
def test_choices_make_their_solver(settings, kind, ellipsoid_atlas):
    solver = model_in(ellipsoid_atlas, settings)
    assert type(solver) is kind
    assert solver.settings == settings
    assert without_mass_effect(settings).seed_width_mm in (2.5, 3.0)


@pytest.mark.parametrize("settings", CHOICES)
def test_another_version_is_refused_with_both_names(settings):
    older = settings.as_record() | {"model": str(settings.as_record()["model"]).rsplit(" ", 1)[0] + " 0"}
    with pytest.raises(InputError, match=r"S was built with the growth model [a-z-]+ 0, [a-z-]+ [1-9] is wanted here"):
        settings_of(older, "S", "do without")


OLDER = {"fisher-kolmogorov 4": "fisher-kolmogorov 3", "mass-effect 2": "mass-effect 1"}


def older(settings):
    """Record of a store built before densities had the same bits on all processors."""
    record = settings.as_record()
    grows = {"growth": older(settings.growth)} if "growth" in record else {}
    return record | grows | {"model": OLDER[record["model"]]}


@pytest.mark.parametrize("settings", CHOICES)
def test_versions_that_differ_by_rounding_are_simulated_but_not_added_to(settings):
    assert settings_of(older(settings), "S", "do without") == settings
    assert settings_of(settings.as_record(), "S", "do without", same_bits=True) == settings
    with pytest.raises(InputError, match=r"S was built with the growth model [a-z-]+ [13], [a-z-]+ [24] is wanted"):
        settings_of(older(settings), "S", "do without", same_bits=True)


@pytest.mark.parametrize("settings", CHOICES)
def test_models_are_equal_to_rounding_with_the_same_choices_and_known_versions(settings):
    record, coarser = settings.as_record(), older(settings)
    assert equal_to_rounding(record, coarser)
    assert equal_to_rounding(coarser, record)
    assert not equal_to_rounding(coarser, record | {"model": "mine"})
    assert not equal_to_rounding(FisherKolmogorovSettings(grey_ratio=7).as_record(), coarser)
    assert equal_to_rounding({"model": "mine"}, {"model": "mine"})


def test_another_version_of_what_grows_is_refused_too():
    record = MassEffectSettings().as_record()
    record["growth"] = record["growth"] | {"model": "fisher-kolmogorov 0"}
    with pytest.raises(InputError, match="fisher-kolmogorov 0"):
        settings_of(record, "S", "do without")


def test_choices_that_are_not_known_are_named():
    record = MassEffectSettings().as_record() | {"viscosity": 1.0}
    with pytest.raises(InputError, match=r"known here \(viscosity\): do without"):
        settings_of(record, "S", "do without")


@pytest.mark.parametrize(
    ("choices", "named"),
    [
        ({"form": "hooke"}, "form must be textbook or as_published, not 'hooke'"),
        ({"young_pa": (1.0, 2.0, 3.0)}, "young_pa must be four numbers above 0"),
        ({"young_pa": (1.0, 2.0, 3.0, float("nan"))}, "young_pa must be four numbers above 0"),
        ({"poisson": (0.4, 0.4, 0.1, 0.5)}, "below 0.5"),
        ({"poisson": (0.4, 0.4, 0.0, 0.45)}, "poisson must be four numbers above 0"),
        ({"voxels_a_cell": 3}, "voxels_a_cell must be a whole number from 1 to 2, not 3"),
        ({"voxels_a_cell": 2.0}, "voxels_a_cell must be a whole number"),
        ({"pushes": 0}, "pushes must be a whole number from 1 to 1000, not 0"),
        ({"pushes": 2.5}, "pushes must be a whole number"),
        ({"tolerance": 0.0}, r"tolerance must be a number in \(0, 1\)"),
        ({"tolerance": "a"}, r"tolerance must be a number in \(0, 1\), not 'a'"),
    ],
)
def test_choices_that_cannot_be_are_refused(choices, named):
    with pytest.raises(InputError, match=named):
        MassEffectSettings(**choices)


def test_materials_are_those_of_the_published_code():
    """PEERS: lambda and mu of white matter 3000 and 750 Pa, CSF 11.4 and 45.5, tumour 24,828 and 2,759."""
    lame, shear = MassEffectSettings().materials
    assert lame == pytest.approx([3000, 3000, 11.36, 24828], rel=1e-3)
    assert shear == pytest.approx([750, 750, 45.45, 2759], rel=1e-3)


class TestPrior:
    def test_a_model_with_mass_effect_gets_a_range(self):
        assert prior_for(MassEffectSettings(), Prior()).mass_effect == (0.0, 16000.0)
        chosen = Prior(mass_effect=(500.0, 900.0))
        assert prior_for(MassEffectSettings(), chosen) == chosen

    def test_one_without_gets_none(self):
        assert prior_for(FisherKolmogorovSettings(), Prior()) == Prior()
        assert "mass_effect" not in Prior().as_record()
        with pytest.raises(InputError, match="has no mass effect"):
            prior_for(FisherKolmogorovSettings(), Prior(mass_effect=(1.0, 2.0)))

    def test_a_range_beyond_what_the_model_can_take_is_refused(self):
        with pytest.raises(InputError, match="40000 Pa is beyond 34845 Pa, where strains are no longer small"):
            prior_for(MassEffectSettings(), Prior(mass_effect=(0.0, 40000.0)))

    def test_its_draws_are_those_of_the_other_model_and_a_mass_effect(self, ellipsoid_atlas):
        tissue = np.argwhere(ellipsoid_atlas.tissue)
        pushing = prior_for(MassEffectSettings(), Prior())
        drawn = [pushing.draw(ellipsoid_atlas, tissue, 4, n) for n in range(200)]
        plain = [Prior().draw(ellipsoid_atlas, tissue, 4, n) for n in range(200)]
        for a, b in zip(drawn, plain, strict=True):
            assert (a.seed_mm, a.mu1, a.mu2) == (b.seed_mm, b.mu1, b.mu2)
        pressures = [one.mass_effect for one in drawn]
        assert 0 <= min(pressures) < 800
        assert 15200 < max(pressures) <= 16000
        assert all(one.mass_effect == 0 for one in plain)
        assert pushing.as_record()["units"]["mass_effect"] == "Pa"


def test_tables_name_the_model_and_the_form_of_its_equations():
    plain, published = MassEffectSettings().as_record(), MassEffectSettings(form="as_published").as_record()
    assert [described(record) for record in (plain, published)] == [
        MASS_EFFECT_VERSION,
        f"{MASS_EFFECT_VERSION}, as published",
    ]
