"""What the page shows beside the files of an answer: the scan, the patient's outlines, and the other matches.

All lie on the segmentation's grid, as small integers, so that a browser can draw them at once.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ..retrieval.answer import Answer
from ..store.cores import available_cores
from ..store.frame import Frame
from ..store.reader import TumorStore

MOST_MATCHES = 15

_STEPS = 250  # of a density in a byte
_BRIGHTEST = 0.998  # share of voxels below the brightest that is told apart


def write_views(found: Answer, background: NDArray[np.float32], store: TumorStore, folder: Path) -> None:
    """Write scan.nii.gz, patient.nii.gz (1 whole, 2 core) and match-RANK.nii.gz.

    Args:
        found: the answer.
        background: what it lies on, on the segmentation's grid.
        store: that was searched.
        folder: of the result.
    """
    given, grid = found.segmentation, found.segmentation.frame
    low, high = float(background.min()), float(np.quantile(background, _BRIGHTEST))
    scan = np.clip((background - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    _save(folder / "scan.nii.gz", scan, grid)
    _save(folder / "patient.nii.gz", given.whole.astype(np.uint8) + given.core, grid)

    def write(rank: int, tumour: int) -> None:
        density = found.spatial.to_patient(store.density(tumour), store.frame, grid)
        values = np.round(np.clip(density, 0, 1) * _STEPS).astype(np.uint8)
        _save(folder / f"match-{rank}.nii.gz", values, grid, 1 / _STEPS)

    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(write, itertools.count(1), found.hits.ids[:MOST_MATCHES].tolist()))


def _save(path: Path, values: NDArray[np.uint8], frame: Frame, slope: float = 1.0) -> None:
    image = nib.Nifti1Image(values, frame.affine)
    image.header.set_slope_inter(slope, 0)
    image.set_sform(frame.affine, "scanner")
    nib.save(image, path)
