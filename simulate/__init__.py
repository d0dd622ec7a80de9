"""Atlas tissue, growth models, prior, and the builder that fills a store with them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
