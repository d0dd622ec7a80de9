"""Whole heads: found out by the image alone, and brought down to the brain."""

from .detection import SkullEvidence, has_skull
from .stripping import StripMethod, Stripped, strip

__all__ = ["SkullEvidence", "StripMethod", "Stripped", "has_skull", "strip"]
