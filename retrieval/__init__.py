"""Patient in, patient out: masks, registration, query, the way back, and the report."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
