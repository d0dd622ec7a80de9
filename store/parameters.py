"""What a simulated tumour is made of: seed, diffusivity, proliferation rate, duration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

UNITS = {
    "seed_mm": "mm",
    "diffusivity": "mm^2/day",
    "proliferation": "1/day",
    "duration": "day",
    "mass_effect": "Pa",
}
"""Units of the fields of `GrowthParameters`."""

REFERENCE_DURATION_DAYS = 100.0
"""Duration given to a tumour known only by (mu1, mu2): the solution does not depend on it (Ezhov et al. 2023, §2)."""


@dataclass(frozen=True)
class GrowthParameters:
    """Parameters of a growth model (Ezhov et al. 2022, Eq. 1; Ezhov et al. 2023, Eqs. 3 to 6).

    Args:
        seed_mm: where growth starts, (x, y, z) in RAS+ mm of the atlas; not rounded to voxels.
        diffusivity: D_w in white matter, mm²/day.
        proliferation: rho, 1/day.
        duration: T, days.
        mass_effect: gamma, the pressure of tumour at density 1, Pa; 0 where it pushes nothing.

    Raises:
        InputError: a value is not finite, or one other than the seed's is negative.
    """

    seed_mm: tuple[float, float, float]
    diffusivity: float
    proliferation: float
    duration: float
    mass_effect: float = 0.0

    def __post_init__(self) -> None:
        seed = tuple(float(v) for v in self.seed_mm)
        if len(seed) != 3 or not all(math.isfinite(v) for v in seed):
            raise InputError(f"seed_mm must be three finite numbers (mm), not {self.seed_mm}")
        object.__setattr__(self, "seed_mm", seed)
        for name in ("diffusivity", "proliferation", "duration", "mass_effect"):
            value = float(getattr(self, name))
            if not math.isfinite(value) or value < 0:
                raise InputError(f"{name} must be finite and not negative ({UNITS[name]}), not {value}")
            object.__setattr__(self, name, value)

    @property
    def mu1(self) -> float:
        """Diffusion length sqrt(D_w T) in mm (Ezhov et al. 2023, §2)."""
        return math.sqrt(self.diffusivity * self.duration)

    @property
    def mu2(self) -> float:
        """Growth number sqrt(rho T), without unit (Ezhov et al. 2023, §2)."""
        return math.sqrt(self.proliferation * self.duration)

    @classmethod
    def from_mu(
        cls,
        seed_mm: tuple[float, float, float],
        mu1: float,
        mu2: float,
        duration: float = REFERENCE_DURATION_DAYS,
    ) -> GrowthParameters:
        """Build parameters from the two numbers that fix the final density, at a chosen duration in days."""
        return cls(seed_mm, mu1**2 / duration, mu2**2 / duration, duration)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> GrowthParameters:
        """Read parameters from plain values as `as_record` makes them; what is derived is not looked at."""
        return cls(
            tuple(record["seed_mm"]),
            record["diffusivity"],
            record["proliferation"],
            record["duration"],
            record["mass_effect"],
        )

    def as_record(self) -> dict[str, object]:
        """Plain values for JSON: the fields and the derived mu1, mu2."""
        return vars(self) | {"seed_mm": list(self.seed_mm), "mu1_mm": self.mu1, "mu2": self.mu2}
