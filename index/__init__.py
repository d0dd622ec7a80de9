"""Ways to search one store; the exact Dice index is the default and the ground truth."""

from .cluster import ClusterDiceIndex, cluster_index
from .dice import DiceIndex, build_index, verify_index
from .measures import MEASURES
from .methods import METHODS, PREPARED, open_retriever, prepare, verify_methods
from .protocol import Hits, Retriever
from .threshold_search import best_thresholds

__all__ = [
    "MEASURES",
    "METHODS",
    "PREPARED",
    "ClusterDiceIndex",
    "DiceIndex",
    "Hits",
    "Retriever",
    "best_thresholds",
    "build_index",
    "cluster_index",
    "open_retriever",
    "prepare",
    "verify_index",
    "verify_methods",
]
