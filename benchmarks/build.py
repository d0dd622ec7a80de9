"""How long a store takes from nothing to searchable, and what its files weigh.

python benchmarks/build.py STORE --count 24000 [--workers 2]
"""

import argparse
import os
import subprocess
import sys
import time

from record import keep

import gliodex

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("--count", type=int, default=24000)
parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
arguments = parser.parse_args()

begun = time.perf_counter()
command = [sys.executable, "-m", "gliodex.cli.main", "build", arguments.store, "--count", str(arguments.count)]
subprocess.run([*command, "--seed", "1", "--workers", str(arguments.workers)], check=True)
minutes = (time.perf_counter() - begun) / 60
store = gliodex.open_store(arguments.store)
keep(
    "build",
    {
        "tumours": len(store),
        "workers": arguments.workers,
        "seed": 1,
        "minutes": round(minutes, 1),
        "tumours_per_second": round(len(store) / minutes / 60, 1),
        "segments": len(store.segments),
    },
    f"python benchmarks/build.py STORE --count {arguments.count} --workers {arguments.workers}",
)
