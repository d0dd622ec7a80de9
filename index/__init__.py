"""Ways to search one store; the exact Dice index is the default and the ground truth."""

from .dice import DiceIndex, build_index, verify_index
from .protocol import Hits, Retriever

__all__ = ["DiceIndex", "Hits", "Retriever", "build_index", "verify_index"]
