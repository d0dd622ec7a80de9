"""What retrieval alone knows: its best matches as a weighted ensemble."""

from __future__ import annotations

import time

import numpy as np

from ...index import Hits
from ...store.reader import TumorStore
from .posterior import BoxedDensity, Posterior, Sample, weights_of_scores

MATCHES = 50
"""Distinct tumours that stand for what retrieval knows."""

SHARPNESS = 5.0
"""Of `weights_of_scores`: chosen so that credible intervals of simulated truths hold about what they say."""


def ensemble_of(store: TumorStore, hits: Hits) -> Posterior:
    """Weigh matches by their Dice sums.

    Args:
        store: that was searched.
        hits: distinct matches, the best first.
    """
    begun = time.perf_counter()
    scores = np.asarray(hits.dice_core + hits.dice_whole, np.float64)
    samples = tuple(
        Sample(
            store.known_parameters(int(tumour)),
            _thresholds(store, hits, n),
            BoxedDensity.of(store.density(int(tumour))),
            float(scores[n]),
            int(tumour),
        )
        for n, tumour in enumerate(hits.ids)
    )
    ids = tuple(int(tumour) for tumour in hits.ids)
    settings: dict[str, object] = {"matches": len(ids), "sharpness": SHARPNESS}
    seconds = time.perf_counter() - begun
    weights = weights_of_scores(scores, SHARPNESS)
    return Posterior("retrieval", "atlas", store.frame, samples, weights, len(ids), seconds, ids, settings)


def _thresholds(store: TumorStore, hits: Hits, n: int) -> tuple[float, float]:
    if hits.thresholds is None:
        return store.thresholds["core"], store.thresholds["whole"]
    return float(hits.thresholds[0, n]), float(hits.thresholds[1, n])
