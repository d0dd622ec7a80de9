"""Whether a kept transform is used for the patient that it was made for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .segmentation import Segmentation

_CELL_MM = 10.0
_SHARED = 0.2  # of the smaller tumour's cells; segmentations of one patient at one time share nearly all


def cells_of(segmentation: Segmentation) -> list[list[int]]:
    """Cells of 10 mm of the patient's world that the whole tumour reaches: enough to know it again, on any grid."""
    points = segmentation.frame.world(np.argwhere(segmentation.whole))
    cells: NDArray[np.int64] = np.unique(np.floor(points / _CELL_MM).astype(np.int64), axis=0)
    return [[int(n) for n in cell] for cell in cells]


def reuse_doubts(made_for: Mapping[str, object], segmentation: Segmentation) -> tuple[str, ...]:
    """Compare a segmentation with the one that a transform was made for.

    Args:
        made_for: as `cells_of` left it under "tumor_cells"; empty in transforms of earlier versions.
        segmentation: that it is used for.
    """
    known = made_for.get("tumor_cells")
    if not isinstance(known, list) or not known:
        return ()
    before, now = ({tuple(cell) for cell in cells} for cells in (known, cells_of(segmentation)))
    if len(before & now) >= _SHARED * min(len(before), len(now)):
        return ()
    return (
        "the transform was made for a segmentation whose tumour lies elsewhere: is it the same patient's, in the same "
        "space?",
    )
