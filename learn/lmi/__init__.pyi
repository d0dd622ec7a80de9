from .lmi_checkpoint import NetworkFile, growth_path, shipped_path, verify_growth_networks
from .lmi_configs import GROWTH_DESIGNS, PAPER_GROWTH, SMALL_GROWTH, GrowthDesign
from .lmi_training import GrowthSettings, train_growth
from .parameter_predictor import Estimate, GrowthReader
from .targets import TARGETS, Targets

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
