"""Atlas tissue, growth models, prior, and the builder that fills a store with them."""

from ..store.parameters import GrowthParameters
from .additions import add_simulated
from .atlas import DEFAULT_ATLAS, load_atlas
from .build_report import BuildReport
from .builder import build
from .fisher_kolmogorov import FisherKolmogorov
from .growth import Growth, GrowthSolver
from .mass_effect import Deformation, MassEffect, MassEffectSettings
from .prior import PRIORS, Prior
from .settings import FisherKolmogorovSettings

__all__ = [
    "DEFAULT_ATLAS",
    "PRIORS",
    "BuildReport",
    "Deformation",
    "FisherKolmogorov",
    "FisherKolmogorovSettings",
    "Growth",
    "GrowthParameters",
    "GrowthSolver",
    "MassEffect",
    "MassEffectSettings",
    "Prior",
    "add_simulated",
    "build",
    "load_atlas",
]
