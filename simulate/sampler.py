"""From draws of the prior to tumours worth keeping: what every worker of a build does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import UnsolvedError
from ..store.atlas import Atlas
from ..store.density import EncodedTumour
from ..store.manifest import THRESHOLDS
from ..store.parameters import GrowthParameters
from .early_rejection import SizePreview
from .growth import Growth, GrowthModel, Snapshot
from .growth_models import ModelSettings, model_in, without_mass_effect
from .prior import Prior, tissue_voxels
from .snapshots import snapshot_shares


@dataclass(frozen=True)
class Batch:
    """What became of a block of draws: its tumours, one past its last draw, how many were turned down before they were
    simulated, and of how many the equations were not solved.
    """

    tumours: list[EncodedTumour]
    stop: int
    previewed_out: int
    unsolved: int = 0


@dataclass
class TumourMaker:
    """Turns draws into tumours; sent to each worker once."""

    atlas: Atlas
    settings: ModelSettings
    prior: Prior
    seed: int
    snapshots: int = 0
    _parts: tuple[GrowthModel, SizePreview, np.ndarray] | None = field(default=None, repr=False)

    def settle(self, start: int, draws: int) -> Batch:
        """Settle `draws` draws from number `start` on."""
        solver, preview, tissue = self._ready()
        tumours, previewed_out, unsolved = [], 0, 0
        for index in range(start, start + draws):
            parameters = self.prior.draw(self.atlas, tissue, self.seed, index)
            look = preview(parameters)
            if look.hopeless:
                previewed_out += 1
                continue
            shares = snapshot_shares(self.snapshots, self.seed, index)
            try:
                run = solver.grow(parameters, self.prior.whole_ml[1], look.reach, shares)
            except UnsolvedError:  # it would fail again, and end the campaign for good: told by the report
                unsolved += 1
                continue
            tumours += self.kept(run, parameters, index)
        return Batch(tumours, start + draws, previewed_out, unsolved)

    def kept(self, run: Growth, parameters: GrowthParameters, draw: int) -> list[EncodedTumour]:
        """Encode those stages of a run that the prior keeps, oldest first."""
        tumours = []
        for n, taken in enumerate(run.snapshots):
            then = replace(parameters, duration=taken.days)
            tumours += self._kept(taken, then, draw, len(run.snapshots) - n)
        if not run.outgrew:
            tumours += self._kept(run, parameters, draw, 0)
        return tumours

    def _kept(
        self, grown: Growth | Snapshot, parameters: GrowthParameters, draw: int, snapshot: int
    ) -> list[EncodedTumour]:
        voxels = np.count_nonzero(grown.density >= np.float32(THRESHOLDS["whole"]))
        if not self.prior.whole_ml[0] <= voxels * self.atlas.frame.voxel_ml <= self.prior.whole_ml[1]:
            return []  # to compress it would be in vain
        tumour = EncodedTumour.from_box(
            grown.density, grown.low, self.atlas.frame, parameters, THRESHOLDS, draw, snapshot, grown.least_jacobian
        )
        return [tumour] if self.prior.keeps(tumour.whole_ml, tumour.core_ml) else []

    def _ready(self) -> tuple[GrowthModel, SizePreview, np.ndarray]:
        if self._parts is None:
            solver = model_in(self.atlas, self.settings)
            self._parts = (
                solver,
                SizePreview(self.atlas, without_mass_effect(self.settings), self.prior),
                tissue_voxels(self.atlas),
            )
        return self._parts
