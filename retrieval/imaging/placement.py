"""How a patient lies in the atlas: what a user says of it, and the map that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ...store.atlas import Atlas
from ...store.nifti import Image
from .ants_map import Method, load_transform
from .registration import register
from .segmentation import Segmentation
from .spaces import Space, space_map
from .transforms import SpatialMap


@dataclass(frozen=True)
class Placement:
    """One of three ways to place a patient.

    Args:
        register: an image is registered.
        space: known space of the segmentation, instead.
        transform: `transform` folder of an earlier query, instead of either.
        registration: how to register.
        seed, threads: of the registration.

    Raises:
        InputError: none of the ways is given, or more than one, or a number is out of range.
    """

    register: bool
    space: Space | None = None
    transform: Path | None = None
    registration: Method = "fast"
    seed: int = 1
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise InputError(f"--threads must be at least 1, not {self.threads}")
        if self.seed < 0:
            raise InputError(f"--registration-seed must not be negative, not {self.seed}")
        ways = [self.register or None, self.space, self.transform]
        if sum(way is not None for way in ways) != 1:
            raise InputError(
                "say in one way how the patient lies in the atlas: --t1 or --t1c (registered), --space sri24 (BraTS "
                "without MRI), --space atlas (masks already there), --white and --grey (tissue maps, registered), or "
                "--transform (of an earlier query)"
            )

    def map_to(self, atlas: Atlas, segmentation: Segmentation, image: Image | None, folder: Path) -> SpatialMap:
        """Make the map; a registration leaves its `transform` in a folder.

        Args:
            atlas: to place the patient in.
            segmentation: of the patient; a registration does not look at the tumour.
            image: to register, if that is the way.
            folder: of the results.

        Raises:
            InputError: the registration or the transform does not fit.
        """
        if self.transform is not None:
            return load_transform(self.transform, atlas)
        if self.space is not None:
            return space_map(self.space, atlas)
        assert image is not None
        return register(
            image,
            segmentation,
            atlas,
            folder / "transform",
            method=self.registration,
            seed=self.seed,
            threads=self.threads,
        )
