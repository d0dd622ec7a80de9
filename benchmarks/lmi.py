"""Errors of networks that predict growth on held-out tumours, beside Ezhov et al. (2023) and nearest neighbours.

    python benchmarks/lmi.py STORE [--unseen 1000] [--draws 48]

Runs what `gliodex bench lmi` runs; besides, keeps how each network was trained, and the figure for docs/. A store with
mass effect (called PUSHING in what is kept) has a result of its own.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from record import keep

import gliodex
from gliodex.errors import InputError
from gliodex.evaluation import GrowthBenchRequest, compare_growth_networks
from gliodex.evaluation.lmi_benchmark import NETWORKS
from gliodex.evaluation.lmi_table import summarise
from gliodex.learn.lmi import GROWTH_DESIGNS, GrowthReader, NetworkFile
from gliodex.simulate import pushes


def cost_of(file: NetworkFile) -> dict[str, object]:
    """Say what a network has learned from, and for how long."""
    record, learned = file.record, file.record["run"]["learned_from"]
    found = {key: record[key] for key in ("weights", "seconds", "device", "memory_gb")}
    tumours = learned["tumours"] - learned["held_apart"]
    return found | {"tumours": tumours, "epochs": len(record["history"]), "sha256": file.sha256}


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("--unseen", type=int, default=1000)
parser.add_argument("--draws", type=int, default=48)
arguments = parser.parse_args()

store = gliodex.open_store(arguments.store)
pushing = pushes(store.manifest.model)
trained = {}
for design in GROWTH_DESIGNS:
    for name, targets in NETWORKS.items():
        try:
            files = GrowthReader.of(store, design, targets=targets).files
        except InputError:  # never trained
            continue
        trained[f"{design}: {name}"] = [cost_of(file) for file in files]
with tempfile.TemporaryDirectory() as folder:
    request = GrowthBenchRequest(arguments.store, Path(folder) / "out", arguments.unseen, draws=arguments.draws)
    rows = compare_growth_networks(request, lambda what, done, total: print(f"{what}: {done} of {total}", flush=True))
    if not pushing:
        shutil.copy(Path(folder) / "out" / "error_by_growth.png", Path(__file__).parent.parent / "docs")
keep(
    "lmi_mass_effect" if pushing else "lmi",
    {"tumours": len(store), "rows": summarise(rows), "trained": trained},
    f"python benchmarks/lmi.py {'PUSHING' if pushing else 'STORE'} --unseen {arguments.unseen}"
    + (f" --draws {arguments.draws}" if pushing else ""),
)
