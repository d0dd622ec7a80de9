"""Names of what searching offers, without what it takes to do it: for faces that list them."""

from __future__ import annotations

from typing import Literal

IndexName = Literal["dice", "ds64", "ds32", "ae", "vae", "hash", "radiomics", "radiomics-standardised"]
"""Representations that tumors are ranked by: masks, coarser masks, codes, features; see `index_registry.METHODS`."""

MetricName = Literal["dice", "jaccard", "l2", "hausdorff", "bernoulli"]
"""What ranks, see `metrics.MEASURES` and `rerankers.RANKINGS`."""

FaissIndex = Literal["flat", "ivf", "hnsw"]
"""FAISS indices of codes, see `faiss_backends.ENGINES`."""
