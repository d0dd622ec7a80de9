"""The files that a query leaves, all of them or none."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import OutputError
from ..index.protocol import Hits
from ..store.nifti import save_image
from ..store.parameters import UNITS
from ..store.reader import TumorStore
from .answer import Answer
from .refinement import Posterior, carried

DISCLAIMER = "Research software, not a medical device: not for diagnosis or treatment."


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Yield a folder beside the results; its contents move into `out` when everything in it is complete.

    Raises:
        OutputError: `out` cannot be made or written to. It is asked before the work, not after it.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=out))
    except OSError as error:
        raise OutputError(f"cannot write to {out}: {error.strerror}; choose another --out") from error
    try:
        yield stage
        _move_into(out, stage)
    except BaseException as error:
        shutil.rmtree(stage, ignore_errors=True)
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise OutputError(f"cannot write to {out}: the disk is full; free some space, or choose another") from error
        raise


def _move_into(out: Path, stage: Path) -> None:
    try:
        for item in sorted(stage.iterdir()):
            target = out / item.name
            if target.is_dir():
                shutil.rmtree(target)
            item.replace(target)
        stage.rmdir()
    except OSError as error:
        raise OutputError(f"cannot write to {out}: {error.strerror or error}; choose another --out") from error


def write_images(answer: Answer, store: TumorStore, folder: Path) -> dict[str, NDArray[np.float32]]:
    """Write the density and the model's masks, on the segmentation's grid, and the density on the atlas frame.

    Returns:
        Where there is a posterior, what it says of every voxel, on the segmentation's grid: "mean", "deviation",
        "exceedance" of `EXCEEDED`. They are written too, in the patient and in the atlas.
    """
    grid = answer.segmentation.frame
    save_image(folder / "density.nii.gz", answer.density, grid, "gliodex tumour cell density, 0 to 1")
    save_image(folder / "core.nii.gz", answer.core.astype(np.uint8), grid, "gliodex model core")
    save_image(folder / "whole.nii.gz", answer.whole.astype(np.uint8), grid, "gliodex model whole tumour")
    save_image(folder / "density_atlas.nii.gz", answer.density_atlas, store.frame, "gliodex density, atlas space")
    return {} if answer.posterior is None else _write_maps(answer, answer.posterior, store, folder)


EXCEEDED = 0.1
"""Density whose exceedance is written."""


def _write_maps(
    answer: Answer, posterior: Posterior, store: TumorStore, folder: Path
) -> dict[str, NDArray[np.float32]]:
    maps = posterior.maps(EXCEEDED)
    there = {}
    named = {
        "mean": (maps.mean, "mean density"),
        "deviation": (maps.deviation, "standard deviation of density"),
        "exceedance": (maps.exceedance, f"probability of density >= {EXCEEDED}"),
    }
    for name, (values, what) in named.items():
        there[name], atlas = carried(values, posterior, store, answer.segmentation, answer.spatial)
        save_image(folder / f"{name}.nii.gz", there[name], answer.segmentation.frame, f"gliodex {what}")
        save_image(folder / f"{name}_atlas.nii.gz", atlas, store.frame, f"gliodex {what}, atlas space")
    return there


def as_record(
    answer: Answer, store: TumorStore, settings: dict[str, object], seconds: dict[str, float]
) -> dict[str, object]:
    """Everything about an answer as plain values: the content of matches.json."""
    hits = answer.hits
    matches = [
        {
            "rank": rank,
            "id": int(hits.ids[rank - 1]),
            "score": float(hits.scores[rank - 1]),
            "dice_core": float(hits.dice_core[rank - 1]),
            "dice_whole": float(hits.dice_whole[rank - 1]),
            "thresholds": _thresholds(hits, store, rank - 1),
            "parameters": _known_parameters(store, int(hits.ids[rank - 1])),
            "provenance": store.provenance(int(hits.ids[rank - 1])),
        }
        for rank in range(1, len(hits) + 1)
    ]
    patient_ml = answer.volumes_ml["patient"]["whole"]
    return {
        "software": f"gliodex {version('gliodex')}",
        "notice": DISCLAIMER,
        "store": {
            "path": str(store.path),
            "version": store.version,
            "tumours": len(store),
            "atlas": store.atlas.name,
            "thresholds": store.thresholds,
        },
        "settings": settings,
        "method": settings["method"],
        "ranked_by": _ranked_by(settings),
        "units": UNITS | {"mu1_mm": "mm", "mu2": "1"},
        "matches": matches,
        "patient_space": answer.dice,
        "thresholds": answer.thresholds,
        "volumes_ml": answer.volumes_ml,
        "refinement": _refinement(answer),
        "outside_brain": {"whole_ml": answer.outside_brain_ml, "share": answer.outside_brain_ml / patient_ml},
        "understood": answer.segmentation.understood,
        "transform": answer.spatial.describe(),
        "compared_voxelwise": hits.evaluated,
        "warnings": list(answer.warnings),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def _refinement(answer: Answer) -> dict[str, object] | None:
    """Write what a stage after retrieval found as plain values."""
    posterior = answer.posterior
    if posterior is None:
        return None
    best = posterior.best
    return {
        "method": posterior.method,
        "anatomy": posterior.space,
        "settings": posterior.settings,
        "began_from": list(posterior.began_from),
        "kept_as": list(answer.kept),
        "evaluations": posterior.evaluations,
        "seconds": round(posterior.seconds, 3),
        "before": answer.before.dice if answer.before else None,
        "score": best.score,
        "parameters": best.parameters.as_record() if best.parameters else None,
        "thresholds": dict(zip(("core", "whole"), best.thresholds, strict=True)),
        "credible_intervals": posterior.intervals(),
        "samples": len(posterior.samples),
        "effective_samples": round(posterior.effective_samples, 1),
        "exceedance_level": EXCEEDED,
    }


def _ranked_by(settings: dict[str, object]) -> str:
    measure = str(settings.get("measure", "dice"))
    if measure != "dice":
        return measure
    return "Dice" if settings.get("rerank") or settings["method"] == "dice" else str(settings["method"])


def _thresholds(hits: Hits, store: TumorStore, n: int) -> dict[str, float]:
    if hits.thresholds is None:
        return store.thresholds
    return {"core": float(hits.thresholds[0, n]), "whole": float(hits.thresholds[1, n])}


def _known_parameters(store: TumorStore, tumour: int) -> dict[str, object] | None:
    known = store.known_parameters(tumour)
    return known.as_record() if known else None


def write_record(record: dict[str, object], folder: Path) -> None:
    """Write matches.json."""
    with (folder / "matches.json").open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
