"""What more tumours gain a network that tells growth: its errors by how many it has learned from.

    python benchmarks/lmi_curve.py STORE LEARN_FROM [--tumours 5000,15000,50000] [--views 1500000] [--unseen 500]

Each network outlines as many tumours in all (--views), so that all learn for as long. Takes a quarter of an hour each
on 2 cores.
"""

import argparse
from dataclasses import replace
from itertools import islice

from record import keep

import gliodex
from gliodex.evaluation.lmi_benchmark import Judge, outlined_tumours, unaware
from gliodex.evaluation.lmi_table import summarise
from gliodex.learn.lmi import SMALL_GROWTH, GrowthReader, GrowthSettings, NetworkFile, growth_path, train_growth

SEED = 3  # of the unseen tumours

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("learn_from")
parser.add_argument("--tumours", default="5000,15000,50000")
parser.add_argument("--views", type=int, default=1_500_000)
parser.add_argument("--unseen", type=int, default=500)
arguments = parser.parse_args()
store = gliodex.open_store(arguments.store)
judge = Judge(store)
unseen = list(islice(outlined_tumours(store, SEED), arguments.unseen))
rows = []
for tumours in map(int, arguments.tumours.split(",")):
    epochs = max(1, round(arguments.views / tumours))
    design = replace(SMALL_GROWTH, name=f"curve-{tumours}", patience=epochs)
    settings = GrowthSettings(design, tumours=tumours, epochs=epochs)
    record = train_growth(store, settings, learn_from=arguments.learn_from)
    path = growth_path(store, design.name, settings.targets)
    reader = unaware(GrowthReader(store, (NetworkFile(path),)), SEED)
    scores = [{"way": "network", "seconds": 0.0} | judge(one, reader(one.core, one.whole).parameters) for one in unseen]
    path.unlink()
    row = {"learned_from": tumours, "epochs": len(record["history"]), "minutes": record["seconds"] / 60}
    rows.append(row | {"means": summarise(scores)[0]["means"]})
    print(rows[-1], flush=True)
keep(
    "lmi_curve",
    {"unseen": arguments.unseen, "views": arguments.views, "rows": rows},
    f"python benchmarks/lmi_curve.py STORE LEARN_FROM --tumours {arguments.tumours} --views {arguments.views}",
)
