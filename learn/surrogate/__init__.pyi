from .parameter_ranges import Ranges
from .surrogate_checkpoint import SurrogateFile, named_surrogate, shipped_surrogate
from .surrogate_configs import PAPER_SURROGATE, SMALL_SURROGATE, SURROGATE_DESIGNS, SurrogateDesign
from .surrogate_solver import SurrogateSolver
from .surrogate_training import SurrogateSettings, train_surrogate

__all__ = [
    "PAPER_SURROGATE",
    "SMALL_SURROGATE",
    "SURROGATE_DESIGNS",
    "Ranges",
    "SurrogateDesign",
    "SurrogateFile",
    "SurrogateSettings",
    "SurrogateSolver",
    "named_surrogate",
    "shipped_surrogate",
    "train_surrogate",
]
