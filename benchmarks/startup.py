"""Time that processes take to import gliodex and to show its help, beside that of importing numpy.

python benchmarks/startup.py [--runs 15]
"""

import argparse
import subprocess
import sys
import time

import numpy as np
from record import keep

COMMANDS = {
    "import numpy": ["-c", "import numpy"],
    "import gliodex": ["-c", "import gliodex"],
    "gliodex --help": ["-m", "gliodex.cli.main", "--help"],
    "gliodex query --help": ["-m", "gliodex.cli.main", "query", "--help"],
}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--runs", type=int, default=15, help="of each, in turn")
arguments = parser.parse_args()
seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
for run in range(arguments.runs + 1):
    for name, command in COMMANDS.items():
        begun = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        if run:  # the first run compiles and reads from the disk
            seconds[name].append(time.perf_counter() - begun)
medians = {name: float(np.median(values)) for name, values in seconds.items()}
keep(
    "startup",
    {
        "runs": arguments.runs,
        "median_s": {name: round(value, 3) for name, value in medians.items()},
        "times_numpy": {name: round(value / medians["import numpy"], 2) for name, value in medians.items()},
    },
    f"python benchmarks/startup.py --runs {arguments.runs}",
)
