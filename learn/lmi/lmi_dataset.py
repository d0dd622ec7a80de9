"""Tumours outlined at random, with what a network is to tell of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..training.density_crops import CORE_LEVELS, WHOLE_LEVELS, LevelBoxes
from .lmi_checkpoint import Usual
from .mask_features import Viewer, Views
from .targets import Targets

Numbers = NDArray[np.float64]


class Examples:
    """Tumours to learn from and those held apart, their targets, and what is usual among them.

    Args:
        boxes: the tumours to learn from, then those held apart.
        viewer: how they are looked at.
        targets: what is to be told of them.
        learned: how many are learned from.
        seed: of the outlines of those held apart.
        ranges: see `Usual.of`.
    """

    def __init__(
        self, boxes: LevelBoxes, viewer: Viewer, targets: Targets, learned: int, seed: int, *, ranges: bool
    ) -> None:
        self.boxes, self.viewer, self.targets, self.learned = boxes, viewer, targets, learned
        rng = np.random.default_rng([seed, _HELD_STREAM])
        self.held = np.arange(learned, len(boxes))
        self.held_levels = _drawn_levels(rng, len(self.held))
        some = np.sort(rng.permutation(learned)[:_USUAL])
        moments, truths = [], []
        for part in np.array_split(some, -(-len(some) // _AT_ONCE)):
            views, found = self.looked(part, *_drawn_levels(rng, len(part)))
            moments.append(views.moments)
            truths.append(found)
        self.usual = Usual.of(np.concatenate(moments), np.concatenate(truths), ranges=ranges)

    def looked(
        self, tumours: NDArray[np.int64], whole: NDArray[np.int64], core: NDArray[np.int64]
    ) -> tuple[Views, Numbers]:
        """Look at tumours outlined at these levels; returns what is seen, and targets (n, d)."""
        views = self.viewer.of_boxes(self.boxes, tumours, whole, core)
        return views, self._truths(views, tumours)

    def looked_at_held(self, at_once: int) -> Iterator[tuple[Views, Numbers]]:
        """Look at the tumours held apart, so many at once."""
        for first in range(0, len(self.held), at_once):
            part = slice(first, first + at_once)
            yield self.looked(self.held[part], *(levels[part] for levels in self.held_levels))

    def _truths(self, views: Views, tumours: NDArray[np.int64]) -> Numbers:
        """Targets of tumours as they are looked at, (n, d)."""
        frame, parameters = self.viewer.frame, self.boxes.parameters
        return np.array(
            [
                self.targets.of(parameters[tumour], centre, bool(mirrored), frame)
                for tumour, centre, mirrored in zip(tumours, views.centre, views.mirrored, strict=True)
            ]
        )


def _drawn_levels(rng: np.random.Generator, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    whole, core = (rng.integers(low, high + 1, count) for low, high in (WHOLE_LEVELS, CORE_LEVELS))
    return whole, core


_USUAL, _AT_ONCE, _HELD_STREAM = 4096, 32, 1
