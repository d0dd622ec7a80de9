"""gliodex: personalise brain-tumour growth models by querying a store of simulated tumours.

>>> import gliodex
>>> store = gliodex.open_store("tumours")
>>> hits = gliodex.DiceIndex.open(store).search(core, whole, k=15)

Research software, not a medical device.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
