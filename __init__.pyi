from .errors import GliodexError
from .index import DiceIndex
from .retrieval import Patient
from .retrieval.api import Result, load_result, personalize
from .service.client import connect
from .simulate import build
from .store import Frame, GrowthParameters, TumorStore, open_store

__all__ = [
    "DiceIndex",
    "Frame",
    "GliodexError",
    "GrowthParameters",
    "Patient",
    "Result",
    "TumorStore",
    "build",
    "connect",
    "load_result",
    "open_store",
    "personalize",
]
__version__: str
