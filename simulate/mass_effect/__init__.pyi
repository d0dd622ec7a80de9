from .elasticity import FORMS, ElasticBody, Form
from .moving_tissue import Deformation
from .settings import MASS_EFFECT, MassEffectSettings
from .solver import MassEffect

__all__ = ["FORMS", "MASS_EFFECT", "Deformation", "ElasticBody", "Form", "MassEffect", "MassEffectSettings"]
