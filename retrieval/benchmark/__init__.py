"""Accuracy against runtime of all ways of searching a store: paper 003's question."""

from .cohorts import plausibility
from .comparison import BenchRequest, compare

__all__ = ["BenchRequest", "compare", "plausibility"]
