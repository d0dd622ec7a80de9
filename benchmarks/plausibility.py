"""How closely the best tumours of stores meet patients: which growth model is the more plausible.

    python benchmarks/plausibility.py PATIENTS STORE... [--unseen 200]

Runs what `gliodex bench plausibility` runs; the plot goes to docs/. Stores should hold as many tumours. fk32000 was
built with `gliodex build fk32000 --count 32000 --seed 500 --snapshots 3`, me32000 with `--model mass-effect` besides;
it is the store that lmi.py and lmi_targets.py call PUSHING.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from record import keep

from gliodex.evaluation import plausibility
from gliodex.evaluation.patient_cohort import short_names

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("patients", type=Path)
parser.add_argument("stores", nargs="+")
parser.add_argument("--unseen", type=int, default=200, help="tumours of each store's own model to ask besides")
arguments = parser.parse_args()
with tempfile.TemporaryDirectory() as folder:
    out = Path(folder) / "out"
    rows = plausibility(arguments.stores, arguments.patients, out, own=arguments.unseen)
    shutil.copy(out / "plausibility.png", Path(__file__).parent.parent / "docs")
names = short_names(arguments.stores)
keep(
    "plausibility",
    {"rows": [row | {"store": names[row["store"]]} for row in rows]},
    f"python benchmarks/plausibility.py PATIENTS {' '.join(names.values())} --unseen {arguments.unseen}",
)
