from .deforming_tissue import Deformation
from .elasticity import FORMS, ElasticBody, Form
from .settings import MASS_EFFECT, MassEffectSettings
from .solver import MassEffect

__all__ = ["FORMS", "MASS_EFFECT", "Deformation", "ElasticBody", "Form", "MassEffect", "MassEffectSettings"]
