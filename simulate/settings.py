"""Choices of the Fisher-Kolmogorov model, as a store keeps them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import InputError

DEFAULT_ATLAS = "icbm152"
"""Atlas of a new store: ICBM152 2009a, which nilearn ships."""

MODEL_VERSION = "fisher-kolmogorov 4"
"""Changes whenever the same parameters would give other densities, be it by a bit; kept in every store."""

EQUAL_TO_ROUNDING = ("fisher-kolmogorov 3", MODEL_VERSION)
"""Versions whose densities differ by rounding alone. That of the older one depended on the processor."""


@dataclass(frozen=True)
class FisherKolmogorovSettings:
    """Choices that papers and codes make differently; the defaults are the store's.

    Args:
        face_mean: diffusivity of a face from its two cells: harmonic (GliomaSolver) or arithmetic
            (TumorGrowthToolkit).
        tissue_fractions: "renormalised" makes white + grey = 1 in every tissue voxel (GliomaSolver), "raw" keeps
            partial volumes, which lower the diffusivity.
        grey_ratio: D_w / D_g.
        seed_volume_ml: integral of the initial density.
        seed_width_mm: standard deviation of the Gaussian seed.
        diffusion_number: time step over the stability limit, at most 1.
        growth_per_step: largest rho times time step.
    """

    face_mean: Literal["harmonic", "arithmetic"] = "harmonic"
    tissue_fractions: Literal["renormalised", "raw"] = "renormalised"
    grey_ratio: float = 10.0
    seed_volume_ml: float = 0.1
    seed_width_mm: float = 2.5
    diffusion_number: float = 0.95
    growth_per_step: float = 0.6

    def __post_init__(self) -> None:
        for name, choices in (("face_mean", _FACE_MEANS), ("tissue_fractions", _TISSUE_FRACTIONS)):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} must be {' or '.join(choices)}, not {getattr(self, name)!r}")
        for name in ("grey_ratio", "seed_volume_ml", "seed_width_mm", "diffusion_number", "growth_per_step"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} must be a finite number above 0, not {value}")
        if self.diffusion_number > 1:
            raise InputError(f"diffusion_number must be at most 1, the stability limit, not {self.diffusion_number}")

    def as_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {"model": MODEL_VERSION} | asdict(self)

    @classmethod
    def from_record(
        cls, record: dict[str, object], store: str | Path, instead: str, *, same_bits: bool = False
    ) -> FisherKolmogorovSettings:
        """Inverse of `as_record`, for the record of a store.

        Args:
            record: of the model.
            store: path, for the error.
            instead: what the user can do where this version cannot simulate it.
            same_bits: refuse versions whose densities are equal to rounding only, too.

        Raises:
            InputError: the store was built with another version of the model.
        """
        choices: dict[str, Any] = dict(record)
        if choices.pop("model", None) not in ((MODEL_VERSION,) if same_bits else EQUAL_TO_ROUNDING):
            raise InputError(
                f"{store} was built with the growth model {record.get('model')}, {MODEL_VERSION} is wanted here: "
                f"{instead}, or build the store anew"
            )
        return cls(**choices)


_FACE_MEANS, _TISSUE_FRACTIONS = ("harmonic", "arithmetic"), ("renormalised", "raw")
