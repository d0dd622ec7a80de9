"""How often each way of searching finds what exact search finds, on unseen simulations: paper 003, Table 2.

python benchmarks/methods.py STORE [--unseen 1000] [--methods ds64 ds32]

Top-N: the method's best tumour is among the N best of exact search, or as good as the N-th.
"""

import argparse
import time

import numpy as np
from record import keep
from scipy.stats import binomtest
from unseen import unseen_masks

import gliodex
from gliodex.index import open_retriever

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("--unseen", type=int, default=1000)
parser.add_argument("--seed", type=int, default=3)
parser.add_argument("--methods", nargs="+", default=["ds64", "ds32"])
arguments = parser.parse_args()


def share(found: np.ndarray) -> dict[str, object]:
    low, high = binomtest(int(found.sum()), len(found)).proportion_ci(method="wilson")
    return {"found": int(found.sum()), "interval_95": [round(float(low), 4), round(float(high), 4)]}


def main() -> None:
    store = gliodex.open_store(arguments.store)
    queries = unseen_masks(store, arguments.unseen, arguments.seed)
    exact = gliodex.DiceIndex.open(store)
    truth = np.array([exact.search(core, whole, 15).scores for core, whole in queries])
    rows = {}
    for method in arguments.methods:
        for rerank in (0, 200):
            retriever = open_retriever(store, method, rerank=rerank)
            seconds, scores = [], []
            for core, whole in queries:
                begun = time.perf_counter()
                hits = retriever.search(core, whole, 1)
                seconds.append(time.perf_counter() - begun)
                scores.append(hits.dice_core[0] + hits.dice_whole[0])
            found = np.array(scores)
            rows[f"{method}, {rerank} re-ranked" if rerank else method] = {
                **{f"top_{n}": share(found >= truth[:, n - 1]) for n in (1, 5, 15)},
                "mean_loss": round(float((truth[:, 0] - found).mean()), 5),
                "median_ms": round(float(np.median(seconds)) * 1e3, 2),
            }
    keep(
        "methods",
        {"tumours": len(store), "unseen": len(queries), "seed": arguments.seed, "threads": 1, "methods": rows},
        f"python benchmarks/methods.py STORE --unseen {arguments.unseen} --methods {' '.join(arguments.methods)}",
    )


if __name__ == "__main__":  # radiomics describes tumours in other processes
    main()
