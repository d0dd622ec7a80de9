"""What snapshots are worth: best match of unseen tumours against minutes of one core and against bytes, rule by rule.

One store, built with many snapshots of each simulation, holds the stores of all rules that keep fewer: a rule is a
choice of its columns, a smaller store its first simulations. The unseen tumours are ends of simulations, draws of the
same prior under another seed, as a store without snapshots holds them.

    gliodex build STORE --count 45000 --seed 77 --snapshots 8
    python benchmarks/sampling_rules.py STORE [--unseen 600]
"""

import argparse
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from record import interval, keep
from unseen import unseen_masks

import gliodex
from gliodex.simulate import FisherKolmogorovSettings, Prior
from gliodex.simulate.sampler import TumourMaker

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

PICTURE = Path(__file__).parent.parent / "docs" / "sampling_rules.png"
RULES = {0: (0,), 1: (0, 4), 2: (0, 3, 6), 4: (0, 2, 4, 6, 8), 8: tuple(range(9))}
"""Snapshots of each simulation -> which of the store's nine moments are kept."""


def costs(store: gliodex.TumorStore, seed: int) -> tuple[float, float]:
    """Milliseconds of one core: of a simulation with all that is turned down before it, and of each tumour kept."""
    seconds, runs, tumours = {}, {}, {}
    for snapshots in (0, 8):
        maker = TumourMaker(store.atlas, FisherKolmogorovSettings(), Prior(), seed, snapshots)
        maker.settle(0, 64)
        begun = time.perf_counter()
        made = maker.settle(1000, 2000).tumours
        seconds[snapshots] = time.perf_counter() - begun
        runs[snapshots], tumours[snapshots] = len({t.draw for t in made}), len(made)
    each = (seconds[8] - seconds[0]) / (tumours[8] - tumours[0])
    return 1e3 * (seconds[0] - tumours[0] * each) / runs[0], 1e3 * each


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("--unseen", type=int, default=600)
parser.add_argument("--seed", type=int, default=3)
arguments = parser.parse_args()

store = gliodex.open_store(arguments.store)
index = gliodex.DiceIndex.open(store)
run_ms, tumour_ms = costs(store, arguments.seed)
queries = unseen_masks(store, arguments.unseen, arguments.seed)
scores = np.stack([index.compare(store.ids, core, whole).sum(axis=0).astype(np.float32) for core, whole in queries])
moment = np.concatenate([store.segment(s).column("snapshot") for s in store.segments])
runs = np.unique(store.trajectories, return_inverse=True)[1]
sizes = np.concatenate([store.segment(s)._chunk_index[:, 1].astype(np.int64) for s in store.segments])

curves = {}
for snapshots, kept in RULES.items():
    curve = []
    for count in np.unique(np.geomspace(400, runs.max() + 1, 6).astype(int)):
        chosen = np.isin(moment, kept) & (runs < count)
        best = scores[:, chosen].max(axis=1)
        minutes = (count * run_ms + int(chosen.sum()) * tumour_ms) / 6e4
        curve.append(
            {
                "simulations": int(count),
                "tumours": int(chosen.sum()),
                "core_minutes": round(minutes, 3),
                "megabytes": round(float(sizes[chosen].sum()) / 1e6, 1),
                "mean_best_dice_sum": round(float(best.mean()), 4),
                "interval_95": interval(best),
            }
        )
    curves[snapshots] = curve
keep(
    "sampling_rules",
    {
        "unseen": arguments.unseen,
        "seed": arguments.seed,
        "milliseconds_a_simulation": round(run_ms, 1),
        "milliseconds_a_tumour": round(tumour_ms, 1),
        "curves": {str(k): v for k, v in curves.items()},
    },
    f"python benchmarks/sampling_rules.py STORE --unseen {arguments.unseen} --seed {arguments.seed}",
)
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
for axis, column, label in zip(
    axes, ("core_minutes", "megabytes", "tumours"), ("core-minutes", "megabytes", "tumours"), strict=True
):
    for (snapshots, curve), shade in zip(curves.items(), plt.get_cmap("viridis")(np.linspace(0, 0.85, 5)), strict=True):
        values = [[point[name] for point in curve] for name in (column, "mean_best_dice_sum")]
        axis.plot(*values, marker="o", markersize=3, color=shade, label=f"{snapshots} snapshots")
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="x", labelsize=8)
    axis.set_xlabel(label)
    axis.grid(visible=True, alpha=0.3)
axes[0].set_ylabel("mean best Dice sum, of 2")
axes[0].legend(frameon=False)
PICTURE.parent.mkdir(exist_ok=True)
figure.savefig(PICTURE, dpi=110)
