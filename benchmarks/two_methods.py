"""Whether the learned posterior is the sampler's: two ways to one observation's posterior, told apart by C2ST.

    python benchmarks/two_methods.py [--simulations 1000] [--rounds 8] [--repeats 3]

C2ST is how often a classifier tells draws of one from those of the other: 0.5 where they are alike, 1 where they are
not. Takes eight minutes on 2 cores.
"""

import argparse
import time

import numpy as np
import torch
from record import keep
from sbi.utils.metrics import c2st

from gliodex.evaluation.rat_phantom import small_animal, small_brain
from gliodex.evaluation.stochastic_segmentation import NoisyOutlines
from gliodex.learn.npe.posterior_network import NeuralSettings, infer_from_labels
from gliodex.retrieval.refinement import TransitionalSettings
from gliodex.retrieval.refinement.smc import sample
from gliodex.simulate import load_atlas

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--simulations", type=int, default=1000)
parser.add_argument("--rounds", type=int, default=8)
parser.add_argument("--repeats", type=int, default=3)
arguments = parser.parse_args()
problem = NoisyOutlines(small_animal(small_brain(load_atlas("icbm152"))))
begun = time.perf_counter()
sampled = sample(problem, TransitionalSettings(2048, 32))
sampler_seconds = time.perf_counter() - begun
chosen = np.random.default_rng(0).choice(len(sampled.points), 1000, replace=False)
rows = []
for repeat in range(1, arguments.repeats + 1):
    begun = time.perf_counter()
    settings = NeuralSettings(arguments.simulations, arguments.rounds, seed=repeat)
    learned = infer_from_labels(problem, problem.observed, settings)
    seconds = time.perf_counter() - begun
    drawn = learned.draw(1000, repeat)
    apart = c2st(*(torch.from_numpy(points).float() for points in (sampled.points[chosen], drawn)))
    rows.append({"c2st": round(float(apart), 3), "seconds": round(seconds, 1), "share": learned.rounds[-1].share})
    print(rows[-1], flush=True)
keep(
    "two_methods",
    {
        "simulations": arguments.simulations * arguments.rounds,
        "rounds": arguments.rounds,
        "sampler_evaluations": sampled.evaluations,
        "sampler_seconds": round(sampler_seconds, 1),
        "median_c2st": float(np.median([row["c2st"] for row in rows])),
        "repeats": rows,
    },
    f"python benchmarks/two_methods.py --simulations {arguments.simulations} --rounds {arguments.rounds}",
)
