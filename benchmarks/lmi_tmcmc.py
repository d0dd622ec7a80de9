"""Agreement of network and sampler on patients: Dice of both densities at 0.01 (Ezhov et al. 2023, Fig. 6).

    python benchmarks/lmi_tmcmc.py STORE FOLDER [--patients 10] [--samples 1024]

FOLDER holds a folder a patient with seg.nii.gz, in SRI24 space. All look at the patient in the atlas: the network's
first answer, simulated; what `--refine lmi` makes of it; and transitional MCMC with the store's ranges, begun around
the matches: its most probable tumour, and the mean density of its posterior. The first answer and that tumour are also
held against the patient's outlines, at the thresholds that fit each best. Takes some minutes a patient on 2 cores.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from record import interval, keep

import gliodex
from gliodex.evaluation.held_out_sets import cases_of, segmentation_of
from gliodex.learn.lmi import GrowthReader
from gliodex.retrieval.imaging.patient import Patient
from gliodex.retrieval.imaging.spaces import space_map
from gliodex.retrieval.personalization import dice, personalize_with
from gliodex.retrieval.refinement.objective import DiceObjective
from gliodex.retrieval.refinement.refinement_options import Lmi, RefinementContext, Tmcmc
from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("folder", type=Path)
parser.add_argument("--patients", type=int, default=10)
parser.add_argument("--samples", type=int, default=1024)
arguments = parser.parse_args()
store = gliodex.open_store(arguments.store)
reader = GrowthReader.of(store)
solver = FisherKolmogorov(store.atlas, FisherKolmogorovSettings.from_record(store.manifest.model, store.path, ""))
index, spatial = gliodex.DiceIndex.open(store), space_map("sri24", store.atlas)
lmi = Lmi(simulation_space="atlas")
choice = Tmcmc(simulation_space="atlas", prior="store", init="matches", particles=arguments.samples)


def alike(one: np.ndarray, other: np.ndarray, level: float) -> float | None:
    a, b = (values >= np.float32(level) for values in (one, other))
    return round(dice(a, b), 3) if a.any() or b.any() else None


rows = []
for case in cases_of(arguments.folder)[: arguments.patients]:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        found = personalize_with(
            store,
            index,
            Patient(segmentation_of(case), spatial),
            refinement=choice.stage(RefinementContext(Path(folder))),
        )
        sampled_s = time.perf_counter() - begun
        refined = personalize_with(
            store, index, Patient(segmentation_of(case), spatial), refinement=lmi.stage(RefinementContext(Path(folder)))
        )
    begun = time.perf_counter()
    told = reader(found.core_atlas, found.whole_atlas)
    told_s = time.perf_counter() - begun
    told_growth = replace(told.parameters, seed_mm=solver.nearest_seed(told.parameters.seed_mm))
    density = solver(told_growth)
    fit = DiceObjective(solver, found.core_atlas, found.whole_atlas, store.thresholds)
    best = found.posterior.best.parameters
    row = {"seconds": round(sampled_s, 1), "network_ms": round(1e3 * told_s, 1), "farther": told.farther}
    row |= {"network_fits": round(sum(fit(told_growth).dice), 3), "sampler_fits": round(sum(fit(best).dice), 3)}
    mean = found.posterior.maps(0.1).mean
    for level in (0.01, 0.1, 0.8):
        row[f"dice_{level:g}"] = alike(density, found.density_atlas, level)
    row["mean_dice_0.01"] = alike(density, mean, 0.01)
    row["refined_dice_0.01"] = alike(refined.density_atlas, found.density_atlas, 0.01)
    row["refined_mean_dice_0.01"] = alike(refined.density_atlas, mean, 0.01)
    rows.append(row)
    print(len(rows), row, flush=True)
values = np.array([row["dice_0.01"] for row in rows])
others = {
    name: np.array([row[name] for row in rows])
    for name in ("mean_dice_0.01", "refined_dice_0.01", "refined_mean_dice_0.01")
}
keep(
    "lmi_tmcmc",
    {
        "patients": len(rows),
        "samples": arguments.samples,
        "dice_0.01": round(float(values.mean()), 3),
        "interval_95": interval(values),
        "median": round(float(np.median(values)), 3),
        "fits": [round(float(np.mean([row[f"{who}_fits"] for row in rows])), 3) for who in ("network", "sampler")],
        "others": {name: [round(float(column.mean()), 3), *interval(column)] for name, column in others.items()},
        "rows": rows,
    },
    f"python benchmarks/lmi_tmcmc.py STORE FOLDER --patients {arguments.patients} --samples {arguments.samples}",
)
