"""What a surrogate is to see, and what it is to be trained for, at an equal budget of training.

    python benchmarks/surrogate_ablations.py STORES UNSEEN [--tumours 300] [--epochs 2] [--paper 5] [--networks DIR]

STORES and UNSEEN are folders of stores, each of its own anatomy (`gliodex build STORE --atlas FILE --prior ezhov2021`).
Each network learns from the same tumours for as many epochs; that of Ezhov et al. (2021) sees --paper of each once.
Networks that lie in --networks already are not trained again.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from record import keep

import gliodex
from gliodex.evaluation import SurrogateBenchRequest, compare_surrogates
from gliodex.evaluation.surrogate_benchmark import summarise
from gliodex.learn.surrogate import (
    PAPER_SURROGATE,
    SMALL_SURROGATE,
    SurrogateFile,
    SurrogateSettings,
    train_surrogate,
)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("stores", type=Path)
parser.add_argument("unseen", type=Path)
parser.add_argument("--tumours", type=int, default=300, help="of each store")
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--paper", type=int, default=5)
parser.add_argument("--of-unseen", type=int, default=100, help="tumours of each unseen anatomy")
parser.add_argument("--networks", type=Path, help="folder to keep them in")
arguments = parser.parse_args()

small = replace(SMALL_SURROGATE, patience=arguments.epochs)
asked = {
    "small": (small, arguments.tumours, arguments.epochs),
    "small, distances for travel times": (replace(small, timed=False), arguments.tumours, arguments.epochs),
    "small, sees white, grey and CSF": (replace(small, sees="tissue"), arguments.tumours, arguments.epochs),
    "small, sees CSF alone": (replace(small, sees="csf"), arguments.tumours, arguments.epochs),
    "small, plain L1": (replace(small, loss="l1"), arguments.tumours, arguments.epochs),
    # 16 tumours a step would leave it a dozen steps
    "paper's network": (replace(PAPER_SURROGATE, batch=4), arguments.paper, 1),
}
stores = [gliodex.open_store(path) for path in sorted(arguments.stores.iterdir())]
minutes = {}
with tempfile.TemporaryDirectory() as folder:
    networks = arguments.networks or Path(folder)
    networks.mkdir(exist_ok=True)
    paths = {name: networks / f"{name}.network" for name in asked}
    for name, (design, tumours, epochs) in asked.items():
        if not paths[name].exists():
            train_surrogate(stores, paths[name], SurrogateSettings(design, tumours=tumours, epochs=epochs))
        record = SurrogateFile(paths[name]).record
        minutes[name] = round(record["seconds"] / 60, 1)
        print(name, minutes[name], record["history"], flush=True)
    unseen = tuple(str(path) for path in sorted(arguments.unseen.iterdir()))
    request = SurrogateBenchRequest(tuple(paths.values()), unseen, Path(folder) / "out", arguments.of_unseen)
    rows = compare_surrogates(request)
keep(
    "surrogate_ablations",
    {
        "tumours": arguments.tumours * len(stores),
        "epochs": arguments.epochs,
        "paper_tumours": arguments.paper * len(stores),
        "minutes": minutes,
        "rows": summarise(rows),
    },
    f"python benchmarks/surrogate_ablations.py STORES UNSEEN --tumours {arguments.tumours} "
    f"--epochs {arguments.epochs} --paper {arguments.paper} --of-unseen {arguments.of_unseen}",
)
