"""After retrieval: tumours that fit the patient better than any of the store, and how sure that is."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
