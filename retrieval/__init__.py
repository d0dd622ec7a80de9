"""Patient in, patient out: masks, registration, query, the way back, and the report."""

from .answer import Stopwatch, answer, dice
from .imaging.patient import Patient
from .imaging.segmentation import Segmentation, from_labels, from_masks
from .imaging.spaces import SPACES, space_map
from .imaging.transforms import AffineMap, SpatialMap, mask_to_atlas
from .query import run_query
from .request import QueryRequest
from .result import Answer
from .several import run_queries

__all__ = [
    "SPACES",
    "AffineMap",
    "Answer",
    "Patient",
    "QueryRequest",
    "Segmentation",
    "SpatialMap",
    "Stopwatch",
    "answer",
    "dice",
    "from_labels",
    "from_masks",
    "mask_to_atlas",
    "run_queries",
    "run_query",
    "space_map",
]
