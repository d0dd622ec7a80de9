from .cohorts import plausibility
from .comparison import BenchRequest, compare, ready_to_compare
from .growth_networks import GrowthBenchRequest, compare_growth_networks, ready_for_networks
from .several import over_stores, refined_against
from .stages import StagesRequest, compare_stages, ready_for_stages
from .surrogates import SurrogateBenchRequest, compare_surrogates

__all__ = [
    "BenchRequest",
    "GrowthBenchRequest",
    "StagesRequest",
    "SurrogateBenchRequest",
    "compare",
    "compare_growth_networks",
    "compare_stages",
    "compare_surrogates",
    "over_stores",
    "plausibility",
    "ready_for_networks",
    "ready_for_stages",
    "ready_to_compare",
    "refined_against",
]
