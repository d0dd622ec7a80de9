"""Choices of the growth model with mass effect, as a store keeps them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..settings import FisherKolmogorovSettings
from .elasticity import FORMS, Form

MASS_EFFECT = "mass-effect"
"""Name of the model in a store's record."""

MASS_EFFECT_VERSION = f"{MASS_EFFECT} 2"
"""Changes whenever the same parameters would give other densities, be it by a bit; kept in every store."""

EQUAL_TO_ROUNDING = (f"{MASS_EFFECT} 1", MASS_EFFECT_VERSION)
"""See `simulate.settings.EQUAL_TO_ROUNDING`."""


@dataclass(frozen=True)
class MassEffectSettings:
    """Choices of the model; stiffnesses are those of the authors' code (PEERS: Subramanian et al. 2019).

    Args:
        growth: of what grows and spreads, as without mass effect. Of its "raw" tissue fractions, those of all three
            tissues sum to one here: in an atlas where they do not, the least push spreads otherwise than none.
        form: of elasticity, see `ElasticBody`.
        young_pa: Young's modulus of white matter, grey matter, CSF and tumour, Pa.
        poisson: ratio of the four.
        voxels_a_cell: voxels along each edge of a cell of the elastic body.
        pushes: how often in a run the tissue is moved.
        tolerance: what may be left of the elastic equations, over the force.
    """

    growth: FisherKolmogorovSettings = field(default_factory=FisherKolmogorovSettings)
    form: Form = "textbook"
    young_pa: tuple[float, float, float, float] = (2100.0, 2100.0, 100.0, 8000.0)
    poisson: tuple[float, float, float, float] = (0.4, 0.4, 0.1, 0.45)
    voxels_a_cell: int = 2
    pushes: int = 16
    tolerance: float = 1e-2

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise InputError(f"form must be {' or '.join(FORMS)}, not {self.form!r}")
        for name, low, high in (("young_pa", 0.0, math.inf), ("poisson", 0.0, 0.5)):
            values = tuple(float(v) for v in getattr(self, name))
            if len(values) != 4 or not all(math.isfinite(v) and low < v < high for v in values):
                raise InputError(f"{name} must be four numbers above {low:g} and below {high:g}, not {values}")
            object.__setattr__(self, name, values)
        for name, most in (("voxels_a_cell", 2), ("pushes", _MOST_PUSHES)):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= most:
                raise InputError(f"{name} must be a whole number from 1 to {most}, not {value!r}")
        if not (isinstance(self.tolerance, float) and 0 < self.tolerance < 1):
            raise InputError(f"tolerance must be a number in (0, 1), not {self.tolerance!r}")

    @cached_property
    def materials(self) -> NDArray[np.float32]:
        """Lambda and mu of white matter, grey matter, CSF and tumour, Pa, (2, 4)."""
        young, poisson = np.array(self.young_pa), np.array(self.poisson)
        lame = young * poisson / ((1 + poisson) * (1 - 2 * poisson))
        return np.array([lame, young / (2 * (1 + poisson))], np.float32)

    @property
    def largest_mass_effect_pa(self) -> float:
        """Pressure of tumour at density 1 under which it would be strained by 1, were it free along one axis.

        Small strains are assumed throughout, and this one is not small. Tumours may fold tissue at less, by where they
        lie: that is looked at in each.
        """
        lame, shear = self.materials[:, 0] + self.materials[:, 3]  # of tumour in white matter
        return float(lame + 2 * shear)

    def check(self, mass_effect: float) -> None:
        """Refuse a mass effect that this model cannot take, Pa.

        Raises:
            InputError: it is beyond `largest_mass_effect_pa`.
        """
        largest = self.largest_mass_effect_pa
        if mass_effect > largest:
            raise InputError(
                f"a mass effect of {mass_effect:.0f} Pa is beyond {largest:.0f} Pa, where strains are no longer small",
                hint="choose a smaller one",
            )

    def as_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        own = asdict(self) | {"young_pa": list(self.young_pa), "poisson": list(self.poisson)}
        return {"model": MASS_EFFECT_VERSION} | own | {"growth": self.growth.as_record()}

    @classmethod
    def from_record(
        cls, record: dict[str, object], store: str | Path, instead: str, *, same_bits: bool = False
    ) -> MassEffectSettings:
        """Inverse of `as_record`; see `FisherKolmogorovSettings.from_record`.

        Raises:
            InputError: the store was built with another version of the model.
        """
        choices: dict[str, Any] = dict(record)
        if choices.pop("model", None) not in ((MASS_EFFECT_VERSION,) if same_bits else EQUAL_TO_ROUNDING):
            raise InputError(
                f"{store} was built with the growth model {record.get('model')}, {MASS_EFFECT_VERSION} is wanted here: "
                f"{instead}, or build the store anew"
            )
        if unknown := choices.keys() ^ {one.name for one in fields(cls)}:
            names = ", ".join(sorted(unknown))
            raise InputError(f"{store} has other choices of its growth model than are known here ({names}): {instead}")
        growth = FisherKolmogorovSettings.from_record(choices.pop("growth"), store, instead, same_bits=same_bits)
        return cls(growth=growth, **choices)


_MOST_PUSHES = 1000
