"""Whether transitional MCMC finds with a surrogate what it finds with the solver (Ezhov et al. 2021, Table I).

    python benchmarks/surrogate_tmcmc.py STORE NETWORK FOLDER [--patients 5] [--samples 512]

FOLDER holds a folder a patient with seg.nii.gz, in SRI24 space. Each is looked at in the atlas, with the paper's prior
and begun around the matches: twice with the solver, whose two answers differ by chance alone, and once with the
surrogate. The most probable tumours are compared, all simulated by the solver. The paper's own differences are those
of its Table I; its seeds are in units of a cube of 128 voxels of 1 mm.
"""

import argparse
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from record import keep

import gliodex
from gliodex.evaluation.held_out_sets import cases_of, segmentation_of
from gliodex.learn.surrogate import named_surrogate
from gliodex.retrieval.imaging.patient import Patient
from gliodex.retrieval.imaging.spaces import space_map
from gliodex.retrieval.personalization import dice, personalize_with
from gliodex.retrieval.refinement import TransitionalRefinement, TransitionalSettings
from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings, GrowthParameters

# D in mm²/day, ρ in 1/day, T in days, seed in units of the cube: solver, then surrogate (Ezhov et al. 2021, Table I)
PAPER = (
    ((0.08994, 0.01550, 572.582, 0.3098, 0.6748, 0.2819), (0.08976, 0.01657, 553.019, 0.3071, 0.6657, 0.2818)),
    ((0.08920, 0.01993, 503.146, 0.6121, 0.6706, 0.3411), (0.08945, 0.02882, 418.631, 0.6217, 0.6445, 0.3316)),
    ((0.08998, 0.01555, 572.128, 0.4129, 0.3544, 0.2900), (0.08990, 0.02897, 418.946, 0.4230, 0.3678, 0.2901)),
    ((0.08988, 0.01372, 609.455, 0.3293, 0.5657, 0.2701), (0.08920, 0.02085, 493.141, 0.3578, 0.5839, 0.2761)),
    ((0.08938, 0.01080, 686.923, 0.5530, 0.6203, 0.3147), (0.08360, 0.01066, 687.841, 0.5701, 0.6259, 0.3276)),
)


def apart(a: GrowthParameters, b: GrowthParameters) -> dict[str, float]:
    """How far two tumours' parameters are apart: √(DT) and √(ρT) relative to the first, seeds in mm."""
    spread = [(p.diffusivity * p.duration) ** 0.5 for p in (a, b)]
    growth = [(p.proliferation * p.duration) ** 0.5 for p in (a, b)]
    return {
        "diffusion": abs(spread[1] / spread[0] - 1),
        "growth": abs(growth[1] / growth[0] - 1),
        "seed_mm": float(np.linalg.norm(np.subtract(a.seed_mm, b.seed_mm))),
    }


def of_paper(values: tuple[float, ...]) -> GrowthParameters:
    diffusivity, proliferation, days, *seed = values
    x, y, z = (128 * v for v in seed)
    return GrowthParameters((x, y, z), diffusivity, proliferation, days)


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(float(np.median([row[name] for row in rows])), 3) for name in rows[0]}


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("network", type=Path)
parser.add_argument("folder", type=Path)
parser.add_argument("--patients", type=int, default=5)
parser.add_argument("--samples", type=int, default=512)
arguments = parser.parse_args()
store = gliodex.open_store(arguments.store)
index, spatial = gliodex.DiceIndex.open(store), space_map("sri24", store.atlas)
solver = FisherKolmogorov(store.atlas, FisherKolmogorovSettings.from_record(store.manifest.model, store.path, ""))
ways = {"solver": (1, None), "solver again": (2, None), "surrogate": (3, named_surrogate(arguments.network))}
rows = []
for case in itertools.islice(cases_of(arguments.folder), arguments.patients):
    found = {}
    for way, (seed, surrogate) in ways.items():
        settings = TransitionalSettings(arguments.samples, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            stage = TransitionalRefinement(
                settings, "atlas", "paper", True, checkpoint=Path(folder) / "run", surrogate=surrogate
            )
            posterior = personalize_with(
                store, index, Patient(segmentation_of(case), spatial), refinement=stage
            ).posterior
        found[way] = posterior
    best = {way: posterior.best.parameters for way, posterior in found.items()}
    grown = {way: solver(replace(one, seed_mm=solver.nearest_seed(one.seed_mm))) for way, one in best.items()}
    row = {"seconds": {way: round(p.seconds, 1) for way, p in found.items()}}
    row["evaluations"] = {way: p.evaluations for way, p in found.items()}
    for way in ("solver again", "surrogate"):
        row[way] = apart(best["solver"], best[way])
        for level in (0.2, 0.4, 0.8):
            a, b = (grown[name] >= np.float32(level) for name in ("solver", way))
            row[way][f"dice_{level:g}"] = dice(a, b)
    rows.append(row)
    print(len(rows), row, flush=True)
keep(
    "surrogate_tmcmc",
    {
        "patients": len(rows),
        "samples": arguments.samples,
        "medians": {way: medians([row[way] for row in rows]) for way in ("solver again", "surrogate")},
        "paper": medians([apart(of_paper(a), of_paper(b)) for a, b in PAPER]),
        "seconds": {way: round(float(np.median([row["seconds"][way] for row in rows])), 1) for way in ways},
        "rows": rows,
    },
    f"python benchmarks/surrogate_tmcmc.py STORE NETWORK FOLDER --patients {arguments.patients} "
    f"--samples {arguments.samples}",
)
