"""Atlas tissue, growth models, prior, and the builder that fills a store with them."""

from ..store.parameters import GrowthParameters
from .additions import add_simulated
from .atlas import DEFAULT_ATLAS, load_atlas
from .build_report import BuildReport
from .builder import build
from .fisher_kolmogorov import FisherKolmogorov
from .growth import Growth, GrowthSolver
from .prior import PRIORS, Prior
from .settings import FisherKolmogorovSettings

__all__ = [
    "DEFAULT_ATLAS",
    "PRIORS",
    "BuildReport",
    "FisherKolmogorov",
    "FisherKolmogorovSettings",
    "Growth",
    "GrowthParameters",
    "GrowthSolver",
    "Prior",
    "add_simulated",
    "build",
    "load_atlas",
]
