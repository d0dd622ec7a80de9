"""How fast the exact Dice search is, warm and from a cold process, on a store and on replicas of it.

    python benchmarks/search.py STORE [--queries 200] [--replicas 1]

Queries are stored tumours shifted by up to three voxels. A replica lists the same segments again under new ids: the
work of a store of that size, though its tumours are not new.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
from record import keep

import gliodex
from gliodex.index.dice import DiceIndex, build_index
from gliodex.index.dice_file import Directory, data_path, mapped

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("--queries", type=int, default=200)
parser.add_argument("--replicas", type=int, default=1)
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


def replicated(store: gliodex.TumorStore, directory: Directory, copies: int) -> DiceIndex:
    segments, packed, first = [], {}, 0
    for copy in range(copies):
        for record in store.manifest.segments:
            name = f"{record.name}-{copy}"
            segments.append(replace(record, name=name, first_id=first))
            packed[name] = directory.segments[record.name]
            first += record.count
    many = gliodex.open_store(store.path)
    many.manifest = replace(store.manifest, segments=tuple(segments), next_id=first)
    return DiceIndex(many, mapped(store.path / "derived" / "dice", directory), replace(directory, segments=packed))


store = gliodex.open_store(arguments.store)
directory = build_index(store)
index = replicated(store, directory, arguments.replicas) if arguments.replicas > 1 else DiceIndex.open(store)
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
cold = [
    float(
        subprocess.run([sys.executable, "-c", COLD, arguments.store], capture_output=True, text=True, check=True).stdout
    )
    for _ in range(5)
]
keep(
    "search" if arguments.replicas == 1 else "search_replicas",
    {
        "tumours": len(index),
        "distinct_tumours": len(store),
        "queries": len(queries),
        "seed": arguments.seed,
        "threads": 1,
        "median_ms": round(float(np.median(seconds)) * 1e3, 2),
        "p99_ms": round(float(np.quantile(seconds, 0.99)) * 1e3, 2),
        "median_compared": float(np.median(compared)),
        "cold_process_s": round(float(np.median(cold)), 2),
        "index_bytes_per_tumour": round(data_path(store.path / "derived" / "dice").stat().st_size / len(store)),
        "store_bytes_per_tumour": round(sum(s.bytes for s in store.segments) / len(store)),
    },
    f"python benchmarks/search.py STORE --queries {arguments.queries} --replicas {arguments.replicas}",
)
