"""How good answers are, held against exact search: Ezhov et al.'s (2022) accuracy, and what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from .timing import HITS, Answers

TOP = (1, 5, 15)
"""Places of the exact ranking that the best hit may take: Ezhov et al. (2022), Table 1."""

_DRAWS = 10_000


@dataclass(frozen=True)
class Share:
    """A share of queries.

    Args:
        found: how many.
        of: of how many.
        low, high: 95 % interval (Wilson).
    """

    found: int
    of: int
    low: float
    high: float

    @classmethod
    def of_queries(cls, found: NDArray[np.bool_]) -> Share:
        """Count them."""
        interval = binomtest(int(found.sum()), len(found)).proportion_ci(method="wilson")
        return cls(int(found.sum()), len(found), round(float(interval.low), 4), round(float(interval.high), 4))

    @property
    def percent(self) -> float:
        """In per cent."""
        return 100.0 * self.found / self.of


def accuracy(answers: Answers, truth: NDArray[np.float64], queries: slice) -> dict[str, object]:
    """Score the answers to the queries of a set.

    Args:
        answers: of a way of searching.
        truth: Dice sums of the best tumours by exact search, (queries, HITS), best first.
        queries: which of them.

    Returns:
        `top_n`: queries whose best hit is among the n best, or as good as the n-th; `recall`: mean share of the hits
        that are as good as the last of as many best ones; `loss`: mean of what the best hit's Dice sum lacks to the
        best there is, with its 95 % bootstrap interval.
    """
    found, best = answers.scores[queries], truth[queries]
    scores: dict[str, object] = {}
    for n in TOP:
        scores[f"top_{n}"] = vars(Share.of_queries(found[:, 0] >= best[:, n - 1]))
    scores["recall"] = round(float((found >= best[:, -1:]).sum(axis=1).mean() / HITS), 4)
    losses = best[:, 0] - found[:, 0]
    scores["loss"] = round(float(losses.mean()), 5)
    scores["loss_95"] = [round(bound, 5) for bound in bootstrap(losses)]
    scores["best_dice_sum"] = round(float(found[:, 0].mean()), 4)
    return scores


def bootstrap(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % interval of a mean, by drawing with replacement."""
    means = np.random.default_rng(0).choice(values, (_DRAWS, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def runtime(answers: Answers, queries: slice) -> dict[str, object]:
    """Summarise what the queries of a set took, on one core: quantiles in ms, encoding apart, and evaluations."""
    milliseconds = 1e3 * answers.seconds[queries]
    p50, p95, p99 = (round(float(v), 3) for v in np.quantile(milliseconds, [0.5, 0.95, 0.99]))
    return {
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "encoding_ms": round(1e3 * float(np.median(answers.encoding[queries])), 3),
        "evaluated": round(float(answers.evaluated[queries].mean()), 1),
        "cold_s": round(float(np.median(answers.cold)), 2),
        "memory_bytes": answers.memory,
    }
