"""What an image file holds, before anybody says what it means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....store.frame import Frame


@dataclass(frozen=True, eq=False)
class Volume:
    """Numbers of an image file on their grid, with the names that the file gives them.

    Args:
        data: (i, j, k), or (i, j, k, c) of a file with channels or with segments that overlap; as the file has them,
            so that floats may be NaN.
        frame: grid of the first three axes, voxel indices to RAS+ mm.
        path: file or folder that it came from.
        format: of the file, in words: "NIfTI", "NRRD", "DICOM series".
        names: what the file calls its labels, by their value, or its channels, by their index; empty where it says
            nothing.
    """

    data: NDArray[np.generic]
    frame: Frame
    path: Path
    format: str
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def channels(self) -> int:
        """Number of channels; 1 for a plain volume."""
        return 1 if self.data.ndim == 3 else int(self.data.shape[3])
