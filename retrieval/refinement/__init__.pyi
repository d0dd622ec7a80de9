from .choice import STAGES, StageChoice
from .ensemble import MATCHES, ensemble_of
from .inference_stage import InferenceRefinement
from .keeping import keep
from .local import LocalSettings, refine_locally
from .local_stage import LocalRefinement
from .neural_stage import NeuralRefinement
from .posterior import Posterior, Sample
from .sampling import TransitionalSettings
from .site import Where
from .stage import Refined, Refinement, carried
from .transitional_stage import PriorName, TransitionalRefinement

__all__ = [
    "MATCHES",
    "STAGES",
    "InferenceRefinement",
    "LocalRefinement",
    "LocalSettings",
    "NeuralRefinement",
    "Posterior",
    "PriorName",
    "Refined",
    "Refinement",
    "Sample",
    "StageChoice",
    "TransitionalRefinement",
    "TransitionalSettings",
    "Where",
    "carried",
    "ensemble_of",
    "keep",
    "refine_locally",
]
