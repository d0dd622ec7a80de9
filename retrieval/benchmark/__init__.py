"""Accuracy against runtime of all ways of searching a store, paper 003's question; and what stages after it gain."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
