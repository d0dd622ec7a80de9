"""Cost of transitional MCMC as in Ezhov et al. (2021), from the prior and around the matches, and whether both agree.

    python benchmarks/tmcmc.py STORE SEGMENTATION [--samples 2048] [--space sri24]

Both sample the same posterior: their evidence and credible intervals shall agree. Takes some minutes on 2 cores.
"""

import argparse
from pathlib import Path

from record import keep

import gliodex
from gliodex.retrieval import from_labels, personalize_with, space_map
from gliodex.retrieval.imaging.patient import Patient
from gliodex.retrieval.refinement import TransitionalRefinement, TransitionalSettings

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("segmentation", type=Path)
parser.add_argument("--samples", type=int, default=2048)
parser.add_argument("--space", default="sri24")
arguments = parser.parse_args()
store = gliodex.open_store(arguments.store)
index = gliodex.DiceIndex.open(store)
segmentation, spatial = from_labels(arguments.segmentation), space_map(arguments.space, store.atlas)
runs = {}
for name, around in (("prior", False), ("matches", True)):
    stage = TransitionalRefinement(TransitionalSettings(arguments.samples), around_matches=around)
    found = personalize_with(store, index, Patient(segmentation, spatial), refinement=stage).posterior
    diagnostics = found.diagnostics
    runs[name] = {
        "seconds": round(found.seconds),
        "evaluations": found.evaluations,
        "stages": len(diagnostics["stages"][0]),
        "log_evidence": round(diagnostics["log_evidence"][0], 1),
        "effective_samples": min(diagnostics["effective_samples"].values()),
        "intervals": found.intervals(),
    }
    print(name, runs[name], flush=True)
keep(
    "tmcmc",
    {"samples": arguments.samples, "patient": arguments.segmentation.parent.name, "runs": runs},
    f"python benchmarks/tmcmc.py STORE SEGMENTATION --samples {arguments.samples}",
)
