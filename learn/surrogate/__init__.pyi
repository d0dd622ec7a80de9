from .designs import PAPER_SURROGATE, SMALL_SURROGATE, SURROGATE_DESIGNS, SurrogateDesign
from .ranges import Ranges
from .solver import SurrogateSolver
from .surrogate_file import SurrogateFile, named_surrogate, shipped_surrogate
from .training import SurrogateSettings, train_surrogate

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
