"""Are the sampler's posteriors right? Ranks of truths among posterior samples, which shall be uniform, and the share of
voxels whose density lies in its 90 % interval.

    python benchmarks/calibration.py [--number 100] [--samples 512]

Takes twenty minutes on 2 cores.
"""

import argparse
import time

import numpy as np
from record import keep

from gliodex.evaluation.posterior_calibration import REDUCED, checked, coarse, uniformity
from gliodex.evaluation.scoring import bootstrap
from gliodex.simulate import load_atlas

parser = argparse.ArgumentParser()
parser.add_argument("--number", type=int, default=100)
parser.add_argument("--samples", type=int, default=REDUCED.samples)
parser.add_argument("--seed", type=int, default=1)
arguments = parser.parse_args()
settings = type(REDUCED)(samples=arguments.samples, steps=REDUCED.steps)
begun, rows, coverages = time.perf_counter(), [], []
for n, (ranks, coverage) in enumerate(
    checked(coarse(load_atlas("icbm152")), arguments.number, settings, arguments.seed), 1
):
    rows.append(ranks)
    coverages.append(coverage)
    print(f"{n} of {arguments.number}, {time.perf_counter() - begun:.0f} s", flush=True)
columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
found = {name: uniformity(values) for name, values in columns.items()}
for name, values in columns.items():
    print(f"{name:14} {np.histogram(values, 5, (0, 1))[0]} p = {found[name]:.3f}")
keep(
    "calibration",
    {
        "observations": arguments.number,
        "samples": settings.samples,
        "steps": settings.steps,
        "seed": arguments.seed,
        "p": {name: round(value, 4) for name, value in found.items()},
        "smallest_p": round(min(found.values()), 4),
        "histograms": {name: np.histogram(values, 5, (0, 1))[0].tolist() for name, values in columns.items()},
        "coverage": [round(value, 3) for value in (np.mean(coverages), *bootstrap(np.array(coverages)))],
        "seconds": round(time.perf_counter() - begun),
    },
    f"python benchmarks/calibration.py --number {arguments.number} --samples {arguments.samples}",
)
