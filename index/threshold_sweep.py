"""At which density an outline fits a mask best: the Dice of a density's outlines at every level, in one pass.

The density at which MRI shows an outline is not known; Ezhov et al. (2023) have T1Gd in [0.5, 0.85]
and FLAIR in [0.05, 0.5].
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..store.quantization import LEVELS, level_of, quantise
from .block_histograms import CORE_LEVELS, WHOLE_LEVELS
from .metrics import dice
from .protocol import Mask


class LevelDice(NamedTuple):
    """Dice of core and whole, each at its best level, and these levels."""

    core: float
    whole: float
    core_level: int
    whole_level: int


def best_thresholds(density: NDArray[np.float32], core: Mask, whole: Mask, usual: dict[str, float]) -> dict[str, float]:
    """Find the thresholds at which a density's outlines are most like two masks, by Dice, in the ranges searched.

    Args:
        density: in [0, 1].
        core: boolean, of its shape.
        whole: likewise.
        usual: thresholds to stay near to where many are as good.
    """
    levels = level_of(usual["core"]), level_of(usual["whole"])
    masks, sizes = core + np.uint8(2) * whole, (int(np.count_nonzero(core)), int(np.count_nonzero(whole)))
    shape = density.shape
    found = dice_at_best_levels(quantise(density), ((0, 0, 0), (shape[0], shape[1], shape[2])), masks, sizes, levels)
    return {"core": found.core_level / LEVELS, "whole": found.whole_level / LEVELS}


def dice_at_best_levels(
    integers: NDArray[np.uint16],
    box: tuple[tuple[int, int, int], tuple[int, int, int]],
    masks: NDArray[np.uint8],
    sizes: tuple[int, int],
    usual: tuple[int, int],
) -> LevelDice:
    """Find the levels in `CORE_LEVELS` and `WHOLE_LEVELS` at which a density's outlines are most like two masks.

    Args:
        integers: the density, as stores keep it.
        box: low and high voxel of what is not zero in it.
        masks: of its shape, bit 0 core, bit 1 whole.
        sizes: voxels of core and whole, those beyond `masks` too.
        usual: of levels with equal Dice, the nearest to these is told, of two the lower.
    """
    dices = dice_of_levels(integers, box, masks, sizes)
    levels = []
    for of_levels, (lowest, _), at in zip(dices, SEARCHED_LEVELS, usual, strict=True):
        equal = lowest + np.flatnonzero(of_levels == of_levels.max())
        levels.append(int(equal[np.argmin(np.abs(equal - at))]))
    return LevelDice(float(dices[0].max()), float(dices[1].max()), levels[0], levels[1])


SEARCHED_LEVELS = (CORE_LEVELS[0], CORE_LEVELS[-1]), (WHOLE_LEVELS[0], WHOLE_LEVELS[-1])
"""First and last level at which MRI may show the core, and the whole tumour."""


def dice_of_levels(
    integers: NDArray[np.uint16],
    box: tuple[tuple[int, int, int], tuple[int, int, int]],
    masks: NDArray[np.uint8],
    sizes: tuple[int, int],
    levels: tuple[tuple[int, int], tuple[int, int]] = SEARCHED_LEVELS,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Dice of core and of whole at every level from a first to a last one; the other arguments as above."""
    inside = np.zeros((3, LEVELS + 1), np.int64)
    _histograms(integers, masks, *box, inside)
    at_least = inside[:, ::-1].cumsum(axis=1)[:, ::-1]
    core, whole = (
        dice(at_least[m, first : last + 1], at_least[2, first : last + 1] + sizes[m])
        for m, (first, last) in enumerate(levels)
    )
    return core, whole


@njit(cache=True, nogil=True)
def _histograms(
    integers: NDArray[np.uint16],
    query: NDArray[np.uint8],
    low: tuple[int, int, int],
    high: tuple[int, int, int],
    found: NDArray[np.int64],
) -> None:
    """Count the voxels of a box by their integer: inside the query's core, inside its whole, and all; (3, levels)."""
    for x in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            for z in range(low[2], high[2]):
                value, inside = integers[x, y, z], query[x, y, z]
                found[0, value] += inside & 1
                found[1, value] += inside >> 1
                found[2, value] += 1
