from .additions import add_simulated
from .atlas import load_atlas
from .build_report import BuildReport
from .builder import build
from .fisher_kolmogorov import FisherKolmogorov, check_still
from .growth import Growth, GrowthModel, GrowthParameters, GrowthSolver
from .growth_models import (
    MODELS,
    ModelSettings,
    described,
    equal_to_rounding,
    model_in,
    model_of,
    prior_for,
    pushes,
    settings_of,
    without_mass_effect,
)
from .mass_effect import FORMS, Deformation, MassEffect, MassEffectSettings
from .prior import MASS_EFFECT_PA, PRIORS, Prior
from .settings import DEFAULT_ATLAS, FisherKolmogorovSettings

__all__ = [
    "DEFAULT_ATLAS",
    "FORMS",
    "MASS_EFFECT_PA",
    "MODELS",
    "PRIORS",
    "BuildReport",
    "Deformation",
    "FisherKolmogorov",
    "FisherKolmogorovSettings",
    "Growth",
    "GrowthModel",
    "GrowthParameters",
    "GrowthSolver",
    "MassEffect",
    "MassEffectSettings",
    "ModelSettings",
    "Prior",
    "add_simulated",
    "build",
    "check_still",
    "described",
    "equal_to_rounding",
    "load_atlas",
    "model_in",
    "model_of",
    "prior_for",
    "pushes",
    "settings_of",
    "without_mass_effect",
]
