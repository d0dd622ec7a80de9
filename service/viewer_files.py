"""What the page shows of an answer: the scan, the patient's outlines, the maps, and the other matches.

All lie on one grid, the part of the segmentation's that the brain fills, as small integers: a browser without a
graphics card takes seconds to draw all of it. The scan is what was registered: of a whole head, the brain that was
found in it. Where the headers were said to be wrong, the images lie in the patient's world, so that right and left are
shown as they are; the files of the result lie in the world of the headers, like those that were sent.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ..retrieval.result import Answer
from ..store.cores import available_cores
from ..store.nifti import load_image
from ..store.quantization import bounding_box
from ..store.reader import TumorStore

MOST_MATCHES = 15
MAPS = ("density", "deviation", "exceedance")
"""Files of a result that are shown, where they are there."""

_STEPS = 250  # of a density in a byte
_BRIGHTEST = 0.998  # share of voxels below the brightest that is told apart
_DARKEST = 0.02  # of the brightest, that is taken to be of the head
_MARGIN = 3


def write_views(found: Answer, background: NDArray[np.float32], store: TumorStore, folder: Path) -> None:
    """Write view-NAME.nii.gz: scan, patient (1 whole, 2 core), each of `MAPS`, and match-RANK.

    Args:
        found: the answer.
        background: what it lies on, on the segmentation's grid.
        store: that was searched.
        folder: of the result.
    """
    given = found.segmentation
    dark, bright = float(background.min()), float(np.quantile(background, _BRIGHTEST))
    scan = np.clip((background - dark) / max(bright - dark, 1e-6), 0, 1)
    low, high = _box(((scan > _DARKEST) | given.whole).astype(np.uint16))
    there = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    grid = given.frame.crop(low, high)

    def write(name: str, values: NDArray[np.uint8], slope: float = 1.0) -> None:
        image = nib.Nifti1Image(values, grid.affine)
        image.header.set_slope_inter(slope, 0)
        image.set_sform(grid.affine, "scanner")
        nib.save(image, folder / f"view-{name}.nii.gz")

    def write_share(name: str, values: NDArray[np.float32]) -> None:
        write(name, np.round(np.clip(values, 0, 1) * _STEPS).astype(np.uint8), 1 / _STEPS)

    def write_match(rank: int, tumour: int) -> None:
        write_share(f"match-{rank}", found.spatial.to_patient(store.density(tumour), store.frame, grid))

    write("scan", (scan[there] * 255).astype(np.uint8))
    write("patient", (given.whole.astype(np.uint8) + given.core)[there])
    for name in MAPS:
        path = folder / f"{name}.nii.gz"
        if path.exists():
            write_share(name, np.asarray(load_image(path).data, np.float32)[there])
    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(write_match, itertools.count(1), found.hits.ids[:MOST_MATCHES].tolist()))


def _box(head: NDArray[np.uint16]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    low, high = np.array(bounding_box(head)).reshape(2, 3)
    return np.maximum(low - _MARGIN, 0), np.minimum(high + _MARGIN, head.shape)
