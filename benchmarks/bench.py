"""All ways of searching against each other.

    python benchmarks/bench.py STORE [PATIENTS] [--unseen 1000] [--perturbed 400]

Runs what `gliodex bench retrieval` runs; the plot goes to docs/. Encoders that are to take part must have been trained
(`gliodex train encoder ae STORE`).
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from record import keep

from gliodex.evaluation import BenchRequest, compare

DOCS = Path(__file__).parent.parent / "docs"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("patients", type=Path, nargs="?")
parser.add_argument("--unseen", type=int, default=1000)
parser.add_argument("--perturbed", type=int, default=400)
arguments = parser.parse_args()


def main() -> None:
    command = f"python benchmarks/bench.py STORE PATIENTS --unseen {arguments.unseen} --perturbed {arguments.perturbed}"
    stages: set[str] = set()

    def announce(what: str, done: int, total: int) -> None:
        if what not in stages:
            stages.add(what)
            print(f"{what} ({total})", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bench"
        request = BenchRequest(arguments.store, out, arguments.unseen, arguments.perturbed, arguments.patients)
        rows, authors_s = compare(request, announce)
        keep("bench", {"rows": rows, "authors_loop_s": authors_s, "authors_loop_tumours": request.authors}, command)
        shutil.copy(out / "accuracy_against_time.png", DOCS)


if __name__ == "__main__":  # the authors' loop has processes of its own
    main()
