"""Image files of every format that users bring, as `Volume`s."""

from .volume import Volume

__all__ = ["Volume"]
