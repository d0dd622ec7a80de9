"""Tumours of a store in memory, small enough that networks can look at all of them anew in every epoch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...store.cores import available_cores
from ...store.parameters import GrowthParameters
from ...store.quantization import LEVELS, bounding_box
from ...store.reader import TumorStore

Levels = NDArray[np.unsignedinteger[Any]]

Progress = Callable[[int, int], None]
"""Called with (tumours done, tumours to do)."""

LEVELS_A_DENSITY = LEVELS / 16
"""Levels that a density of 1 has: the store's 12 bits without the last four."""

WHOLE_LEVELS, CORE_LEVELS = (13, 127), (128, 217)
"""Levels at which FLAIR and T1Gd may show outlines: 0.05 to 0.5, and 0.5 to 0.85 (Ezhov et al. 2023, §3.1)."""


@dataclass(frozen=True)
class LevelBoxes:
    """Densities as whole levels, each in a box.

    Args:
        levels: of all tumours, one after the other, each box in C order, uint8 or uint16.
        starts: where each begins, and the end, (n + 1,).
        low: first voxel of each box on the frame, (n, 3).
        shape: of each box, (n, 3).
        parameters: that each grew with.
    """

    levels: Levels
    starts: NDArray[np.int64]
    low: NDArray[np.int64]
    shape: NDArray[np.int64]
    parameters: tuple[GrowthParameters, ...]

    def __len__(self) -> int:
        return len(self.parameters)

    @classmethod
    def of(
        cls, store: TumorStore, tumours: int, progress: Progress | None = None, *, exact: bool = False
    ) -> LevelBoxes:
        """Read the first tumours of a store whose growth is known.

        Args:
            store: to read.
            tumours: how many.
            progress: told how many are read.
            exact: keep the store's integers, in the box of all that is not 0; by default bytes, in the box of what may
                be outlined.

        Raises:
            InputError: there are not so many.
            DamagedStoreError: a density is not what was written.
        """
        chosen: list[tuple[int, GrowthParameters]] = []
        for tumour in store.searched.tolist():
            parameters = store.known_parameters(tumour)
            if parameters is not None and parameters.mu1 > 0 and parameters.mu2 > 0:
                chosen.append((tumour, parameters))
            if len(chosen) == tumours:
                break
        if len(chosen) < tumours:
            raise InputError(
                f"{store.path} holds {len(chosen):,} tumours whose growth is known, {tumours:,} are wanted",
                hint="learn from fewer (‹tumors›), or build more",
            )
        parts, lows = [], []
        with ThreadPoolExecutor(available_cores()) as pool:
            for first in range(0, tumours, _AT_ONCE):  # map alone would read all of them ahead
                some = chosen[first : first + _AT_ONCE]
                for low, box in pool.map(lambda one: _boxed(store.integers(one[0]), exact), some):
                    lows.append(low)
                    parts.append(box)
                if progress:
                    progress(len(parts), tumours)
        return cls.joined(parts, lows, [parameters for _, parameters in chosen])

    @classmethod
    def joined(
        cls,
        boxes: list[Levels],
        lows: list[tuple[int, int, int]],
        parameters: list[GrowthParameters],
    ) -> LevelBoxes:
        """Put boxes one after the other; the list is emptied, so that no more than one of them is there twice."""
        starts = np.cumsum([0, *(box.size for box in boxes)], dtype=np.int64)
        shape = np.array([box.shape for box in boxes], np.int64).reshape(-1, 3)
        levels = np.empty(int(starts[-1]), boxes[0].dtype if boxes else np.uint8)  # takes memory as it is written
        boxes.reverse()
        for start in starts[:-1].tolist():
            box = boxes.pop()
            levels[start : start + box.size] = box.ravel()
        return cls(levels, starts, np.array(lows, np.int64).reshape(-1, 3), shape, tuple(parameters))


def _boxed(integers: NDArray[np.uint16], exact: bool) -> tuple[tuple[int, int, int], Levels]:
    levels: Levels = integers if exact else (integers >> 4).astype(np.uint8)
    x, y, z, i, j, k = bounding_box(integers if exact else np.where(levels >= WHOLE_LEVELS[0], integers, 0))
    return (x, y, z), np.ascontiguousarray(levels[x:i, y:j, z:k])


_AT_ONCE = 256
