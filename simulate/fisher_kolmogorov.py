"""The Fisher-Kolmogorov growth model: from growth parameters to a tumour cell density.

    du/dt = div(D grad u) + rho u (1 - u) in tissue, no flux through its border      (Ezhov et al. 2022, Eqs. 1 and 2)

Finite volumes on the atlas grid. Each step spreads with a conservative stencil, in a few stages (see `super_steps`),
and grows with the exact logistic solution, Strang-split (Strang 1968): second order in time, density in [0, 1] at any
growth rate, mass conserved without growth. Only cells near living ones are computed, in a box that grows ahead of the
front.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..store.atlas import Atlas
from ..store.manifest import THRESHOLDS
from ..store.parameters import GrowthParameters
from .active_box import ActiveBox, Medium, Reach, Workspace
from .active_rows import extent_of_rows
from .elementary import exp
from .growth import Growth, Snapshot
from .rkc import Phase, schedule, scheme
from .settings import FisherKolmogorovSettings

WHOLE_LEVEL = np.float32(THRESHOLDS["whole"])


@dataclass(frozen=True)
class Plan:
    """The time steps of a run.

    Args:
        phases: of equal steps.
        days: of the steps of each phase, and 0 for what follows the last.
        elapsed: days after each step, beginning with 0.
        limits: voxels of whole tumour after each step above which to give up.
        marks: steps after which to take a snapshot.
    """

    phases: list[Phase]
    days: list[float]
    elapsed: NDArray[np.float64]
    limits: NDArray[np.float64]
    marks: frozenset[int]


class Run:
    """A tumour growing: makes the steps of a plan, and pauses at its marks.

    Iterating gives the step of each mark, and by how many days of growth the density is ahead of it then, for growth
    is split around the spreading (Strang 1968).

    Args:
        box: with what the tumour starts from.
        plan: of the steps.
        parameters: of the tumour.
    """

    def __init__(self, box: ActiveBox, plan: Plan, parameters: GrowthParameters) -> None:
        self._box, self._plan, self._parameters = box, plan, parameters
        self.outgrew = False
        """Whether it has given up."""

    def __iter__(self) -> Iterator[tuple[int, float]]:
        box, plan, parameters, before = self._box, self._plan, self._parameters, 0
        box.grow(growth_factor(parameters, plan.days[0] / 2))
        for phase, following in zip(plan.phases, plan.days[1:], strict=True):
            between, ending = (
                growth_factor(parameters, phase.days),
                growth_factor(parameters, (phase.days + following) / 2),
            )
            diffusion = np.float32(parameters.diffusivity * phase.days)
            box.enter_phase(phase.scheme.weights, diffusion, parameters.proliferation * phase.days)
            stops = {phase.steps - 1, phase.steps} | {m - before for m in plan.marks if 0 < m - before < phase.steps}
            for until in sorted(stops):
                growth = ending if until == phase.steps else between
                self.outgrew = self.outgrew or box.march(until, growth, WHOLE_LEVEL, plan.limits)
                if until and before + until in plan.marks and not self.outgrew:
                    yield before + until, (following if until == phase.steps else phase.days) / 2
            before += phase.steps
        self.outgrew = self.outgrew or box.count_at_least(WHOLE_LEVEL) > float(plan.limits[-1])


class FisherKolmogorov:
    """The solver for one atlas; call it with `GrowthParameters` to get the density on the atlas frame.

    >>> solver = FisherKolmogorov(store.atlas)
    >>> u = solver(GrowthParameters(seed_mm=(30, -20, 20), diffusivity=0.2, proliferation=0.03, duration=400))

    Args:
        atlas: where it grows.
        settings: see `FisherKolmogorovSettings`.
    """

    def __init__(self, atlas: Atlas, settings: FisherKolmogorovSettings | None = None) -> None:
        self.atlas = atlas
        self.settings = settings or FisherKolmogorovSettings()
        if atlas.frame.shears:
            raise InputError(f"atlas {atlas.name}: its frame's axes are not perpendicular", hint="resample it first")

    def __call__(self, parameters: GrowthParameters) -> NDArray[np.float32]:
        """Density after `parameters.duration`, float32 in [0, 1] on the atlas frame."""
        return self.grow(parameters).full()

    def grow(
        self,
        parameters: GrowthParameters,
        stop_above_ml: float | None = None,
        reach: Reach | None = None,
        snapshots: Sequence[float] = (),
        initial: NDArray[np.float32] | Growth | None = None,
    ) -> Growth:
        """Simulate one tumour.

        Args:
            parameters: seed in mm of the atlas world, rates per day, duration in days.
            stop_above_ml: give up as soon as the whole volume (density >= 0.2) is sure to end above this, because
                it grows at least like t^1.5 (`benchmarks/preview_bias.py` counts errors).
            reach: box of voxels that it is expected to fill; saves time, changes nothing.
            snapshots: shares of the duration, in (0, 1), at which to keep what the tumour is on its way; each is
                taken at the end of the time step nearest to it. They change nothing either.
            initial: density on the atlas frame to grow from instead of the seed, from an image (Ezhov et al. 2019);
                what lies outside the tissue is left out. Or what this solver grew, to go on with.

        Raises:
            InputError: no tissue lies within three widths of the seed, the initial density is not one, or there is a
                mass effect, which this model has not.
        """
        check_still(parameters)
        low, seed = self._beginning(parameters, initial)
        _memory.workspace = workspace = getattr(_memory, "workspace", None) or Workspace()
        box = ActiveBox(self._medium, low, seed, reach, workspace)
        plan = self.plan(parameters, stop_above_ml, snapshots, planted=initial is None)
        taken: list[Snapshot] = []
        run = Run(box, plan, parameters)
        for step, ahead_days in run:
            taken.append(Snapshot(*box.living(growth_factor(parameters, -ahead_days)), float(plan.elapsed[step])))
        return Growth(*box.living(), self.atlas.frame.shape, box.steps, box.updates, run.outgrew, tuple(taken))

    def _beginning(
        self, parameters: GrowthParameters, initial: NDArray[np.float32] | Growth | None
    ) -> tuple[tuple[int, int, int], NDArray[np.float32]]:
        if initial is None:
            return self.seed_density(parameters.seed_mm)
        return (initial.low, initial.density) if isinstance(initial, Growth) else self._seen(initial)

    def plan(
        self,
        parameters: GrowthParameters,
        stop_above_ml: float | None = None,
        snapshots: Sequence[float] = (),
        *,
        planted: bool = True,
        longest_days: float = math.inf,
    ) -> Plan:
        """Decide the time steps of a run.

        Args:
            parameters: see `grow`.
            stop_above_ml: likewise.
            snapshots: likewise.
            planted: whether it begins with a seed, not with an initial density.
            longest_days: that a step may be.
        """
        phases = self._phases(parameters, longest_days)
        elapsed = np.cumsum([0.0] + [phase.days for phase in phases for _ in range(phase.steps)])
        inner = elapsed[1:-1]
        marks = {int(np.abs(inner - share * elapsed[-1]).argmin()) + 1 for share in snapshots if len(inner)}
        days = [phase.days for phase in phases] + [0.0]
        return Plan(phases, days, elapsed, self._limits(stop_above_ml, elapsed, planted=planted), frozenset(marks))

    def _limits(self, final_ml: float | None, elapsed: NDArray[np.float64], *, planted: bool) -> NDArray[np.float64]:
        """Voxels of whole tumour after each step above which the final volume is sure to pass `final_ml`."""
        if final_ml is None or not elapsed[-1]:
            return np.full(len(elapsed), math.inf if final_ml is None else final_ml / self.atlas.frame.voxel_ml)
        share = elapsed / elapsed[-1]
        limits = np.full(len(elapsed), _SLOWEST_TOLERANCE * final_ml)
        if planted and _SLOWEST_FROM_ML <= final_ml <= self._tissue_ml / 3:  # beyond, the brain may fill up
            later = share >= _SLOWEST_FROM_SHARE
            limits[later] = _SLOWEST_TOLERANCE * share[later] * np.sqrt(share[later]) * final_ml
        limits[-1] = final_ml
        return np.asarray(limits / self.atlas.frame.voxel_ml)

    def _phases(self, parameters: GrowthParameters, most_days: float = math.inf) -> list[Phase]:
        p = parameters
        if p.diffusivity == 0:  # the split growth step is exact by itself
            steps = max(1, math.ceil(p.duration / most_days))
            return [Phase(steps, p.duration / steps, scheme(2))]
        largest = max(1.0, 1.0 / self.settings.grey_ratio)  # diffusivity of a cell over D_w
        stability = 2.0 * largest * sum(1.0 / (h * h) for h in self.atlas.frame.spacing)  # 1/mm²; 6/h² on a cubic grid
        explicit_days = self.settings.diffusion_number / (p.diffusivity * stability)
        longest_days = self.settings.growth_per_step / p.proliferation if p.proliferation else math.inf
        longest_days = min(longest_days, most_days)
        seed_age_days = self.settings.seed_width_mm * self.settings.seed_width_mm / (2 * p.diffusivity)
        return schedule(p.duration, explicit_days, longest_days, seed_age_days)

    @cached_property
    def _domain(self) -> NDArray[np.bool_]:
        return np.asarray(self.atlas.tissue)

    @cached_property
    def _tissue_ml(self) -> float:
        return float(np.count_nonzero(self._domain)) * self.atlas.frame.voxel_ml

    @property
    def faces(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Face coefficients along x, y and z, 1/mm²: see `Medium`."""
        return self._medium.x, self._medium.y, self._medium.z

    @cached_property
    def _medium(self) -> Medium:
        white, grey = self.atlas.white.astype(np.float64), self.atlas.grey.astype(np.float64)
        if self.settings.tissue_fractions == "renormalised":
            total = np.where(self._domain, white + grey, 1.0)
            white, grey = white / total, grey / total
        cell = np.where(self._domain, white + grey / self.settings.grey_ratio, 0.0)
        x, y, z = (
            _face_diffusivity(cell, axis, self.settings.face_mean) / (h * h)
            for axis, h in enumerate(self.atlas.frame.spacing)
        )
        faces = (x.astype(np.float32), y.astype(np.float32), z.astype(np.float32))
        return Medium(*faces, *extent_of_rows(self._domain))

    def _seen(self, density: NDArray[np.float32]) -> tuple[tuple[int, int, int], NDArray[np.float32]]:
        """Cut a density on the frame to the box around what of it lies in the tissue."""
        if density.shape != self.atlas.frame.shape:
            raise InputError(f"an initial density of shape {density.shape} does not fit {self.atlas.frame.shape}")
        inside = np.where(self._domain, density, 0.0)
        if not (np.isfinite(inside).all() and inside.min() >= 0 and inside.max() <= 1):
            raise InputError("an initial density must be finite and lie in [0, 1]")
        there = np.argwhere(inside > 0)
        if not len(there):
            raise InputError(f"no part of the initial density lies in the tissue of {self.atlas.name}")
        low, high = there.min(axis=0), there.max(axis=0) + 1
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        return (int(low[0]), int(low[1]), int(low[2])), np.ascontiguousarray(inside[box], dtype=np.float32)

    def seed_density(self, seed_mm: tuple[float, float, float]) -> tuple[tuple[int, int, int], NDArray[np.float32]]:
        """Make what a tumour starts from: a Gaussian of fixed integral, cut at three widths and at the tissue's border.

        Returns:
            First voxel of its box, and the density inside.

        Raises:
            InputError: no tissue lies within three widths of the seed; see `nearest_seed`.
        """
        frame, width = self.atlas.frame, self.settings.seed_width_mm
        centre = frame.voxel(seed_mm)
        radius = 3.0 * width / np.asarray(frame.spacing)
        low = np.maximum(np.floor(centre - radius).astype(int), 0)
        high = np.minimum(np.ceil(centre + radius).astype(int) + 1, frame.shape)
        if (high <= low).any():
            raise InputError(f"seed {_mm(seed_mm)} lies outside the atlas frame", hint="choose one inside the brain")
        x2, y2, z2 = (  # mm² along each axis; axes are perpendicular
            ((np.arange(a, b) - c) * h) ** 2 for a, b, c, h in zip(low, high, centre, frame.spacing, strict=True)
        )
        distance2 = x2[:, None, None] + y2[:, None] + z2
        inside = self._domain[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        x, y, z = (np.array([exp(float(v)) for v in squares / (-2 * width * width)]) for squares in (x2, y2, z2))
        weight = x[:, None, None] * y[:, None] * z * (distance2 <= 9 * width * width) * inside
        if not weight.any():
            raise InputError(
                f"seed {_mm(seed_mm)} lies outside the tissue of {self.atlas.name}", hint="choose one inside"
            )
        peak_limit = _LARGEST_SEED_DENSITY / weight.max()
        density = weight * min(self.settings.seed_volume_ml / frame.voxel_ml / weight.sum(), peak_limit)
        return (int(low[0]), int(low[1]), int(low[2])), density.astype(np.float32)

    def nearest_seed(self, seed_mm: tuple[float, float, float]) -> tuple[float, float, float]:
        """Find the place nearest to a seed from which a tumour can grow: its own, or else a voxel of the tissue, mm."""
        with contextlib.suppress(InputError):
            self.seed_density(seed_mm)
            return seed_mm
        off = (self._tissue_voxels - self.atlas.frame.voxel(seed_mm)) * self.atlas.frame.spacing
        nearest = self._tissue_voxels[int((off**2).sum(axis=1).argmin())]
        x, y, z = (float(v) for v in self.atlas.frame.world(nearest))
        return x, y, z

    @cached_property
    def _tissue_voxels(self) -> NDArray[np.int64]:
        return np.argwhere(self._domain)


def check_still(parameters: GrowthParameters) -> None:
    """Refuse a tumour that pushes tissue.

    Raises:
        InputError: it does.
    """
    if parameters.mass_effect:
        raise InputError(
            f"a mass effect of {parameters.mass_effect:g} Pa is given, the Fisher-Kolmogorov model has none",
            hint="leave it out, or take the model with mass effect",
        )


_memory = threading.local()  # one workspace a thread, kept between runs
# of 15,672 tumours above 30 ml none had V(t) / (t/T)^1.5 above 1.012 V(T) for t >= T/5
_SLOWEST_TOLERANCE, _SLOWEST_FROM_SHARE, _SLOWEST_FROM_ML = 1.05, 0.2, 30.0
_LARGEST_EXPONENT = 60.0  # exp(60) leaves float32 room to square; u is 1 to rounding long before
_LARGEST_SEED_DENSITY = 0.95  # a seed squeezed into a thin fold keeps u < 1 and loses volume instead


def growth_factor(parameters: GrowthParameters, days: float) -> np.float32:
    """exp(rho t), within what float32 can square."""
    return np.float32(exp(max(-_LARGEST_EXPONENT, min(parameters.proliferation * days, _LARGEST_EXPONENT))))


def _face_diffusivity(cell: NDArray[np.float64], axis: int, mean: str) -> NDArray[np.float64]:
    """Diffusivity of the face between each cell and the next along `axis`; zero at the end and outside tissue."""
    near, far = _pair(cell, axis)
    both = (near > 0) & (far > 0)
    if mean == "harmonic":
        value = np.where(both, 2 * near * far / np.where(both, near + far, 1.0), 0.0)
    else:
        value = np.where(both, (near + far) / 2, 0.0)
    padding = [(0, 1) if a == axis else (0, 0) for a in range(3)]
    return np.pad(value, padding)


def _pair(cell: NDArray[np.float64], axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    count = cell.shape[axis]
    return cell.take(range(count - 1), axis), cell.take(range(1, count), axis)


def _mm(point: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{v:.1f}" for v in point) + ") mm"
