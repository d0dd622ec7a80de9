from .errors import GliodexError
from .index import DiceIndex
from .service.client import connect
from .store import Frame, GrowthParameters, TumorStore, open_store

__all__ = ["DiceIndex", "Frame", "GliodexError", "GrowthParameters", "TumorStore", "connect", "open_store"]
