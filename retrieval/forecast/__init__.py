"""A tumour seen twice: its rates, and what is to be expected on later days."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
