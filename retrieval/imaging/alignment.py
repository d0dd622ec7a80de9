"""How a patient lies in the atlas: what a user says of it, and the map that it gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ...store.atlas import Atlas
from .choices import Method, Space, Strip
from .patient import Patient, Stage


@dataclass(frozen=True)
class Placement:
    """One of three ways to place a patient.

    Args:
        register: an image is registered.
        space: known space of the segmentation, instead.
        transform: `transform` folder of an earlier query, instead of either.
        registration: how to register.
        seed, threads: of the registration.
        strip: whether and how to remove the skull before.
        bias: remove slow changes of brightness before.

    Raises:
        InputError: none of the ways is given, or more than one, or a number is out of range.
    """

    register: bool
    space: Space | None = None
    transform: Path | None = None
    registration: Method = "fast"
    seed: int = 1
    threads: int | None = None
    strip: Strip = "auto"
    bias: bool = False

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise InputError(f"‹threads› must be at least 1, not {self.threads}")
        if self.seed < 0:
            raise InputError(f"‹registration_seed› must not be negative, not {self.seed}")
        ways = [self.register or None, self.space, self.transform]
        if sum(way is not None for way in ways) != 1:
            raise InputError(
                "specify exactly one alignment with the atlas",
                hint="‹t1› or ‹t1c› (registered), ‹space=sri24› (BraTS up to 2023) or mni152 (BraTS since), both "
                "without MRI, ‹space=atlas› (masks already there), ‹wm› and ‹gm› (tissue maps, registered), or "
                "‹transform› (of an earlier query)",
                parameter="space",
            )

    def place(self, patient: Patient, atlas: Atlas, folder: Path, stage: Stage) -> Patient:
        """Place a patient; a registration leaves its `transform` in a folder.

        Args:
            patient: to place.
            atlas: to place the patient in.
            folder: of the results.
            stage: told of each stage.

        Raises:
            InputError: the registration, the space or the transform does not fit.
        """
        if self.transform is not None:
            with stage("registration"):
                return patient.with_transform(self.transform, atlas)
        if self.space is not None:
            with stage("registration"):
                return patient.in_space(self.space, atlas)
        return patient.register(
            atlas,
            folder / "transform",
            registration=self.registration,
            registration_seed=self.seed,
            threads=self.threads,
            strip=self.strip,
            n4=self.bias,
            stage=stage,
        )
