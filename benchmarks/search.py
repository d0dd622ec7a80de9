"""How fast the exact Dice search is: one after another, a hundred at once, and from a cold process.

python benchmarks/search.py STORE [--queries 200]

Queries are stored tumours shifted by up to three voxels.
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np
from record import keep

import gliodex

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("--queries", type=int, default=200)
parser.add_argument("--seed", type=int, default=5)
arguments = parser.parse_args()

COLD = """
import sys, time
begun = time.perf_counter()
import numpy as np, gliodex
store = gliodex.open_store(sys.argv[1])
index = gliodex.DiceIndex.open(store)
mask = np.zeros(store.frame.shape, bool); mask[50:70, 50:70, 50:70] = True
index.search(mask, mask, 15)
print(time.perf_counter() - begun)
"""


store = gliodex.open_store(arguments.store)
index = gliodex.DiceIndex.open(store)
rng = np.random.default_rng(arguments.seed)
queries = []
for tumour in rng.choice(store.ids, arguments.queries):
    shifted = np.roll(store.density(int(tumour)), rng.integers(-3, 4, 3), (0, 1, 2))
    queries.append((shifted >= np.float32(0.6), shifted >= np.float32(0.2)))
index.search(*queries[0])
seconds, compared = [], []
for core, whole in queries:
    begun = time.perf_counter()
    hits = index.search(core, whole, 15)
    seconds.append(time.perf_counter() - begun)
    compared.append(hits.evaluated)
batch = queries[:100]
rates = []
for _ in range(3):
    begun = time.perf_counter()
    index.search_many(batch, 15)
    rates.append(len(batch) / (time.perf_counter() - begun))
cold = [
    float(
        subprocess.run([sys.executable, "-c", COLD, arguments.store], capture_output=True, text=True, check=True).stdout
    )
    for _ in range(5)
]
keep(
    "search_large" if len(store) > 100_000 else "search",
    {
        "tumours": len(index),
        "queries": len(queries),
        "seed": arguments.seed,
        "threads": 1,
        "median_ms": round(float(np.median(seconds)) * 1e3, 2),
        "p99_ms": round(float(np.quantile(seconds, 0.99)) * 1e3, 2),
        "batch_per_second": round(float(np.median(rates))),
        "batch_threads": len(os.sched_getaffinity(0)),
        "median_compared": float(np.median(compared)),
        "cold_process_s": round(float(np.median(cold)), 2),
        "index_bytes_per_tumour": round(sum(p.stat().st_size for p in (store.derived / "dice").iterdir()) / len(store)),
        "store_bytes_per_tumour": round(sum(s.bytes for s in store.segments) / len(store)),
    },
    f"python benchmarks/search.py STORE --queries {arguments.queries}",
)
