"""Accuracy against runtime of all ways of searching a store, paper 003's question; and what stages after it gain."""

from .cohorts import plausibility
from .comparison import BenchRequest, compare
from .stages import StagesRequest, compare_stages

__all__ = ["BenchRequest", "StagesRequest", "compare", "compare_stages", "plausibility"]
