"""Which tumours a store holds: the distribution of growth parameters, and the sizes that real tumours have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..store.atlas import Atlas
from ..store.parameters import UNITS, GrowthParameters

Range = tuple[float, float]

_ANY_ML = 1e5  # more than a frame holds


@dataclass(frozen=True)
class Prior:
    """Independent uniform draws, kept if the tumour's size is realistic; ranges of Ezhov et al. (2022, §3).

    Args:
        diffusivity: range of D_w, mm²/day.
        proliferation: range of rho, 1/day.
        duration: range of T, days.
        whole_ml: sizes of the whole tumour that are kept. The papers give no limits; these hold the 59 BraTS
            cases that were measured (7 to 231 ml), with room.
        core_ml: sizes of the core that are kept (measured: 1.7 to 183 ml).
        mass_effect: range of gamma, Pa, of the model that has one; see `MASS_EFFECT_PA`.
    """

    diffusivity: Range = (0.02, 1.5)
    proliferation: Range = (0.002, 0.2)
    duration: Range = (50.0, 1500.0)
    whole_ml: Range = (3.0, 250.0)
    core_ml: Range = (0.5, 200.0)
    mass_effect: Range | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in self._ranges().items():
            if not (math.isfinite(low) and math.isfinite(high) and 0 <= low < high):
                raise InputError(f"prior range {name} must be 0 <= low < high, not ({low}, {high})")

    def draw(self, atlas: Atlas, tissue: NDArray[np.int64], seed: int, index: int) -> GrowthParameters:
        """Draw number `index` of the stream named by `seed`: the same on every machine, whatever came before.

        Args:
            atlas: whose tissue the seed lies in.
            tissue: voxels of it, (n, 3); `tissue_voxels(atlas)`.
            seed: of the stream, 0 to 2^64 - 1.
            index: of the draw, >= 0.
        """
        rng = np.random.Generator(np.random.Philox(key=np.array([seed, index], np.uint64)))
        voxel = tissue[rng.integers(len(tissue))] + (rng.random(3) - 0.5)
        x, y, z = (float(v) for v in atlas.frame.world(voxel))
        return GrowthParameters(
            (x, y, z),
            _uniform(rng, self.diffusivity),
            _uniform(rng, self.proliferation),
            _uniform(rng, self.duration),
            _uniform(rng, self.mass_effect) if self.mass_effect else 0.0,
        )

    def keeps(self, whole_ml: float, core_ml: float) -> bool:
        """Whether a tumour of these volumes belongs to the store."""
        return self.whole_ml[0] <= whole_ml <= self.whole_ml[1] and self.core_ml[0] <= core_ml <= self.core_ml[1]

    def as_record(self) -> dict[str, object]:
        """Plain values for JSON, with units."""
        ranges = self._ranges()
        return {name: [float(v) for v in values] for name, values in ranges.items()} | {
            "seed": "uniform over tissue",
            "units": {name: _UNITS[name] for name in ranges},
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Prior:
        """Inverse of `as_record`; leaves out what a campaign keeps besides."""
        ranges = {one.name: record[one.name] for one in fields(cls) if one.name in record}
        return cls(**{name: (float(low), float(high)) for name, (low, high) in ranges.items()})

    def _ranges(self) -> dict[str, Range]:
        return {name: values for name, values in asdict(self).items() if values is not None}


MASS_EFFECT_PA = (0.0, 16000.0)
"""Range of gamma that a store is built with: up to the authors' value. Half of its
tumours push tissue by more than 3 mm, some by more than 10 (`benchmarks/mass_effect.py`), as midlines are shifted."""


def _uniform(rng: np.random.Generator, within: Range) -> float:
    """Draw as numpy does, whose C code is contracted on some processors; Python's operations are not."""
    low, high = within
    return low + (high - low) * rng.random()


_UNITS = UNITS | {"whole_ml": "ml", "core_ml": "ml"}


PRIORS = {
    "store": Prior(),
    "ezhov2021": Prior((0.001, 0.08), (0.001, 0.03), (50.0, 1000.0), whole_ml=(0.0, _ANY_ML), core_ml=(0.0, _ANY_ML)),
}
"""By name: of a store to search (Ezhov et al. 2022), and of what surrogates learn and are tried on, where tumours of
all sizes count (Ezhov et al. 2021, §III.1)."""


def tissue_voxels(atlas: Atlas) -> NDArray[np.int64]:
    """Return the voxels that a seed may fall in, (n, 3) indices."""
    return np.argwhere(atlas.tissue)
