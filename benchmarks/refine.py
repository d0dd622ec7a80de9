"""What refinement gains: on simulated truths, alike and finer, and on patients.

    python benchmarks/refine.py STORE [PATIENTS] [--truths 100] [--stages local,tmcmc,npe] [--alike-mm MM]
                                [--record refine]

Runs what `gliodex bench refinement` runs.
"""

import argparse
import tempfile
from pathlib import Path

from record import keep

import gliodex
from gliodex.evaluation import StagesRequest, compare_stages

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("patients", type=Path, nargs="?")
parser.add_argument("--truths", type=int, default=100)
parser.add_argument("--stages", default="local")
parser.add_argument("--alike-mm", type=float)
parser.add_argument("--record", default="refine")
arguments = parser.parse_args()

with tempfile.TemporaryDirectory() as folder:
    request = StagesRequest(
        arguments.store,
        Path(folder) / "out",
        arguments.truths,
        arguments.patients,
        stages=tuple(arguments.stages.split(",")),
        correlation_length_mm=arguments.alike_mm,
    )
    rows = compare_stages(request, lambda what, done, total: print(f"{what}: {done} of {total}", flush=True))
keep(
    arguments.record,
    {"tumours": len(gliodex.open_store(arguments.store)), "rows": rows},
    f"python benchmarks/refine.py STORE {'PATIENTS ' if arguments.patients else ''}--truths {arguments.truths} "
    f"--stages {arguments.stages}"
    + f" --alike-mm {arguments.alike_mm:g}" * (arguments.alike_mm is not None)
    + f" --record {arguments.record}" * (arguments.record != "refine"),
)
