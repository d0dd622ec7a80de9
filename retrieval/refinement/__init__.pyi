from .ensemble import MATCHES, ensemble_of
from .lmi_refinement import InferenceRefinement
from .local import LocalSettings, refine_locally
from .local_refinement import LocalRefinement
from .npe_refinement import NeuralRefinement
from .posterior import Posterior, Sample
from .refinement_base import Refined, Refinement, carried
from .refinement_options import METHODS, RefinementOptions, SimulationSpace
from .smc_settings import TransitionalSettings
from .store_results import keep
from .tmcmc_refinement import TransitionalRefinement

__all__ = [
    "MATCHES",
    "METHODS",
    "InferenceRefinement",
    "LocalRefinement",
    "LocalSettings",
    "NeuralRefinement",
    "Posterior",
    "Refined",
    "Refinement",
    "RefinementOptions",
    "Sample",
    "SimulationSpace",
    "TransitionalRefinement",
    "TransitionalSettings",
    "carried",
    "ensemble_of",
    "keep",
    "refine_locally",
]
