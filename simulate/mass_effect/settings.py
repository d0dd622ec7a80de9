"""Choices of the growth model with mass effect, as a store keeps them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
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

MASS_EFFECT_VERSION = f"{MASS_EFFECT} 1"
"""Changes whenever the same parameters would give other densities; kept in every store."""


@dataclass(frozen=True)
class MassEffectSettings:
    """Choices of the model; stiffnesses are those of the authors' code (PEERS: Subramanian et al. 2019).

    Args:
        growth: of what grows and spreads, as without mass effect.
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
        for name, low, high in (("young_pa", 0.0, math.inf), ("poisson", -1.0, 0.5)):
            values = tuple(float(v) for v in getattr(self, name))
            if len(values) != 4 or not all(math.isfinite(v) and low < v < high for v in values):
                raise InputError(f"{name} must be four numbers above {low:g} and below {high:g}, not {values}")
            object.__setattr__(self, name, values)
        if self.voxels_a_cell not in (1, 2):
            raise InputError(f"voxels_a_cell must be 1 or 2, not {self.voxels_a_cell}")
        if self.pushes < 1 or not 0 < self.tolerance < 1:
            raise InputError(
                f"pushes must be at least 1 and tolerance in (0, 1), not {self.pushes} and {self.tolerance}"
            )

    @cached_property
    def materials(self) -> NDArray[np.float32]:
        """Lambda and mu of white matter, grey matter, CSF and tumour, Pa, (2, 4)."""
        young, poisson = np.array(self.young_pa), np.array(self.poisson)
        lame = young * poisson / ((1 + poisson) * (1 - 2 * poisson))
        return np.array([lame, young / (2 * (1 + poisson))], np.float32)

    @property
    def largest_mass_effect_pa(self) -> float:
        """Pressure of tumour at density 1 that would stretch it to twice its length, were it free along one axis.

        Small strains are assumed throughout; beyond this one, tissue folds.
        """
        lame, shear = self.materials[:, 0] + self.materials[:, 3]  # of tumour in white matter
        return float(lame + 2 * shear)

    def as_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        own = asdict(self) | {"young_pa": list(self.young_pa), "poisson": list(self.poisson)}
        return {"model": MASS_EFFECT_VERSION} | own | {"growth": self.growth.as_record()}

    @classmethod
    def from_record(cls, record: dict[str, object], store: str | Path, instead: str) -> MassEffectSettings:
        """Inverse of `as_record`; see `FisherKolmogorovSettings.from_record`.

        Raises:
            InputError: the store was built with another version of the model.
        """
        choices: dict[str, Any] = dict(record)
        if choices.pop("model", None) != MASS_EFFECT_VERSION:
            raise InputError(
                f"{store} was built with the growth model {record.get('model')}, {MASS_EFFECT_VERSION} is wanted here: "
                f"{instead}, or build the store anew"
            )
        growth = FisherKolmogorovSettings.from_record(choices.pop("growth"), store, instead)
        return cls(growth=growth, **choices)
