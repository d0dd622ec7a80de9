"""gliodex: personalise brain-tumour growth models by querying a store of simulated tumours.

>>> import gliodex
>>> store = gliodex.open_store("tumours")
>>> hits = gliodex.DiceIndex.open(store).search(core, whole, k=15)

Research software, not a medical device.
"""

from .errors import GliodexError
from .index import DiceIndex
from .service.client import connect
from .store import Frame, GrowthParameters, TumorStore, open_store

__all__ = ["DiceIndex", "Frame", "GliodexError", "GrowthParameters", "TumorStore", "connect", "open_store"]
