"""Whether a neural posterior holds the truth, and as often as it says: the synthetic case of Ezhov et al. (2019).

    python benchmarks/neural.py [--repeats 20] [--simulations 250]

Each repeat learns a posterior from simulations of its own. Held-out truths are drawn from the prior within the region
of its last round: those, and only those, it was to learn. Takes half a minute a repeat on 2 cores.
"""

import argparse
import time

import numpy as np
from record import interval, keep

from gliodex.evaluation.rat_phantom import LATER, TRUTH, small_animal, small_brain, whole_ul
from gliodex.learn.npe.posterior_network import NeuralSettings, infer_from_labels
from gliodex.retrieval.forecast.follow_up import NAMES
from gliodex.simulate import load_atlas

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--repeats", type=int, default=20)
parser.add_argument("--simulations", type=int, default=250)
parser.add_argument("--held-out", type=int, default=50)
arguments = parser.parse_args()
problem = small_animal(small_brain(load_atlas("icbm152")))
later = whole_ul(problem, TRUTH, LATER)
levels, held_out, seconds, volumes, widths = [], [], [], [], []
for repeat in range(1, arguments.repeats + 1):
    begun = time.perf_counter()
    found = infer_from_labels(problem, problem.observed, NeuralSettings(arguments.simulations, seed=repeat))
    seconds.append(time.perf_counter() - begun)
    levels.append(found.levels(TRUTH[None], problem.observed[None], 2000)[0])
    points = found.region.draw(50 * arguments.held_out, np.random.default_rng(repeat))
    points = points[((points >= problem.low) & (points <= problem.high)).all(axis=1)][: arguments.held_out]
    possible, maps = problem.label_maps(points, np.random.default_rng(0))
    held_out += found.levels(points[possible], maps, 500).tolist()
    drawn = found.draw(200, repeat)
    ends = np.quantile([whole_ul(problem, point, LATER) for point in drawn[:100]], [0.05, 0.95])
    volumes.append(bool(ends[0] <= later <= ends[1]))
    widths.append(np.ptp(np.quantile(drawn, [0.05, 0.95], axis=0), axis=0))
    print(f"{repeat}: truth denser than {1 - levels[-1]:.2f}, {seconds[-1]:.0f} s", flush=True)
levels, held_out = np.array(levels), np.array(held_out)
keep(
    "neural",
    {
        "repeats": arguments.repeats,
        "simulations": 4 * arguments.simulations,
        "truth_in_90": int((levels < 0.9).sum()),
        "later_volume_in_90": int(np.sum(volumes)),
        "held_out": len(held_out),
        "coverage_50": round(float((held_out < 0.5).mean()), 3),
        "coverage_50_interval": interval((held_out < 0.5).astype(float)),
        "coverage_90": round(float((held_out < 0.9).mean()), 3),
        "coverage_90_interval": interval((held_out < 0.9).astype(float)),
        "width_90": dict(zip(NAMES, np.round(np.mean(widths, axis=0), 3).tolist(), strict=True)),
        "seconds": round(float(np.median(seconds)), 1),
    },
    f"python benchmarks/neural.py --repeats {arguments.repeats} --simulations {arguments.simulations}",
)
