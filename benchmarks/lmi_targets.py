"""What a network is to tell, and in which scale: Ezhov et al.'s (2023) Table 2 at an equal budget of training.

    python benchmarks/lmi_targets.py STORE LEARN_FROM [--tumours 50000] [--epochs 10] [--paper 300] [--unseen 1000]

Each network learns from the same tumours for as many epochs, and is then asked for the same unseen tumours. The
paper's own network, on all voxels, sees --paper tumours once, which takes two cores longer than any other; 0 leaves it
out. A store with mass effect has rows 4 to 6, no other, and a result of its own.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from record import keep

import gliodex
from gliodex.evaluation.lmi_benchmark import (
    NETWORKS,
    Judge,
    Unseen,
    outlined_tumours,
    unaware,
)
from gliodex.evaluation.lmi_table import ONE_NETWORK, PUSHING_PAPER, Row, summarise
from gliodex.learn.lmi import (
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
from gliodex.simulate import GrowthParameters, pushes
from gliodex.store.cores import available_cores

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
pushing = pushes(store.manifest.model)
small = replace(SMALL_GROWTH, name="equal-small", patience=arguments.epochs)
paper = replace(PAPER_GROWTH, name="equal-paper", batch=8)  # 32 tumours a step would leave it ten steps
records: dict[tuple[str, Targets], dict[str, object]] = {}


def learned(design: GrowthDesign, targets: Targets, tumours: int, epochs: int) -> NetworkFile:
    settings = GrowthSettings(design, targets, tumours=tumours, epochs=epochs)
    record = train_growth(store, settings, learn_from=arguments.learn_from)
    print(design.name, targets, record["history"], record["seconds"], flush=True)
    records[design.name, targets] = record
    return NetworkFile(growth_path(store, design.name, targets))


asked: dict[str, tuple[GrowthDesign, tuple[Targets, ...], int, int]] = {}
if arguments.paper:  # first: whoever watches sees early whether the budgets are alike
    linear = (Targets("mu+seed", "linear"),)
    asked[f"paper's network: {ONE_NETWORK}, linear"] = (paper, linear, arguments.paper, 1)
for name, targets in NETWORKS.items():
    if name in PUSHING_PAPER or not pushing:
        asked[name] = (small, targets, arguments.tumours, arguments.epochs)
readers = {
    name: unaware(GrowthReader(store, tuple(learned(design, one, tumours, epochs) for one in targets)), SEED)
    for name, (design, targets, tumours, epochs) in asked.items()
}
judge = Judge(store)
scores = []


def tell(reader: GrowthReader, tumour: Unseen) -> tuple[GrowthParameters, Row]:
    begun = time.perf_counter()
    told = reader(tumour.core, tumour.whole).parameters
    return told, {"seconds": time.perf_counter() - begun, "pressure": tumour.parameters.mass_effect / 1000}


with ThreadPoolExecutor(available_cores()) as pool:
    for n, tumour in enumerate(islice(outlined_tumours(store, SEED), arguments.unseen), 1):
        told = {name: tell(reader, tumour) for name, reader in readers.items()}
        judged = pool.map(lambda one, tumour=tumour: judge(tumour, one[0]), told.values())
        scores += [{"way": name} | row | found for (name, (_, row)), found in zip(told.items(), judged, strict=True)]
        if n % 20 == 0:
            print(n, flush=True)
for design, targets in records:
    growth_path(store, design, targets).unlink()
keep(
    "lmi_targets_mass_effect" if pushing else "lmi_targets",
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
    f"python benchmarks/lmi_targets.py {'PUSHING PUSHING' if pushing else 'STORE LEARN_FROM'} "
    f"--tumours {arguments.tumours} --epochs {arguments.epochs} --paper {arguments.paper} --unseen {arguments.unseen}",
)
