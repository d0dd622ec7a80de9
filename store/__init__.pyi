from .atlas import Atlas
from .density import EncodedTumour
from .frame import Frame
from .manifest import THRESHOLDS, Campaign, Manifest
from .parameters import UNITS, GrowthParameters
from .quantization import dequantise, level_of, quantise
from .reader import TumorStore, open_store
from .verification import verify
from .writer import StoreWriter, collect_garbage, creating, writing

__all__ = [
    "THRESHOLDS",
    "UNITS",
    "Atlas",
    "Campaign",
    "EncodedTumour",
    "Frame",
    "GrowthParameters",
    "Manifest",
    "StoreWriter",
    "TumorStore",
    "collect_garbage",
    "creating",
    "dequantise",
    "level_of",
    "open_store",
    "quantise",
    "verify",
    "writing",
]
