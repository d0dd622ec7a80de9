"""How fast the forward solver is, as the builder calls it: voxel updates a second, and what a kept tumour costs.

python benchmarks/solver.py [--tumours 100] [--draws 5000]
"""

import argparse
import time

import numpy as np
from record import keep

from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, Prior, load_atlas
from gliodex.simulate.early_rejection import SizePreview
from gliodex.simulate.prior import tissue_voxels
from gliodex.simulate.sampler import TumourMaker

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--tumours", type=int, default=100)
parser.add_argument("--draws", type=int, default=5000)
parser.add_argument("--seed", type=int, default=11)
arguments = parser.parse_args()

atlas, prior = load_atlas(), Prior()
solver, tissue = FisherKolmogorov(atlas), tissue_voxels(atlas)
preview = SizePreview(atlas, FisherKolmogorovSettings(), prior)
seconds, updates, steps, index = [], [], [], 0
solver(prior.draw(atlas, tissue, arguments.seed, 0))
while len(seconds) < arguments.tumours:
    parameters = prior.draw(atlas, tissue, arguments.seed, index)
    index += 1
    look = preview(parameters)
    if look.hopeless:
        continue
    begun = time.perf_counter()
    run = solver.grow(parameters, prior.whole_ml[1], look.reach)
    took = time.perf_counter() - begun
    volumes = (float((run.density >= level).sum()) * atlas.frame.voxel_ml for level in (0.2, 0.6))
    if not run.outgrew and prior.keeps(*volumes):
        seconds.append(took)
        updates.append(run.voxel_updates)
        steps.append(run.steps)
maker = TumourMaker(atlas, FisherKolmogorovSettings(), prior, arguments.seed)
maker.settle(0, 32)
begun = time.perf_counter()
batch = maker.settle(0, arguments.draws)
all_in = (time.perf_counter() - begun) / len(batch.tumours)
keep(
    "solver",
    {
        "tumours": len(seconds),
        "seed": arguments.seed,
        "threads": 1,
        "mean_ms": round(float(np.mean(seconds)) * 1e3, 1),
        "median_ms": round(float(np.median(seconds)) * 1e3, 1),
        "giga_updates_per_second": round(sum(updates) / sum(seconds) / 1e9, 2),
        "mean_steps": round(float(np.mean(steps))),
        "draws": arguments.draws,
        "kept": len(batch.tumours),
        "all_in_ms": round(all_in * 1e3, 1),
    },
    f"python benchmarks/solver.py --tumours {arguments.tumours} --draws {arguments.draws} --seed {arguments.seed}",
)
