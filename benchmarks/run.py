"""Measure everything and write the tables of README.

python benchmarks/run.py STORE [PATIENTS]
"""

import subprocess
import sys
from pathlib import Path

here = Path(__file__).parent


def measure(script: str, *arguments: str) -> None:
    subprocess.run([sys.executable, str(here / script), *arguments], check=True)


if len(sys.argv) < 2:
    sys.exit(__doc__)
store = sys.argv[1]
measure("solver.py")
measure("preview_bias.py")
measure("convergence.py")
measure("search.py", store)
measure("accuracy.py", store)
measure("thresholds.py", store)
measure("bench.py", *sys.argv[1:3])
measure("refine.py", *sys.argv[1:3])
measure("calibration.py")
measure("neural.py")
measure("two_methods.py")
if len(sys.argv) > 2:
    measure("plausibility.py", sys.argv[2], store)
    measure("patients.py", store, sys.argv[2])
    measure("patients.py", store, sys.argv[2], "--refine", "local", "--name", "patients_local")
    atlas = ["--refine-in", "atlas", "--name", "patients_local_atlas"]
    measure("patients.py", store, sys.argv[2], "--refine", "local", *atlas)
    for registration in ("fast", "syn"):
        named = ["--registration", registration, "--name", f"patients_{registration}"]
        measure("patients.py", store, sys.argv[2], "--with-t1-only", *named)
measure("tables.py")
