"""Keeping what a benchmark measured: one JSON line a run, with what is needed to judge and repeat it."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"


def keep(name: str, figures: dict[str, object], command: str) -> None:
    """Append a line to results/NAME.jsonl and print it."""
    line = {
        "benchmark": name,
        "command": command,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {p: version(p) for p in ("gliodex", "numpy", "numba", "zarr", "antspyx")},
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line, indent=1))


def latest(name: str) -> dict[str, object] | None:
    """Return the newest line of a benchmark; None where it never ran."""
    found = runs(name)
    return found[-1] if found else None


def runs(name: str) -> list[dict[str, object]]:
    """Return all lines of a benchmark, the newest last."""
    path = RESULTS / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def interval(values: np.ndarray, seed: int = 0) -> list[float]:
    """95 % bootstrap interval of a mean."""
    rng = np.random.default_rng(seed)
    means = rng.choice(values, (10_000, len(values))).mean(axis=1)
    return [round(float(v), 4) for v in np.quantile(means, [0.025, 0.975])]


def _commit() -> str:
    here = Path(__file__).parent
    code = [":(top)", ":(top,exclude)benchmarks/results", ":(top,exclude)docs", ":(top,exclude)README.md"]

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=False).stdout.strip()

    changed = "-dirty" if git("status", "--porcelain", "--untracked-files=no", "--", *code) else ""
    return git("describe", "--always") + changed or "unknown"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()
