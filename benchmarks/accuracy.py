"""How well a store answers for tumours that it has never seen: draws of its own prior, under another seed.

python benchmarks/accuracy.py STORE [--unseen 1000]
"""

import argparse

import numpy as np
from record import interval, keep
from unseen import unseen_masks

import gliodex

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("--unseen", type=int, default=1000)
parser.add_argument("--seed", type=int, default=3)
arguments = parser.parse_args()

store = gliodex.open_store(arguments.store)
if any(campaign.seed == arguments.seed for campaign in store.manifest.campaigns.values()):
    parser.error(f"the store was built with seed {arguments.seed}: choose another one")
index = gliodex.DiceIndex.open(store)
queries = unseen_masks(store, arguments.unseen, arguments.seed)
best = np.array([hits.scores[0] for hits in index.search_many([(core, whole) for core, whole in queries], k=1)])
snapshots = max(int(campaign.prior.get("snapshots", 0)) for campaign in store.manifest.campaigns.values())
keep(
    "accuracy_large" if snapshots else "accuracy",
    {
        "tumours": len(store),
        "snapshots": snapshots,
        "unseen": len(best),
        "seed": arguments.seed,
        "mean_best_dice_sum": round(float(best.mean()), 4),
        "interval_95": interval(best),
        "worst_twentieth": round(float(np.quantile(best, 0.05)), 3),
    },
    f"python benchmarks/accuracy.py STORE --unseen {arguments.unseen} --seed {arguments.seed}",
)
