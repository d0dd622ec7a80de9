"""A FET-PET, as the sampler takes it: a signal in [0, 1], 0 where it is not known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...store.frame import Frame
from .readers import read_image


def load_pet(path: str | Path, grid: Frame) -> NDArray[np.float32]:
    """Read a PET on a segmentation's grid; what is not a number is not known.

    Raises:
        InputError: it cannot be read, is on another grid, or `check_pet`.
    """
    image = read_image(path)
    if not image.frame.same_as(grid):
        raise InputError(f"{path} is not on the segmentation's grid", hint="resample it there first")
    values = np.nan_to_num(np.asarray(image.data, np.float32), nan=0.0, posinf=np.inf, neginf=-np.inf)
    check_pet(values, str(path))
    return values


def check_pet(pet: NDArray[np.float32], name: str = "the PET") -> None:
    """Refuse a PET whose signal leaves [0, 1], or that shows nothing.

    Raises:
        InputError: so.
    """
    lowest, highest = float(pet.min()), float(pet.max())
    if lowest < 0 or highest > 1 + 1e-6:
        raise InputError(
            f"{name} runs from {lowest:g} to {highest:g}", hint="scale it to [0, 1], with 0 where it is not to be used"
        )
    if highest == 0:
        raise InputError(f"{name} is 0 everywhere", hint="leave it out")
