from .detection import SkullEvidence, has_skull
from .stripping import StripMethod, Stripped, strip

__all__ = ["SkullEvidence", "StripMethod", "Stripped", "has_skull", "strip"]
