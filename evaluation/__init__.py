"""Accuracy against runtime of all retrieval methods (Ezhov et al. 2022), and what refinement gains."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
