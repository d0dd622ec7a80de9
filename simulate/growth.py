"""What a growth model gives: a tumour's density inside a box, and what it was on its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..store.atlas import Atlas
from ..store.parameters import GrowthParameters
from .active_box import Reach

__all__ = ["Growth", "GrowthModel", "GrowthParameters", "GrowthSolver", "Snapshot"]


@dataclass(frozen=True)
class Snapshot:
    """What a tumour was on its way.

    Args:
        density: float32 in [0, 1], inside a box only.
        low: first voxel of the box in the atlas frame.
        days: since the seed was planted.
        least_jacobian: see `Growth`.
    """

    density: NDArray[np.float32]
    low: tuple[int, int, int]
    days: float
    least_jacobian: float = 1.0


@dataclass(frozen=True)
class Growth:
    """A simulated tumour: its density inside a box, zero elsewhere.

    Args:
        density: float32 in [0, 1], the box only.
        low: first voxel of the box in the atlas frame.
        shape: of the atlas frame.
        steps: time steps made.
        voxel_updates: cells computed over all stages of all steps.
        outgrew: the whole tumour passed the limit given, or was stopped early because it was sure to.
        snapshots: taken before that, oldest first.
        least_jacobian: smallest ratio of a piece of tissue's volume to what it was before the tumour came; at most 0
            where the tissue is folded.
    """

    density: NDArray[np.float32]
    low: tuple[int, int, int]
    shape: tuple[int, int, int]
    steps: int
    voxel_updates: int
    outgrew: bool
    snapshots: tuple[Snapshot, ...] = ()
    least_jacobian: float = 1.0

    def full(self) -> NDArray[np.float32]:
        """Density on the whole atlas frame."""
        out = np.zeros(self.shape, np.float32)
        out[tuple(slice(a, a + n) for a, n in zip(self.low, self.density.shape, strict=True))] = self.density
        return out


class Recorded(Protocol):
    """What can be kept in a store."""

    def as_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        ...


class GrowthSolver(Protocol):
    """What grows tumours in one atlas: the solver, or what stands in for it."""

    @property
    def atlas(self) -> Atlas:
        """Where they grow."""
        ...

    @property
    def settings(self) -> Recorded:
        """Of the growth model."""
        ...

    def __call__(self, parameters: GrowthParameters) -> NDArray[np.float32]:
        """Density after `parameters.duration`, float32 in [0, 1] on the atlas frame."""
        ...

    def grow(self, parameters: GrowthParameters, stop_above_ml: float | None = None) -> Growth:
        """Grow one tumour; see `FisherKolmogorov.grow`.

        Raises:
            InputError: it cannot be grown.
        """
        ...

    def nearest_seed(self, seed_mm: tuple[float, float, float]) -> tuple[float, float, float]:
        """See `FisherKolmogorov.nearest_seed`."""
        ...


class GrowthModel(GrowthSolver, Protocol):
    """A growth model in one atlas, which stores are built with: `FisherKolmogorov`, `MassEffect`."""

    def grow(
        self,
        parameters: GrowthParameters,
        stop_above_ml: float | None = None,
        reach: Reach | None = None,
        snapshots: Sequence[float] = (),
    ) -> Growth:
        """Grow one tumour; see `FisherKolmogorov.grow`.

        Raises:
            InputError: it cannot be grown.
        """
        ...
