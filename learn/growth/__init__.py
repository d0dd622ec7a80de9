"""Learn-Morph-Infer (paper 001): from two outlines to the growth that shows them, by one look of a network."""

from ..level_boxes import CORE_LEVELS, LEVELS_A_DENSITY, WHOLE_LEVELS
from .designs import GROWTH_DESIGNS, PAPER_GROWTH, SMALL_GROWTH, GrowthDesign
from .network_file import NetworkFile, growth_path, shipped_path, verify_growth_networks
from .reader import Estimate, GrowthReader
from .targets import TARGETS, Targets
from .training import GrowthSettings, train_growth

__all__ = [
    "CORE_LEVELS",
    "GROWTH_DESIGNS",
    "LEVELS_A_DENSITY",
    "PAPER_GROWTH",
    "SMALL_GROWTH",
    "TARGETS",
    "WHOLE_LEVELS",
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
