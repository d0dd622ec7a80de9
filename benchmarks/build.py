"""How long a store takes from nothing to indexed and verified, its largest memory, and what its files weigh.

python benchmarks/build.py STORE --count 50000 [--workers 2] [--model mass-effect]
"""

import argparse
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from record import keep

import gliodex


def tree(process: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [process]
    for parent in found:
        for tasks in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in tasks.read_text().split()]
    return found


def resident_bytes(process: int) -> int:
    """Memory that only one of the processes of a tree holds: what they share counts once, in the largest."""
    private = shared = 0
    for one in tree(process):
        try:
            fields = dict(
                line.split(":", 1) for line in Path(f"/proc/{one}/status").read_text().splitlines() if ":" in line
            )
            private += int(fields["RssAnon"].split()[0])
            shared = max(shared, int(fields["RssFile"].split()[0]))
        except (OSError, KeyError):
            continue  # it has just ended
    return 1024 * (private + shared)


def run(*arguments: str) -> tuple[float, int]:
    """Run a gliodex command; return its minutes and the most memory that it held."""
    begun, largest = time.perf_counter(), [0]
    process = subprocess.Popen([sys.executable, "-m", "gliodex.cli.main", *arguments])

    def watch() -> None:
        while process.poll() is None:
            largest[0] = max(largest[0], resident_bytes(process.pid))
            time.sleep(0.5)

    watcher = threading.Thread(target=watch)
    watcher.start()
    if process.wait():
        sys.exit(f"gliodex {' '.join(arguments)} failed")
    watcher.join()
    return (time.perf_counter() - begun) / 60, largest[0]


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("--count", type=int, default=50000)
parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
parser.add_argument("--model", default="fk")
arguments = parser.parse_args()

count, workers = str(arguments.count), str(arguments.workers)
load = os.getloadavg()[0]
chosen = ("--seed", "1", "--workers", workers, "--model", arguments.model)
build_minutes, build_bytes = run("build", arguments.store, "--count", count, *chosen)
verify_minutes, verify_bytes = run("verify", arguments.store)
store = gliodex.open_store(arguments.store)
(campaign,) = store.manifest.campaigns.values()
name = "build_large" if "snapshots" in campaign.prior else "build"
keep(
    name if arguments.model == "fk" else "build_mass_effect",
    {
        "tumours": len(store),
        "snapshots": campaign.prior.get("snapshots", 0),
        "draws": campaign.draws,
        "workers": arguments.workers,
        "seed": 1,
        "load_before": round(load, 2),
        "minutes": round(build_minutes + verify_minutes, 1),
        "minutes_of_these_verify": round(verify_minutes, 1),
        "tumours_per_second": round(len(store) / build_minutes / 60, 1),
        "peak_memory_gb": round(max(build_bytes, verify_bytes) / 1e9, 2),
        "segments": len(store.segments),
        "store_bytes_per_tumour": round(sum(s.bytes for s in store.segments) / len(store)),
        "index_bytes_per_tumour": round(sum(p.stat().st_size for p in (store.derived / "dice").iterdir()) / len(store)),
    },
    f"python benchmarks/build.py STORE --count {arguments.count} --workers {arguments.workers}"
    + (f" --model {arguments.model}" if arguments.model != "fk" else ""),
)
