"""The growth model in which a tumour pushes tissue aside (paper 001, Eqs. 3 to 6)."""

from .elasticity import FORMS, ElasticBody, Form
from .moving_tissue import Deformation
from .settings import MassEffectSettings
from .solver import MassEffect

__all__ = ["FORMS", "Deformation", "ElasticBody", "Form", "MassEffect", "MassEffectSettings"]
