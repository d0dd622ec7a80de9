"""What images show of a tumour: the probability of two outlines and of a FET-PET, given its density.

Ezhov et al. (2021), Eqs. 4 to 7: T1Gd and FLAIR show a voxel with a probability that rises with the density around a
threshold, FET-PET shows the density times a constant with Gaussian noise, and all are independent.

All that a likelihood needs to know of a simulated tumour is how many voxels of each label have each density, and three
sums for the PET (`Evidence`): one simulation serves any number of thresholds, widths and noise levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...errors import InputError
from ...simulate import Growth
from ...store.atlas import Atlas
from ...store.quantization import LEVELS, quantise
from ..imaging.pet import check_pet

Mask = NDArray[np.bool_]
Numbers = NDArray[np.float64]

OUTLINES = "core", "whole"
"""What T1Gd and FLAIR show."""

REGION_RADII = 2.0
"""Radius of the sphere in which voxels are compared, over that of a sphere as large as the whole tumour
(GliomaSolver's preprocessing)."""

PET_STEP = 3
"""Of the PET's voxels, one in so many is compared along each axis: neighbours share their noise (GliomaSolver)."""

LEAST_PROBABILITY = 1e-6
"""Of what a voxel shows: Eq. 6 rounds to 0 and 1 far from the threshold, and one stray voxel would decide alone."""


@dataclass(frozen=True)
class Imaging:
    """Parameters of the imaging model, θ_I of Ezhov et al. (2021).

    Args:
        core, whole: density at the outline, u_c of T1Gd and FLAIR.
        width: σ_α, how gradually voxels show around it; in densities.
        pet_scale: b, PET signal of a voxel full of tumour.
        pet_noise: σ, standard deviation of the PET signal.
    """

    core: float
    whole: float
    width: float
    pet_scale: float = 1.0
    pet_noise: float = 0.1


@dataclass(frozen=True)
class Evidence:
    """All that the likelihood asks of a simulated tumour.

    Args:
        shown: voxels by label and density, (4, 4096): in the core, not in it, in the whole, not in it.
        pet: number of voxels compared, sums of y², y u and u².
    """

    shown: NDArray[np.int32]
    pet: Numbers


class Images:
    """Images of one patient on the grid that tumours are simulated on; any of the three may be missing.

    Args:
        atlas: tissue that tumours grow in.
        core: what T1Gd shows, boolean.
        whole: what FLAIR shows, boolean.
        pet: FET-PET signal in [0, 1], 0 where it is not known.
        alike_mm: length over which images err alike. The paper takes every voxel for itself (0), which makes a
            posterior as narrow as a hundredth of a voxel; with a length, only as many count as there are such cubes.
        region: where the outlines are compared, as far as it is tissue; by default a sphere of `REGION_RADII`.

    Raises:
        InputError: all are missing or show nothing, or the PET leaves [0, 1].
    """

    def __init__(
        self,
        atlas: Atlas,
        core: Mask | None = None,
        whole: Mask | None = None,
        pet: NDArray[np.float32] | None = None,
        alike_mm: float = 0.0,
        region: Mask | None = None,
    ) -> None:
        self.core, self.whole = core, whole
        cubes = atlas.frame.voxel_ml * 1000 / max(alike_mm, 1e-3) ** 3
        self._counts = min(1.0, cubes), min(1.0, cubes * PET_STEP**3)
        shown = [mask for mask in (core, whole) if mask is not None]
        if pet is not None:
            check_pet(pet)
            shown.append(pet > 0)
        self.outline = np.logical_or.reduce(shown) if shown else np.zeros(atlas.frame.shape, bool)
        if not self.outline.any():
            raise InputError("no image shows a tumour", hint="give a core, a whole tumour or a PET")
        region = (_sphere(atlas, self.outline) if region is None else region) & atlas.tissue
        self._labels = region * np.uint8(_INSIDE)
        for mask, bit in ((core, _CORE), (whole, _WHOLE)):
            if mask is not None:
                self._labels[mask & region] |= bit
        self.pet = None if pet is None else _thinned(pet)
        self._pet = np.zeros((1, 1, 1), np.float32) if self.pet is None else self.pet
        self._totals = np.array(
            [np.count_nonzero(self._labels & bit if bit else region) for bit in (_CORE, _WHOLE, 0)], np.int64
        )
        self._pet_sums = np.array([np.count_nonzero(self._pet), float((self._pet.astype(np.float64) ** 2).sum())])

    @property
    def known(self) -> tuple[str, ...]:
        """Names of the images that there are: "core", "whole", "pet"."""
        there = {"core": self.core, "whole": self.whole, "pet": self.pet}
        return tuple(name for name, image in there.items() if image is not None)

    def evidence(self, tumour: Growth) -> Evidence:
        """Reduce a simulated tumour on the atlas's frame to what the likelihood asks of it."""
        box = tuple(slice(a, a + n) for a, n in zip(tumour.low, tumour.density.shape, strict=True))
        integers = quantise(tumour.density)
        counts, sums = np.zeros((3, LEVELS + 1), np.int64), np.zeros(2)
        pet = self._pet if self.pet is None else np.ascontiguousarray(self._pet[box])
        _count(integers, np.ascontiguousarray(self._labels[box]), tumour.density, pet, counts, sums)
        counts[:, 0] += self._totals - counts.sum(axis=1)
        core, whole, all_ = counts
        shown = np.stack([core, all_ - core, whole, all_ - whole]).astype(np.int32)
        return Evidence(shown, np.array([*self._pet_sums, *sums]))

    def log_likelihood(self, evidence: Evidence, imaging: Imaging) -> float:
        """Logarithm of Eq. 4; for the PET (Eq. 7) a constant is left out, in all its images alike."""
        value = 0.0
        for first, name in ((0, "core"), (2, "whole")):
            if name in self.known:
                value += self._counts[0] * log_bernoulli(
                    evidence.shown[first], evidence.shown[first + 1], getattr(imaging, name), imaging.width
                )
        if self.pet is not None:
            number, signals, products, squares = evidence.pet
            misfit = signals - 2 * imaging.pet_scale * products + imaging.pet_scale**2 * squares
            value -= self._counts[1] * (number * np.log(imaging.pet_noise) + misfit / (2 * imaging.pet_noise**2))
        return float(value)


def probability_of_showing(density: NDArray[np.floating], threshold: float, width: float) -> Numbers:
    """Chance that an image shows a voxel (Ezhov et al. 2021, Eq. 6), kept off 0 and 1 by `LEAST_PROBABILITY`."""
    apart = np.asarray(density, np.float64) - threshold
    chance = 0.5 + 0.5 * np.sign(apart) * -np.expm1(-((apart / width) ** 2))
    return np.asarray(np.clip(chance, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))


def draw_images(
    density: NDArray[np.float32], imaging: Imaging, rng: np.random.Generator
) -> tuple[Mask, Mask, NDArray[np.float32]]:
    """Draw what T1Gd, FLAIR and PET show of a tumour by Eqs. 5 to 7; the PET is not cut to [0, 1]."""
    core, whole = (
        rng.random(density.shape) < probability_of_showing(density, threshold, imaging.width)
        for threshold in (imaging.core, imaging.whole)
    )
    pet = imaging.pet_scale * density + imaging.pet_noise * rng.standard_normal(density.shape)
    return core, whole, pet.astype(np.float32)


def log_bernoulli(showing: NDArray[np.int32], hidden: NDArray[np.int32], threshold: float, width: float) -> float:
    """Logarithm of Eq. 5 for voxels counted by their density, (4096,) each."""
    return float(_log_bernoulli(showing, hidden, threshold, width))


_LOG_HALF = float(np.log(0.5))
_FARTHEST = _LOG_HALF - float(np.log(LEAST_PROBABILITY))
_FINENESS = 2**16
_LIKELIER = np.log1p(-0.5 * np.exp(-np.linspace(0, _FARTHEST, _FINENESS + 2)))
"""Logarithm of 1 - exp(-z) / 2, the likelier of two outcomes in Eq. 6, by z: reading it off (to 1e-8) costs a sampler
less than a logarithm and an exponential for each density."""


@njit(cache=True, nogil=True, error_model="numpy")
def _log_bernoulli(showing: NDArray[np.int32], hidden: NDArray[np.int32], threshold: float, width: float) -> float:
    total = 0.0
    for level in range(showing.size):
        apart = level / LEVELS - threshold
        z = min((apart / width) ** 2, _FARTHEST)
        place = z * ((_FINENESS + 1) / _FARTHEST)
        below = min(int(place), _FINENESS)
        likelier = _LIKELIER[below] + (place - below) * (_LIKELIER[below + 1] - _LIKELIER[below])
        expected, other = (showing, hidden) if apart > 0 else (hidden, showing)
        total += expected[level] * likelier + other[level] * (_LOG_HALF - z)
    return total


_CORE, _WHOLE, _INSIDE = 1, 2, 4


@njit(cache=True, nogil=True)
def _count(
    integers: NDArray[np.uint16],
    labels: NDArray[np.uint8],
    density: NDArray[np.float32],
    pet: NDArray[np.float32],
    counts: NDArray[np.int64],
    sums: Numbers,
) -> None:
    """Count a box's voxels by label and density into `counts`, those in the core, the whole and all; sum the PET's."""
    with_pet = pet.shape == density.shape
    for x in range(integers.shape[0]):
        for y in range(integers.shape[1]):
            for z in range(integers.shape[2]):
                label = labels[x, y, z]
                if label & _INSIDE:
                    level = integers[x, y, z]
                    counts[0, level] += label & _CORE
                    counts[1, level] += (label & _WHOLE) >> 1
                    counts[2, level] += 1
                if with_pet and pet[x, y, z] > 0:
                    u = np.float64(density[x, y, z])
                    sums[0] += u * pet[x, y, z]
                    sums[1] += u * u


def _sphere(atlas: Atlas, outline: Mask) -> Mask:
    """Voxels within `REGION_RADII` of the radius of a sphere as large as an outline, around its centre of mass."""
    frame, voxels = atlas.frame, np.argwhere(outline)
    radius_mm = REGION_RADII * sphere_radius_mm(len(voxels) * frame.voxel_ml)
    centre = frame.world(voxels.mean(axis=0))
    places = frame.world(np.moveaxis(np.indices(frame.shape), 0, -1))
    return np.asarray(((places - centre) ** 2).sum(axis=-1) <= radius_mm**2) | outline


def sphere_radius_mm(volume_ml: float) -> float:
    """Radius of a sphere of a volume."""
    return float((3000.0 * volume_ml / (4 * np.pi)) ** (1 / 3))


def _thinned(pet: NDArray[np.float32]) -> NDArray[np.float32]:
    kept = np.zeros_like(pet, dtype=np.float32)
    every = (slice(None, None, PET_STEP),) * 3
    kept[every] = pet[every]
    if not kept.any():  # a spot smaller than the steps: rather all of it than nothing
        return np.asarray(pet, np.float32)
    return kept
