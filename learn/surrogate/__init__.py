"""A network in the solver's place (Ezhov et al. 2021): from an anatomy and growth to a density, at once."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
