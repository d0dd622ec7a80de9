"""Learn-Morph-Infer (Ezhov et al. 2023): from two outlines to the growth that shows them, by one look of a network."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
