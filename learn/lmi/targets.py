"""What a network is to tell of a tumour, as numbers that are easy to learn.

Time-independent: √(D T) and √(ρ T) fix the final density, whatever T is. Time-dependent: D, ρ and T, of which many
triples give the same density; Ezhov et al. (2023) show what that costs (Table 2, rows 1 to 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...simulate import MASS_EFFECT_PA, Prior
from ...store.frame import Frame
from ...store.parameters import REFERENCE_DURATION_DAYS, GrowthParameters

Numbers = NDArray[np.float64]
Scale = Literal["log", "linear"]

TARGETS = ("mu+seed", "mu", "rates+seed", "rates", "seed")
"""What a network may tell: `mu` is √(D T) and √(ρ T), `rates` is D, ρ and T."""

_RATES = Prior()
_MU1 = tuple(float(np.sqrt(_RATES.diffusivity[n] * _RATES.duration[n])) for n in (0, 1))
_MU2 = tuple(float(np.sqrt(_RATES.proliferation[n] * _RATES.duration[n])) for n in (0, 1))
_RANGES = {"mu": (_MU1, _MU2), "rates": (_RATES.diffusivity, _RATES.proliferation, _RATES.duration)}


@dataclass(frozen=True)
class Targets:
    """Numbers for the growth and the seed of a tumour.

    Args:
        name: one of `TARGETS`.
        scale: "log": logarithms, in which products of rates are sums; of `mu` those of √(D T) √(ρ T), how far it grew,
            and of √(D T) / √(ρ T), how wide its front is. "linear": as they are, the prior's range scaled to [-1, 1]
            (Ezhov et al. 2023).
        pushing: beside the growth, the mass effect, of a model that has one.

    Raises:
        InputError: there are no such targets.
    """

    name: str = "mu+seed"
    scale: Scale = "log"
    pushing: bool = False

    def __post_init__(self) -> None:
        if self.name not in TARGETS:
            raise InputError(f"targets are one of {', '.join(TARGETS)}, not {self.name}")

    @property
    def growth(self) -> str | None:
        """Whether "mu", "rates" or nothing of growth is told."""
        first = self.name.split("+", maxsplit=1)[0]
        return None if first == "seed" else first

    @property
    def seed(self) -> bool:
        """Whether the seed is told."""
        return self.name.endswith("seed")

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return (len(_RANGES[self.growth]) + self.pushing if self.growth else 0) + 3 * self.seed

    def of(self, parameters: GrowthParameters, centre: Numbers, mirrored: bool, frame: Frame) -> Numbers:
        """Numbers of a tumour, (`count`,).

        Args:
            parameters: that it grew with.
            centre: voxel from which the seed is told, mirrored where `mirrored`, (3,).
            mirrored: whether the frame is looked at in a mirror along its first axis.
            frame: that the seed lies in.
        """
        p = parameters
        found: list[float] = []
        if self.growth:
            values = (p.mu1, p.mu2) if self.growth == "mu" else (p.diffusivity, p.proliferation, p.duration)
            found += self._scaled(self.growth, values)
            if self.pushing:
                found += _linear((p.mass_effect,), (MASS_EFFECT_PA,))
        if self.seed:
            voxel = frame.voxel(p.seed_mm)
            if mirrored:
                voxel[0] = frame.shape[0] - 1 - voxel[0]
            found += ((voxel - centre) * frame.spacing).tolist()
        return np.array(found)

    def parameters(
        self, numbers: Numbers, centre: Numbers, mirrored: bool, frame: Frame
    ) -> tuple[tuple[float, ...] | None, tuple[float, float, float] | None]:
        """Inverse of `of`: D, ρ, T and, where it is told, γ; the seed in mm; None for what is not told.

        Rates are little beyond the prior.
        """
        rates, seed = None, None
        if self.growth:
            count = len(_RANGES[self.growth])
            values = self._unscaled(self.growth, numbers[:count])
            if self.growth == "mu":
                days = REFERENCE_DURATION_DAYS
                values = (values[0] ** 2 / days, values[1] ** 2 / days, days)
            if self.pushing:
                low, high = MASS_EFFECT_PA
                pressure = low + (float(numbers[count]) + 1) / 2 * (high - low)
                values = (*values, min(max(pressure, low), high))
            rates = values
        if self.seed:
            voxel = centre + numbers[-3:] / frame.spacing
            if mirrored:
                voxel[0] = frame.shape[0] - 1 - voxel[0]
            x, y, z = (float(v) for v in frame.world(voxel))
            seed = (x, y, z)
        return rates, seed

    def _scaled(self, growth: str, values: tuple[float, ...]) -> list[float]:
        if self.scale == "linear":
            return _linear(values, _RANGES[growth])
        logs = [float(np.log(v)) for v in values]
        return [logs[0] + logs[1], logs[0] - logs[1]] if growth == "mu" else logs

    def _unscaled(self, growth: str, numbers: Numbers) -> tuple[float, ...]:
        ranges = _RANGES[growth]
        if self.scale == "linear":
            values = [low + (float(n) + 1) / 2 * (high - low) for n, (low, high) in zip(numbers, ranges, strict=True)]
        else:
            n = np.array(numbers, np.float64)
            values = np.exp([(n[0] + n[1]) / 2, (n[0] - n[1]) / 2] if growth == "mu" else n).tolist()
        # a network may leave what it has learned from; far beyond, a simulation would take minutes
        return tuple(min(max(v, low / _BEYOND), high * _BEYOND) for v, (low, high) in zip(values, ranges, strict=True))


def _linear(values: tuple[float, ...], ranges: Sequence[tuple[float, ...]]) -> list[float]:
    return [2 * (v - low) / (high - low) - 1 for v, (low, high) in zip(values, ranges, strict=True)]


_BEYOND = 1.5
