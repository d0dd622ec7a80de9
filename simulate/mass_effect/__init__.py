"""The growth model in which a tumour pushes tissue aside (paper 001, Eqs. 3 to 6)."""

from .elasticity import FORMS, ElasticBody, Form
from .moving_tissue import Deformation
from .settings import MASS_EFFECT, MassEffectSettings
from .solver import MassEffect

__all__ = ["FORMS", "MASS_EFFECT", "Deformation", "ElasticBody", "Form", "MassEffect", "MassEffectSettings"]
