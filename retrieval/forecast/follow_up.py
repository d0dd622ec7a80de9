"""A tumour seen twice: what grows from the first image, with which rates, to look like the second (Ezhov et al. 2019).

Four numbers are asked for: D and ρ, which two images with a known time between them tell apart, and the densities at
which both outlines of the second show.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...simulate import FisherKolmogorov, Growth, Prior
from ...store.cores import available_cores
from ...store.parameters import GrowthParameters
from ..refinement.npe_refinement import CORE, WHOLE

Density = NDArray[np.float32]
Mask = NDArray[np.bool_]
Maps = NDArray[np.uint8]
Numbers = NDArray[np.float64]
Range = tuple[float, float]

NAMES = "diffusivity", "proliferation", "threshold_core", "threshold_whole"
"""Numbers of a point: those of growth as logarithms."""

_PRIOR = Prior()


@dataclass(frozen=True)
class Ranges:
    """Between which ends the numbers may lie; the logarithms of growth, and the thresholds, are uniform there.

    Args:
        diffusivity: D_w, mm²/day.
        proliferation: ρ, 1/day.
        core, whole: densities at which the outlines show (Ezhov et al. 2023).

    Raises:
        InputError: an end is out of order, or no such number.
    """

    diffusivity: Range = _PRIOR.diffusivity
    proliferation: Range = _PRIOR.proliferation
    core: Range = CORE
    whole: Range = WHOLE

    def __post_init__(self) -> None:
        for name in ("diffusivity", "proliferation", "core", "whole"):
            low, high = getattr(self, name)
            if not 0 < low < high < np.inf or (name in {"core", "whole"} and high > 1):
                raise InputError(f"the range of the {name} must go from above 0 to a larger number, not {low}, {high}")


@dataclass(frozen=True, eq=False)
class Scan:
    """What a later scan shows, on the solver's frame.

    Args:
        days: after the first.
        core, whole: masks; the core lies inside the whole.
    """

    days: float
    core: Mask
    whole: Mask


class FollowUp:
    """Label maps of what grows from a density, and the uniform prior of `NAMES`: a `LabelProblem`.

    Args:
        solver: of the patient's anatomy.
        initial: density that the first image shows, in [0, 1] on its frame.
        scan: the second.
        ranges: see `Ranges`.
        margin: voxels around what both images show that are looked at.

    Raises:
        InputError: the second scan is not later, shows nothing, or is too coarse to tell; the density is not one.
    """

    def __init__(
        self,
        solver: FisherKolmogorov,
        initial: Density,
        scan: Scan,
        ranges: Ranges | None = None,
        margin: int = 12,
    ) -> None:
        ranges = ranges or Ranges()
        if not scan.days > 0:
            raise InputError(
                f"the follow-up must be later than the first image: ‹follow_up_day={scan.days:g}› is not above 0"
            )
        seen = np.count_nonzero(scan.whole & solver.atlas.tissue)
        if seen < _FEWEST_VOXELS:
            raise InputError(
                f"the follow-up's tumour fills {seen} voxels of {solver.atlas.frame.spacing[0]:g} mm of the tissue, "
                f"too few to tell rates by (at least {_FEWEST_VOXELS})",
                hint="give a smaller ‹voxel_mm›, or look at how both images lie in the anatomy",
            )
        self.solver, self.initial, self.scan, self.ranges = solver, initial, scan, ranges
        low, high = np.array([ranges.diffusivity, ranges.proliferation, ranges.core, ranges.whole], np.float64).T
        self.low, self.high = (np.concatenate([np.log(end[:2]), end[2:]]) for end in (low, high))
        voxels = np.argwhere(scan.whole | (initial >= np.float32(ranges.whole[0])))
        first = np.maximum(voxels.min(axis=0) - margin, 0)
        last = np.minimum(voxels.max(axis=0) + margin + 1, solver.atlas.frame.shape)
        self.box = tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
        self._largest_ml = _TOO_LARGE * float(np.count_nonzero(scan.whole)) * solver.atlas.frame.voxel_ml
        self.observed: Maps = (scan.whole.astype(np.uint8) + scan.core)[self.box]
        i, j, k = (float(v) for v in solver.atlas.frame.world(voxels.mean(axis=0)))
        self.place = i, j, k
        # an initial density that is none is refused here
        still = GrowthParameters(self.place, 0.0, 0.0, 0.0)
        self.first = solver.grow(still, initial=initial)

    def grow(
        self, point: Numbers, days: float, initial: Growth | None = None, largest_ml: float | None = None
    ) -> Growth:
        """Simulate a point for some days, from the first image or from what has grown of it.

        Args:
            point: see `NAMES`.
            days: to grow.
            initial: to go on with.
            largest_ml: volume of density 0.2 above which to give up.
        """
        rates = GrowthParameters(self.place, float(np.exp(point[0])), float(np.exp(point[1])), days)
        return self.solver.grow(rates, largest_ml, initial=self.first if initial is None else initial)

    def label_maps(self, points: Numbers, rng: np.random.Generator) -> tuple[NDArray[np.bool_], Maps]:
        """See `LabelProblem`; what grows far larger than the second scan shows is left out."""
        with ThreadPoolExecutor(available_cores()) as pool:
            found = list(pool.map(self._seen, points))
        maps = [one for one in found if one is not None]
        return np.array([one is not None for one in found], bool), np.array(maps, np.uint8).reshape(
            -1, *self.observed.shape
        )

    def label_map(self, density: Density, point: Numbers) -> Maps:
        """Label map that a density on the frame shows, within the box that is looked at."""
        seen = density[self.box]
        core, whole = (seen >= np.float32(threshold) for threshold in point[2:])
        return np.asarray(core.astype(np.uint8) + whole, np.uint8)

    def _seen(self, point: Numbers) -> Maps | None:
        tumour = self.grow(point, self.scan.days, largest_ml=self._largest_ml)
        return None if tumour.outgrew else self.label_map(tumour.full(), point)


def density_of_adc(adc: Density, mask: Mask) -> Density:
    """Estimate a density from the apparent diffusion coefficient: inverse to it within a mask (Ezhov et al. 2019).

    The lowest coefficient that 1 % of the mask is below has `_DENSEST`, for the paper does not say what density it has.

    Args:
        adc: in any unit, above 0 within the mask.
        mask: the whole tumour, on the same grid.

    Raises:
        InputError: the mask is empty, or a coefficient in it is not above 0.
    """
    if not mask.any():
        raise InputError("the ADC's mask is empty", hint="give the whole tumour at the first scan")
    inside = adc[mask]
    if not inside.min() > 0:
        raise InputError(
            f"the ADC is {inside.min():g} in a voxel of the tumour: it must be above 0 in all of the mask, so leave "
            "others out of it"
        )
    found = np.zeros(adc.shape, np.float32)
    found[mask] = _DENSEST * np.minimum(1.0, np.quantile(inside, 0.01) / inside)
    return found


_FEWEST_VOXELS, _TOO_LARGE, _DENSEST = 60, 6.0, 0.95
