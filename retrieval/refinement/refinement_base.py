"""What every stage after retrieval is: matches in, a better tumour and its posterior out."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...index import Hits
from ...store.reader import TumorStore
from ..imaging.patient import Patient
from .posterior import Posterior

Tell = Callable[[str], None]
"""Told in words how far a stage has come."""


class Refined(NamedTuple):
    """What a stage makes of matches.

    Args:
        density: of the best tumour on the patient's grid, float32.
        density_atlas: the same on the store's frame.
        thresholds: of core and whole, at which its outlines fit the patient best.
        posterior: all that it found; its best sample is this tumour.
    """

    density: NDArray[np.float32]
    density_atlas: NDArray[np.float32]
    thresholds: dict[str, float]
    posterior: Posterior


class Refinement(Protocol):
    """A stage after retrieval."""

    @property
    def matches(self) -> int:
        """Distinct matches of known growth that it begins from; there may be others among them."""
        ...

    def check(self, store: TumorStore) -> None:
        """Refuse a store that it cannot refine in, before there is any work.

        Raises:
            InputError: the store is of another growth model, or what else it takes is missing or does not fit.
        """
        ...

    def __call__(self, store: TumorStore, hits: Hits, patient: Patient, tell: Tell | None = None) -> Refined:
        """Refine.

        Args:
            store: that was searched.
            hits: distinct matches, best first.
            patient: masks, PET, tissue, and the correspondence with the atlas.
            tell: told how far it has come.
        """
        ...


def carried(
    values: NDArray[np.float32], posterior: Posterior, store: TumorStore, patient: Patient
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bring values in [0, 1] on a posterior's frame to the patient's grid and to the atlas."""
    grid, spatial = patient.segmentation.frame, patient.spatial
    if posterior.space == "atlas":
        there, atlas = spatial.to_patient(values, store.frame, grid), values
    else:
        there = grid.resample(values, posterior.frame)
        atlas = spatial.to_atlas(values, posterior.frame, store.frame)
    return np.clip(there, 0.0, 1.0), np.clip(atlas, 0.0, 1.0)
