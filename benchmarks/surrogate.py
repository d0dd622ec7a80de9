"""How well a surrogate says densities on anatomies that it has not seen, beside Ezhov et al.'s (2021) figures.

    python benchmarks/surrogate.py NETWORK STORE... [--tumours 400]

Runs what `gliodex bench surrogate` runs; besides, keeps how the network was trained, and the figures for docs/. The
stores are made with `gliodex build STORE --atlas FILE --prior ezhov2021`, the network with `gliodex train surrogate`.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from record import keep

from gliodex.evaluation import SurrogateBenchRequest, compare_surrogates
from gliodex.evaluation.surrogate_benchmark import summarise
from gliodex.learn.surrogate import named_surrogate

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("networks", type=Path, help="FILE, or several with commas")
parser.add_argument("stores", nargs="+")
parser.add_argument("--tumours", type=int, default=400)
arguments = parser.parse_args()
networks = tuple(Path(name) for name in str(arguments.networks).split(","))
file = named_surrogate(networks[0])
record = file.record
with tempfile.TemporaryDirectory() as folder:
    out = Path(folder) / "out"
    request = SurrogateBenchRequest(networks, tuple(arguments.stores), out, arguments.tumours)
    rows = compare_surrogates(request, lambda what, done, total: print(f"{what}: {done} of {total}", flush=True))
    for name in ("growth", "histograms"):
        shutil.copy(out / f"{name}.png", Path(__file__).parent.parent / "docs" / f"surrogate_{name}.png")
learned = record["run"]["learned_from"]
keep(
    "surrogate",
    {
        "rows": summarise(rows),
        "trained": {key: record[key] for key in ("weights", "seconds", "device", "memory_gb")}
        | {
            "sha256": file.sha256,
            "anatomies": len(learned),
            "tumours": sum(one["tumours"] - record["run"]["held_apart"] for one in learned),
            "epochs": len(record["history"]),
        },
    },
    f"python benchmarks/surrogate.py NETWORK STORE... --tumours {arguments.tumours}",
)
