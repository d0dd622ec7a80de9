"""After retrieval: tumours that fit the patient better than any of the store, and how sure that is."""

from .keeping import keep
from .local import LocalSettings, refine_locally
from .posterior import Posterior, Sample
from .stage import LocalRefinement, Refined, Refinement, Where, carried

__all__ = [
    "LocalRefinement",
    "LocalSettings",
    "Posterior",
    "Refined",
    "Refinement",
    "Sample",
    "Where",
    "carried",
    "keep",
    "refine_locally",
]
