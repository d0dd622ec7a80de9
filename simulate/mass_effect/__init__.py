"""The growth model in which a tumour pushes tissue aside (Ezhov et al. 2023, Eqs. 3 to 6)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
