"""The brain that tumours grow in: tissue fractions and a T1 image on one frame."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .frame import Frame

MAPS = ("white", "grey", "csf", "t1")
"""The arrays of an atlas, in the order they are stored and hashed."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """Tissue fractions of a brain.

    Args:
        name: what the atlas is called, for reports.
        frame: grid of all four maps.
        white, grey, csf: fractions in [0, 1], float32, zero outside the brain.
        t1: T1-weighted intensity, brain only, float32; the target of registration.

    Raises:
        InputError: a map has another shape than the frame, is not finite, or a fraction leaves [0, 1].
    """

    name: str
    frame: Frame
    white: NDArray[np.float32]
    grey: NDArray[np.float32]
    csf: NDArray[np.float32]
    t1: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name in MAPS:
            values = np.ascontiguousarray(getattr(self, name), dtype=np.float32)
            if values.shape != self.frame.shape:
                raise InputError(f"atlas map {name} is {values.shape}, its frame {self.frame.shape}")
            if not np.isfinite(values).all():
                raise InputError(f"atlas map {name} holds values that are not finite")
            if name != "t1" and (values.min() < 0 or values.max() > 1 + 1e-4):
                raise InputError(
                    f"atlas map {name} runs from {values.min():g} to {values.max():g}", hint="give fractions in [0, 1]"
                )
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if not self.tissue.any():
            raise InputError(f"atlas {self.name} has no voxel where white + grey exceeds CSF")

    @cached_property
    def tissue(self) -> NDArray[np.bool_]:
        """Where tumours grow: white + grey exceeds CSF (GliomaSolver's majority rule)."""
        mask = self.white + self.grey > self.csf
        mask.setflags(write=False)
        return mask

    @cached_property
    def brain(self) -> NDArray[np.bool_]:
        """White, grey or CSF."""
        mask = self.white + self.grey + self.csf >= 0.5
        mask.setflags(write=False)
        return mask

    @cached_property
    def digest(self) -> str:
        """SHA-256 of frame and maps: two atlases with the same digest give the same tumours."""
        digest = hashlib.sha256(repr(self.frame.as_record()).encode())
        for name in MAPS:
            digest.update(getattr(self, name).tobytes())
        return digest.hexdigest()
