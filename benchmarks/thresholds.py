"""How fast search over thresholds is, what it gains, and whether it equals brute force.

    python benchmarks/thresholds.py STORE [--queries 100] [--brute-force 10]

Queries are unseen simulations cut at densities that nobody tells: core in 0.5 to 0.85, whole in 0.05 to 0.5. Brute
force reads every density of the store and counts its voxels at every level, once for all of some queries.
"""

import argparse
import os
import time

import numpy as np
from record import interval, keep
from unseen import unseen_integers

import gliodex
from gliodex.index.block_histograms import CORE_LEVELS, WHOLE_LEVELS
from gliodex.index.threshold_search import ThresholdSearch
from gliodex.store.quantization import level_of

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("--queries", type=int, default=100)
parser.add_argument("--brute-force", type=int, default=10)
parser.add_argument("--seed", type=int, default=3)
arguments = parser.parse_args()

store = gliodex.open_store(arguments.store)
rng = np.random.default_rng(arguments.seed)
queries = []
for integers in unseen_integers(store, arguments.queries, arguments.seed):
    core, whole = level_of(rng.uniform(0.5, 0.85)), level_of(rng.uniform(0.05, 0.5))
    queries.append((integers >= core, integers >= whole))

begun = time.perf_counter()
search, fixed = ThresholdSearch.open(store), gliodex.DiceIndex.open(store)
opened = time.perf_counter() - begun
search.search(*queries[0])
seconds, read, free_scores, fixed_scores = [], [], [], []
for masks in queries:
    begun = time.perf_counter()
    hits = search.search(*masks, k=15)
    seconds.append(time.perf_counter() - begun)
    read.append(hits.evaluated)
    free_scores.append(hits.scores[0])
    fixed_scores.append(fixed.search(*masks, k=1).scores[0])


def brute_force(chosen: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Best Dice sum of every tumour for each query, (queries, tumours)."""
    places = [[np.flatnonzero(mask) for mask in masks] for masks in chosen]
    best = np.zeros((len(chosen), len(store)))
    for n, tumour in enumerate(store.ids.tolist()):
        values = store.integers(tumour).ravel()
        everywhere = np.bincount(values, minlength=4096)[::-1].cumsum()[::-1]
        for q, masks in enumerate(places):
            for place, levels in zip(masks, (CORE_LEVELS, WHOLE_LEVELS), strict=True):
                these = slice(levels[0], levels[-1] + 1)
                inside = np.bincount(values[place], minlength=4096)[::-1].cumsum()[::-1]
                sizes = everywhere[these] + len(place)
                best[q, n] += (2.0 * inside[these] / np.maximum(sizes, 1)).max()
    return best


compared = queries[: arguments.brute_force]
begun = time.perf_counter()
scores = brute_force(compared) if compared else np.zeros((0, len(store)))
brute_seconds = (time.perf_counter() - begun) / max(len(compared), 1)
equal = 0
for masks, of_query in zip(compared, scores, strict=True):
    hits = search.search(*masks, k=15)
    order = np.lexsort((store.ids, -of_query))[:15]
    equal += bool((hits.ids == store.ids[order]).all() and (hits.scores == of_query[order]).all())
gain = np.array(free_scores) - np.array(fixed_scores)
keep(
    "thresholds",
    {
        "tumours": len(store),
        "queries": len(queries),
        "seed": arguments.seed,
        "threads": len(os.sched_getaffinity(0)),
        "median_ms": round(float(np.median(seconds)) * 1e3, 1),
        "p99_ms": round(float(np.quantile(seconds, 0.99)) * 1e3, 1),
        "median_densities_read": float(np.median(read)),
        "open_s": round(opened, 2),
        "mean_dice_sum": round(float(np.mean(free_scores)), 4),
        "mean_dice_sum_fixed": round(float(np.mean(fixed_scores)), 4),
        "gain_95": interval(gain),
        "brute_force_queries": len(compared),
        "equal_to_brute_force": equal,
        "brute_force_s_a_query": round(brute_seconds, 1),
        "bytes_per_tumour": round(sum(p.stat().st_size for p in (store.derived / "thresholds").iterdir()) / len(store)),
    },
    f"python benchmarks/thresholds.py STORE --queries {arguments.queries} --brute-force {arguments.brute_force}",
)
