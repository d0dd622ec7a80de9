"""What a query finds: the tumour in the patient, what it was chosen from, and what speaks against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import plain
from ..index.protocol import Hits, Mask
from .imaging.patient import Patient
from .imaging.segmentation import Segmentation
from .imaging.transforms import SpatialMap
from .refinement import Posterior


@dataclass(frozen=True)
class Doubt:
    """A reason not to believe an answer.

    Args:
        kind: its name for programs, which does not change with the wording.
        text: what is wrong, in words.
        figures: the numbers in it; units stand in their names, shares are of 1.
    """

    kind: str
    text: str
    figures: dict[str, float] = field(default_factory=dict)

    def as_record(self) -> dict[str, object]:
        """As plain values."""
        return {"kind": self.kind, "text": plain(self.text), "figures": self.figures}


class Before(NamedTuple):
    """The best match in the patient, where a stage after retrieval made something else of it.

    Args:
        density: on the patient's grid.
        thresholds: of core and whole.
        dice: as in `Answer`.
    """

    density: NDArray[np.float32]
    thresholds: dict[str, float]
    dice: dict[str, float]


@dataclass(frozen=True)
class Answer:
    """The best match, or what a stage made of it, in the patient, and everything needed to judge it.

    Args:
        patient: who was asked about.
        hits: best matches in atlas space.
        density: float32 on the patient's grid.
        core, whole: the model's masks there, density >= `thresholds`.
        density_atlas: the same density on the atlas frame.
        posterior: tumours that explain the masks, of which this is the best: the best matches, weighted, or what a
            stage after retrieval found.
        before: the best match, which that stage began from.
        kept: ids that its tumours now have in the store.
        thresholds: of core and whole; the store's, or where the search found them, those that fit the patient best.
        core_atlas, whole_atlas: the patient's masks on the atlas frame, as they were searched for.
        dice: of the model's masks with the patient's, in patient space; core, whole and their sum as score.
        volumes_ml: of the masks, by space ("patient", "atlas", "model").
        outside_brain_ml: of the patient's whole tumour, what lies outside the atlas's brain.
        warnings: for the reader of the report; the texts of `doubts` are among them.
        doubts: why the answer may be wrong.
    """

    patient: Patient
    hits: Hits
    density: NDArray[np.float32]
    core: Mask
    whole: Mask
    density_atlas: NDArray[np.float32]
    thresholds: dict[str, float]
    core_atlas: Mask
    whole_atlas: Mask
    dice: dict[str, float]
    volumes_ml: dict[str, dict[str, float]]
    outside_brain_ml: float
    posterior: Posterior
    warnings: tuple[str, ...] = field(default=())
    before: Before | None = None
    kept: tuple[int, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    @property
    def segmentation(self) -> Segmentation:
        """The patient's masks."""
        return self.patient.segmentation

    @property
    def spatial(self) -> SpatialMap:
        """Correspondence between patient and atlas."""
        return self.patient.spatial
