from .cluster import ClusterDiceIndex, cluster_index
from .dice import DiceIndex, verify_index
from .expectation import Expectation, SimilarSize, expectation_of
from .faiss_backends import ENGINES
from .index_registry import (
    METHODS,
    PREPARED,
    build_index,
    check_search,
    cost_of,
    open_retriever,
    prepare,
    verify_methods,
    what_is_missing,
)
from .metrics import MEASURES
from .protocol import Hits, Retriever
from .rerankers import RANKINGS
from .threshold_sweep import SEARCHED_LEVELS, LevelDice, best_thresholds, dice_at_best_levels, dice_of_levels

__all__ = [
    "ENGINES",
    "MEASURES",
    "METHODS",
    "PREPARED",
    "RANKINGS",
    "SEARCHED_LEVELS",
    "ClusterDiceIndex",
    "DiceIndex",
    "Expectation",
    "Hits",
    "LevelDice",
    "Retriever",
    "SimilarSize",
    "best_thresholds",
    "build_index",
    "check_search",
    "cluster_index",
    "cost_of",
    "dice_at_best_levels",
    "dice_of_levels",
    "expectation_of",
    "open_retriever",
    "prepare",
    "verify_index",
    "verify_methods",
    "what_is_missing",
]
