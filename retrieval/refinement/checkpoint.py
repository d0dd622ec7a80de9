"""What a sampler leaves after each stage, so that an interrupted query goes on where it was."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ...errors import DamagedStoreError
from ...store.checksummed_file import read_sealed, write_sealed
from .smc_settings import Progressed, Stage

NAME = "tmcmc.checkpoint"
"""Of the file in the folder of the results; removed when these are complete."""


def save_checkpoint(path: Path, begun: Progressed, key: str) -> None:
    """Replace a checkpoint.

    Args:
        path: of the file.
        begun: to go on from.
        key: names the problem and the settings.

    Raises:
        OutputError: it cannot be written.
    """
    record = asdict(begun) | {"key": key, "shape": list(begun.points.shape)}
    del record["points"]
    write_sealed(path, json.loads(json.dumps(record)), np.ascontiguousarray(begun.points).tobytes())


def load_checkpoint(path: Path, key: str) -> Progressed | None:
    """Read what `save_checkpoint` wrote for the same problem; None where there is none, or a damaged one."""
    if not path.exists():
        return None
    try:
        record, data, _ = read_sealed(path, "the same query")
    except DamagedStoreError:
        return None
    if record.pop("key") != key:
        return None
    points = np.frombuffer(data, np.float64).reshape(record.pop("shape")).copy()
    stages = tuple(Stage(**stage) for stage in record.pop("stages"))
    return Progressed(points, stages=stages, **record)
