from .designs import GROWTH_DESIGNS, PAPER_GROWTH, SMALL_GROWTH, GrowthDesign
from .network_file import NetworkFile, growth_path, shipped_path, verify_growth_networks
from .reader import Estimate, GrowthReader
from .targets import TARGETS, Targets
from .training import GrowthSettings, train_growth

__all__ = [
    "GROWTH_DESIGNS",
    "PAPER_GROWTH",
    "SMALL_GROWTH",
    "TARGETS",
    "Estimate",
    "GrowthDesign",
    "GrowthReader",
    "GrowthSettings",
    "NetworkFile",
    "Targets",
    "growth_path",
    "shipped_path",
    "train_growth",
    "verify_growth_networks",
]
