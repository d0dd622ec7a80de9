from .ensemble import MATCHES, ensemble_of
from .inference_stage import InferenceRefinement
from .keeping import keep
from .local import LocalSettings, refine_locally
from .local_stage import LocalRefinement
from .neural_stage import NeuralRefinement
from .options import METHODS, RefinementOptions, SimulationSpace
from .posterior import Posterior, Sample
from .sampling import TransitionalSettings
from .stage import Refined, Refinement, carried
from .transitional_stage import TransitionalRefinement

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
