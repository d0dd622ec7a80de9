"""The files that a query leaves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import plain
from ..index.protocol import Hits
from ..store.cores import available_cores
from ..store.frame import Frame
from ..store.nifti import save_image
from ..store.parameters import UNITS
from ..store.reader import TumorStore
from .earlier_results import FORECAST_RECORDS, QUERY_RECORDS, TRANSFORM_FILES
from .imaging.patient import Patient
from .refinement import Posterior, carried
from .result import Answer
from .result_folder import list_files, staged_folder

__all__ = [
    "DISCLAIMER",
    "EXCEEDED",
    "QUERY_FILES",
    "as_record",
    "posterior_record",
    "query_files",
    "staged_folder",
    "summary_of",
    "write_brain",
    "write_images",
    "write_record",
]

DISCLAIMER = "Research software, not a medical device: not for diagnosis or treatment."


BRAIN_FILES = ("brain_mask.nii.gz", "brain.png")
"""What a query adds where it removed the skull."""

QUERY_FILES = (
    *(f"{name}.nii.gz" for name in ("core", "density", "density_atlas", "whole")),
    *(f"{name}{where}.nii.gz" for name in ("mean", "deviation", "exceedance") for where in ("", "_atlas")),
    *(f"{name}.png" for name in ("posterior", "report", "uncertainty")),
    *("matches.json", "posterior.json", "report.html"),
)
"""What a query writes: `staged_folder` asks for the names before the work."""


def query_files(*, registers: bool) -> frozenset[str]:
    """Name the files of a query; one that registers an image keeps its transform, too."""
    return frozenset((*QUERY_FILES, *BRAIN_FILES, *TRANSFORM_FILES) if registers else QUERY_FILES)


def write_images(answer: Answer, store: TumorStore, folder: Path) -> dict[str, NDArray[np.float32]]:
    """Write the density and the model's masks, on the segmentation's grid, and the density on the atlas frame.

    Returns:
        What the posterior says of every voxel, on the segmentation's grid: "mean", "deviation", "exceedance" of
        `EXCEEDED`. They are written too, in the patient and in the atlas.
    """
    grid, patient = answer.segmentation.frame, answer.patient
    on_file = patient.as_filed(grid)
    maps = answer.posterior.maps(EXCEEDED)
    named = {
        "mean": (maps.mean, "mean density"),
        "deviation": (maps.deviation, "standard deviation of density"),
        "exceedance": (maps.exceedance, f"probability of density >= {EXCEEDED}"),
    }
    images: list[tuple[str, NDArray[np.generic], Frame, str]] = [
        ("density", answer.density, on_file, "tumour cell density, 0 to 1"),
        ("core", answer.core.astype(np.uint8), on_file, "model core"),
        ("whole", answer.whole.astype(np.uint8), on_file, "model whole tumour"),
        ("density_atlas", answer.density_atlas, store.frame, "density, atlas space"),
    ]
    there = {}
    for name, (values, what) in named.items():
        there[name], atlas = carried(values, answer.posterior, store, patient)
        images += [(name, there[name], on_file, what), (f"{name}_atlas", atlas, store.frame, f"{what}, atlas space")]
    with ThreadPoolExecutor(available_cores()) as pool:  # most of it is compression
        list(pool.map(lambda image: _save(folder, *image), images))
    return there


def write_brain(patient: Patient, folder: Path) -> None:
    """Write the mask of the brain that was found in a whole head, on the grid of its image; nothing without one."""
    if patient.head is not None:
        grid = patient.as_filed(patient.head.image.frame)
        save_image(folder / "brain_mask.nii.gz", patient.head.brain.astype(np.uint8), grid, "gliodex brain mask")


def _save(folder: Path, name: str, values: NDArray[np.generic], frame: Frame, what: str) -> None:
    save_image(folder / f"{name}.nii.gz", values, frame, f"gliodex {what}")


EXCEEDED = 0.1
"""Density whose exceedance is written."""


def as_record(
    answer: Answer, store: TumorStore, settings: dict[str, object], seconds: dict[str, float]
) -> dict[str, object]:
    """Everything about an answer as plain values: the content of matches.json."""
    hits, folded = answer.hits, set(store.folded.tolist())
    matches = [
        {
            "rank": rank,
            "id": int(hits.ids[rank - 1]),
            "score": float(hits.scores[rank - 1]),
            "dice_core": float(hits.dice_core[rank - 1]),
            "dice_whole": float(hits.dice_whole[rank - 1]),
            "thresholds": _thresholds(hits, store, rank - 1),
            "parameters": _known_parameters(store, int(hits.ids[rank - 1])),
            "folded": int(hits.ids[rank - 1]) in folded,
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
        "ranked_by": _ranked_by(settings),
        "units": UNITS | {"mu1_mm": "mm", "mu2": "1"},
        "matches": matches,
        "patient_space": answer.dice,
        "thresholds": answer.thresholds,
        "volumes_ml": answer.volumes_ml,
        "posterior": _posterior(answer),
        "refinement": _refinement(answer),
        "outside_brain": {"whole_ml": answer.outside_brain_ml, "share": answer.outside_brain_ml / patient_ml},
        "summary": [plain(line) for line in summary_of(answer.patient)],
        "understood": {
            name: plain(v) if isinstance(v, str) else v for name, v in answer.segmentation.understood.items()
        },
        "transform": answer.spatial.describe(),
        "head": _head(answer.patient),
        "compared_voxelwise": hits.evaluated,
        "warnings": [plain(warning) for warning in answer.warnings],
        "doubts": [doubt.as_record() for doubt in answer.doubts],
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def summary_of(patient: Patient) -> Iterator[str]:
    """Say in a few lines how the files were read: what a reader should always see."""
    volumes = patient.segmentation.volumes_ml
    yield patient.segmentation.summary or f"core {volumes['core']:.1f} ml, whole {volumes['whole']:.1f} ml"
    if patient.head is not None:
        yield (
            f"whole head: the brain was found ({patient.head.method}), {patient.head.removed_ml:,.0f} ml around it "
            "were removed"
        )
    if patient.turn is not None and patient.image is not None:
        yield f"the world of the files was turned: voxel axes of the image run {patient.image.frame.axis_codes}"


def _head(patient: Patient) -> dict[str, object] | None:
    """Write what was removed around the brain as plain values; None where nothing was."""
    head = patient.head
    if head is None:
        return None
    return {"method": head.method, "removed_ml": round(head.removed_ml, 1), "brain_mask": "brain_mask.nii.gz"}


def _posterior(answer: Answer) -> dict[str, object]:
    """Write what is known beside the best tumour as plain values."""
    posterior = answer.posterior
    return {
        "method": posterior.method,
        "anatomy": posterior.space,
        "credible_intervals": posterior.intervals(),
        "samples": len(posterior.samples),
        "effective_samples": round(posterior.effective_samples, 1),
        "evaluations": posterior.evaluations,
        "seconds": round(posterior.seconds, 3),
        "exceedance_level": EXCEEDED,
        "diagnostics": posterior.diagnostics,
    }


def _refinement(answer: Answer) -> dict[str, object] | None:
    """Write what a stage after retrieval did as plain values; None without any."""
    if answer.before is None:
        return None
    posterior, best = answer.posterior, answer.posterior.best
    return {
        "method": posterior.method,
        "anatomy": posterior.space,
        "settings": posterior.settings,
        "began_from": list(posterior.began_from),
        "kept_as": list(answer.kept),
        "evaluations": posterior.evaluations,
        "seconds": round(posterior.seconds, 3),
        "before": answer.before.dice,
        "score": best.score,
        "parameters": best.parameters.as_record() if best.parameters else None,
        "thresholds": dict(zip(("core", "whole"), best.thresholds, strict=True)),
    }


def posterior_record(posterior: Posterior) -> dict[str, object]:
    """All numbers of a posterior with their weights, as plain values: the content of posterior.json."""
    columns, weights = posterior.numbers()
    return {
        "software": f"gliodex {version('gliodex')}",
        "method": posterior.method,
        "anatomy": posterior.space,
        "numbers": {name: values.tolist() for name, values in columns.items()},
        "weights": weights.tolist(),
        "diagnostics": posterior.diagnostics,
    }


def _ranked_by(settings: dict[str, object]) -> str:
    metric, index = str(settings.get("metric", "dice")), str(settings["index"])
    if metric != "dice":
        return metric
    return "Dice" if settings.get("rerank") or index == "dice" else index


def _thresholds(hits: Hits, store: TumorStore, n: int) -> dict[str, float]:
    if hits.thresholds is None:
        return store.thresholds
    return {"core": float(hits.thresholds[0, n]), "whole": float(hits.thresholds[1, n])}


def _known_parameters(store: TumorStore, tumour: int) -> dict[str, object] | None:
    known = store.known_parameters(tumour)
    return known.as_record() if known else None


def write_record(record: dict[str, object], folder: Path, name: str = "matches") -> None:
    """Write matches.json, or another record; what a result is known by gets the list of its "files", so it comes last.

    Args:
        record: plain values; "files" is added to it.
        folder: that holds the other files.
        name: of the record, without .json.
    """
    file_name = f"{name}.json"
    if file_name in (*QUERY_RECORDS, *FORECAST_RECORDS):
        list_files(record, folder, file_name)
    with (folder / file_name).open("w", encoding="utf-8") as file:
        json.dump(record, file, indent=2 if name == "matches" else None)
        file.flush()
        os.fsync(file.fileno())
