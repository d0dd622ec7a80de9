"""Image files of every format that users bring, as `Volume`s."""

from ....store.image_format import find_format
from .any_format import read_image, read_volume
from .volume import Volume

__all__ = ["Volume", "find_format", "read_image", "read_volume"]
