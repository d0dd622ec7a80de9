"""What a network is to tell, and in which scale: paper 001's Table 2, rows 1 to 3, at an equal budget of training.

    python benchmarks/lmi_targets.py STORE LEARN_FROM [--tumours 50000] [--epochs 10] [--paper 300] [--unseen 1000]

Each network learns from the same tumours for as many epochs, and is then asked for the same unseen tumours. The
paper's own network, on all voxels, sees --paper tumours once, which takes two cores longer than any other.
"""

import argparse
import time
from dataclasses import replace
from itertools import islice

from record import keep

import gliodex
from gliodex.learn.growth import (
    PAPER_GROWTH,
    SMALL_GROWTH,
    GrowthDesign,
    GrowthReader,
    GrowthSettings,
    NetworkFile,
    Targets,
    growth_path,
    train_growth,
)
from gliodex.retrieval.benchmark.growth_networks import (
    NETWORKS,
    Judge,
    outlined_tumours,
    unaware,
)
from gliodex.retrieval.benchmark.growth_table import ONE_NETWORK, summarise

SEED = 3  # of the unseen tumours

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("learn_from")
parser.add_argument("--tumours", type=int, default=50_000)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--paper", type=int, default=300)
parser.add_argument("--unseen", type=int, default=1000)
arguments = parser.parse_args()
store = gliodex.open_store(arguments.store)
small = replace(SMALL_GROWTH, name="equal-small", patience=arguments.epochs)
paper = replace(PAPER_GROWTH, name="equal-paper", batch=8)  # 32 tumours a step would leave it ten steps
records: dict[tuple[str, Targets], dict[str, object]] = {}


def learned(design: GrowthDesign, targets: Targets, tumours: int, epochs: int) -> NetworkFile:
    settings = GrowthSettings(design, targets, tumours=tumours, epochs=epochs)
    record = train_growth(store, settings, learn_from=arguments.learn_from)
    print(design.name, targets, record["history"], record["seconds"], flush=True)
    records[design.name, targets] = record
    return NetworkFile(growth_path(store, design.name, targets))


# the paper's comes first: whoever watches sees early whether the budgets are alike
asked = {
    f"paper's network: {ONE_NETWORK}, linear": (paper, (Targets("mu+seed", "linear"),), arguments.paper, 1),
    **{name: (small, targets, arguments.tumours, arguments.epochs) for name, targets in NETWORKS.items()},
}
readers = {
    name: unaware(GrowthReader(store, tuple(learned(design, one, tumours, epochs) for one in targets)), SEED)
    for name, (design, targets, tumours, epochs) in asked.items()
}
judge = Judge(store)
scores = []
for n, tumour in enumerate(islice(outlined_tumours(store, SEED), arguments.unseen), 1):
    for name, reader in readers.items():
        begun = time.perf_counter()
        told = reader(tumour.core, tumour.whole).parameters
        scores.append({"way": name, "seconds": time.perf_counter() - begun} | judge(tumour, told))
    if n % 100 == 0:
        print(n, flush=True)
for design, targets in records:
    growth_path(store, design, targets).unlink()
keep(
    "lmi_targets",
    {
        "tumours": arguments.tumours,
        "epochs": arguments.epochs,
        "paper_tumours": arguments.paper,
        "minutes": {
            f"{name}: {targets.name}, {targets.scale}": round(float(str(record["seconds"])) / 60, 1)
            for (name, targets), record in records.items()
        },
        "rows": summarise(scores),
    },
    f"python benchmarks/lmi_targets.py STORE LEARN_FROM --tumours {arguments.tumours} --epochs {arguments.epochs} "
    f"--paper {arguments.paper} --unseen {arguments.unseen}",
)
