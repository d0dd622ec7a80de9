from .imaging.choices import SPACES
from .imaging.patient import Patient
from .imaging.segmentation import Segmentation, from_labels, from_masks
from .imaging.spaces import space_map
from .imaging.transforms import AffineMap, SpatialMap, mask_to_atlas
from .multi_store import run_queries
from .personalization import Stopwatch, dice, personalize_with
from .query import run_query
from .request import QueryRequest
from .result import Answer

__all__ = [
    "SPACES",
    "AffineMap",
    "Answer",
    "Patient",
    "QueryRequest",
    "Segmentation",
    "SpatialMap",
    "Stopwatch",
    "dice",
    "from_labels",
    "from_masks",
    "mask_to_atlas",
    "personalize_with",
    "run_queries",
    "run_query",
    "space_map",
]
