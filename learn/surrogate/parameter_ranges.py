"""Between which numbers growth lay where a network learned, and these numbers as it is told them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...store.parameters import GrowthParameters
from .surrogate_configs import Told

NAMES: dict[Told, tuple[str, ...]] = {
    "mu": ("mu1", "mu2"),
    "rates": ("diffusivity", "proliferation", "duration"),
}
_SHOWN = {
    "mu1": "√(DT), mm",
    "mu2": "√(ρT)",
    "diffusivity": "D, mm²/day",
    "proliferation": "ρ, 1/day",
    "duration": "T, days",
}


@dataclass(frozen=True)
class Ranges:
    """Ends of each number.

    Args:
        told: what of growth is told, see `SurrogateDesign`.
        low, high: of each number; of `mu` logarithms are told.
    """

    told: Told
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, tumours: Sequence[GrowthParameters], told: Told) -> Ranges:
        """Take the ends of tumours."""
        values = np.array([[getattr(p, name) for name in NAMES[told]] for p in tumours])
        low, high = values.min(axis=0), values.max(axis=0)
        return cls(told, tuple(low.tolist()), tuple(high.tolist()))

    @property
    def names(self) -> str:
        """What the numbers are, with units."""
        return "; ".join(_SHOWN[name] for name in NAMES[self.told])

    def scaled(self, parameters: GrowthParameters) -> NDArray[np.float32]:
        """Numbers in [-1, 1], (k,)."""
        values, low, high = (
            np.array(v, np.float64)
            for v in ([getattr(parameters, name) for name in NAMES[self.told]], self.low, self.high)
        )
        if self.told == "mu":
            values, low, high = np.log(values), np.log(low), np.log(high)
        return np.asarray(2 * (values - low) / np.maximum(high - low, _LEAST) - 1, np.float32)

    def hold(self, parameters: GrowthParameters) -> bool:
        """Whether such growth was learned."""
        return self._outside(parameters) is None

    def check(self, parameters: GrowthParameters) -> None:
        """Refuse growth that was not learned.

        Raises:
            InputError: a number lies outside the range, by more than rounding.
        """
        if outside := self._outside(parameters):
            raise InputError(f"{outside}", hint="use the solver")

    def _outside(self, parameters: GrowthParameters) -> str | None:
        for name, low, high in zip(NAMES[self.told], self.low, self.high, strict=True):
            value = getattr(parameters, name)
            if not low * (1 - _SLACK) <= value <= high * (1 + _SLACK):
                return (
                    f"{_SHOWN[name]} = {value:.4g} lies outside what the surrogate has learned, {low:.4g} to {high:.4g}"
                )
        return None


_LEAST, _SLACK = 1e-9, 0.02
