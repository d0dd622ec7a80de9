from .any_format import read_image, read_volume
from .volume import Volume

__all__ = ["Volume", "read_image", "read_volume"]
