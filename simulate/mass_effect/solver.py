"""A growth model in which the tumour pushes tissue aside: reaction, diffusion and advection with linear elasticity.

    dc/dt = div(D grad c) - div(c v) + rho c (1 - c)
    dm/dt = -div(m v),   v = du/dt,   div(lambda div(u) I + mu (grad u + grad u^T)) = gamma grad c
                                                                                   (Ezhov et al. 2023, Eqs. 3 to 6)

c grows and spreads by the steps of `FisherKolmogorov`, through the tissue as it lies; between these steps the tissue is
pushed to where the tumour's pressure is balanced, some times in a run. With gamma = 0 it is that model.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ...store.atlas import Atlas
from ...store.parameters import GrowthParameters
from ..active_box import ActiveBox, Reach, Workspace
from ..fisher_kolmogorov import WHOLE_LEVEL, FisherKolmogorov, Plan, Run, growth_factor
from ..growth import Growth, Snapshot
from .deforming_tissue import Deformation, MovingTissue
from .settings import MassEffectSettings


class MassEffect:
    """The solver for one atlas; call it with `GrowthParameters` to get the density on the atlas frame.

    Args:
        atlas: where tumours grow.
        settings: see `MassEffectSettings`.
    """

    def __init__(self, atlas: Atlas, settings: MassEffectSettings | None = None) -> None:
        self.atlas = atlas
        self.settings = settings or MassEffectSettings()
        self._still = FisherKolmogorov(atlas, self.settings.growth)

    def __call__(self, parameters: GrowthParameters) -> NDArray[np.float32]:
        """Density after `parameters.duration`, float32 in [0, 1] on the atlas frame."""
        return self.grow(parameters).full()

    def grow(
        self,
        parameters: GrowthParameters,
        stop_above_ml: float | None = None,
        reach: Reach | None = None,
        snapshots: Sequence[float] = (),
    ) -> Growth:
        """Simulate one tumour; see `FisherKolmogorov.grow`. Snapshots are taken where the tissue has just been pushed.

        Raises:
            InputError: no tissue lies within three widths of the seed, or the mass effect is too large.
            UnsolvedError: the elastic equations were not solved.
        """
        if parameters.mass_effect == 0:
            return self._still.grow(parameters, stop_above_ml, reach, snapshots)
        return self._pushing(parameters, stop_above_ml, reach, snapshots)[0]

    def deform(self, parameters: GrowthParameters) -> Deformation:
        """Simulate one tumour, and tell what it has made of the brain.

        Raises:
            InputError: see `grow`.
        """
        return self._pushing(parameters, None, None, ())[1].deformation()

    def nearest_seed(self, seed_mm: tuple[float, float, float]) -> tuple[float, float, float]:
        """See `FisherKolmogorov.nearest_seed`."""
        return self._still.nearest_seed(seed_mm)

    def seed_density(self, seed_mm: tuple[float, float, float]) -> tuple[tuple[int, int, int], NDArray[np.float32]]:
        """See `FisherKolmogorov.seed_density`."""
        return self._still.seed_density(seed_mm)

    def plan(self, parameters: GrowthParameters, stop_above_ml: float | None = None) -> Plan:
        """Decide the time steps of a run; the tissue is pushed at each mark, and in the end.

        Args:
            parameters: see `grow`.
            stop_above_ml: likewise.

        Raises:
            InputError: the mass effect is too large.
        """
        self.settings.check(parameters.mass_effect)
        pushes = self.settings.pushes
        marks = [n / pushes for n in range(1, pushes)]
        longest_days = parameters.duration / pushes or math.inf
        return self._still.plan(parameters, stop_above_ml, marks, longest_days=longest_days)

    @staticmethod
    def nearest_mark(plan: Plan, share: float) -> int | None:
        """Tell which of the plan's pushes is the nearest to a share of its duration; None where it has none."""
        return min(
            sorted(plan.marks), key=lambda mark: abs(plan.elapsed[mark] - share * plan.elapsed[-1]), default=None
        )

    def _pushing(
        self,
        parameters: GrowthParameters,
        stop_above_ml: float | None,
        reach: Reach | None,
        snapshots: Sequence[float],
    ) -> tuple[Growth, MovingTissue]:
        plan = self.plan(parameters, stop_above_ml)
        low, seed = self.seed_density(parameters.seed_mm)
        tissue = self._tissue()
        tissue.reset()
        box = ActiveBox(tissue.medium, low, seed, reach, _memory.workspace)
        shown = {self.nearest_mark(plan, share) for share in snapshots}
        taken: list[Snapshot] = []
        run = Run(box, plan, parameters)
        for step, ahead_days in run:
            density, first = box.living(growth_factor(parameters, -ahead_days))
            first, density = tissue.push(first, density, parameters.mass_effect)
            if step in shown:
                taken.append(Snapshot(density, first, float(plan.elapsed[step]), tissue.least_jacobian()))
            box.refill(first, density)
            box.grow(growth_factor(parameters, ahead_days))
        density, first = box.living()
        outgrew = run.outgrew
        if not outgrew:
            first, density = tissue.push(first, density, parameters.mass_effect)
            outgrew = np.count_nonzero(density >= WHOLE_LEVEL) > plan.limits[-1]
        shape, jacobian = self.atlas.frame.shape, tissue.least_jacobian()
        return Growth(density, first, shape, box.steps, box.updates, bool(outgrew), tuple(taken), jacobian), tissue

    def _tissue(self) -> MovingTissue:
        """Tissue of this thread: to lay it out anew would cost as much as some pushes."""
        if not hasattr(_memory, "tissues"):
            _memory.tissues, _memory.workspace = WeakKeyDictionary(), Workspace()
        tissues: WeakKeyDictionary[MassEffect, MovingTissue] = _memory.tissues
        if self not in tissues:
            tissues[self] = MovingTissue(self.atlas, self.settings)
        return tissues[self]


_memory = threading.local()
