from .for_stores import over_stores, refined_against
from .lmi_benchmark import GrowthBenchRequest, compare_growth_networks, ready_for_networks
from .patient_cohort import plausibility
from .refinement_benchmark import StagesRequest, compare_stages, ready_for_stages
from .retrieval_benchmark import BenchRequest, compare, ready_to_compare
from .surrogate_benchmark import SurrogateBenchRequest, compare_surrogates

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
