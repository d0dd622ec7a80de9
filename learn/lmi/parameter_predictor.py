"""Asking a trained network: from two masks to a tumour's growth, how sure that is, and how strange the masks are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, command
from ...store.parameters import GrowthParameters
from ...store.reader import TumorStore
from ..training.devices import require_torch
from .lmi_checkpoint import NetworkFile, Usual, growth_path, shipped_path
from .lmi_configs import GROWTH_DESIGNS
from .mask_features import Mask, Viewer, Views
from .targets import Targets

if TYPE_CHECKING:
    import torch

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """What a network tells of one tumour.

    Args:
        parameters: its growth; the duration is a convention where only products with it are told.
        draws: of the network's own doubt, as many as were asked for.
        distance: Mahalanobis distance of the outlines' moments from those that it learned from.
        farther: share of the tumours held apart from learning that lie farther.
    """

    parameters: GrowthParameters
    draws: tuple[GrowthParameters, ...]
    distance: float
    farther: float


class GrowthReader:
    """A network, or two of which one tells the growth and the other the seed, ready to be asked.

    Args:
        store: whose tumours it tells.
        files: of the networks; together they tell growth and seed.

    Raises:
        InputError: PyTorch is missing, or a network is missing, tells other things, or learned elsewhere.
        DamagedStoreError: a file is not what was written.
    """

    def __init__(self, store: TumorStore, files: tuple[NetworkFile, ...]) -> None:
        for file in files:
            file.check(store)
        told = [(file.targets.growth is not None, file.targets.seed) for file in files]
        if [any(one) for one in zip(*told, strict=True)] != [True, True]:
            raise InputError(f"{', '.join(str(file.path) for file in files)}: growth and seed must be told together")
        self.files = files
        self._frame = store.frame
        self._parts = [_Part(file, Viewer(store.atlas, file.design.cells)) for file in files]

    @classmethod
    def of(
        cls, store: TumorStore, design: str = "small", *, targets: tuple[Targets, ...] | None = None
    ) -> GrowthReader:
        """Load what was trained for a store, or what comes with gliodex for its atlas.

        Args:
            store: whose tumours it tells.
            design: of the networks, one of `GROWTH_DESIGNS`.
            targets: of each network; by default one tells all, in the design's scale.

        Raises:
            InputError, DamagedStoreError: see this class.
        """
        if design not in GROWTH_DESIGNS:
            raise InputError(f"‹arch={design}› is none of {', '.join(GROWTH_DESIGNS)}")
        require_torch()
        files = []
        scale = GROWTH_DESIGNS[design].scale
        for one in targets or (Targets(scale=scale),):
            others = {
                "arch": design != "small" and design,
                "targets": one.name != "mu+seed" and one.name,
                "scale": one.scale != scale and one.scale,
            }
            again = command("gliodex train lmi", store.path, **others)
            own, shipped = (
                NetworkFile(path, again) for path in (growth_path(store, design, one), shipped_path(design, one))
            )
            files.append(shipped if not own.path.is_file() and shipped.fits(store) else own)
        return cls(store, tuple(files))

    def __call__(self, core: Mask, whole: Mask, draws: int = 0, seed: int = 0) -> Estimate:
        """Tell the growth of a tumour from its outlines on the store's frame.

        Args:
            core: mask; it may be empty.
            whole: mask.
            draws: of the network's doubt.
            seed: of the draws.

        Raises:
            InputError: the whole is empty.
        """
        if not whole.any():
            raise InputError("the whole mask is empty: a network sees no tumour there")
        rng = np.random.default_rng(seed)
        rows: list[tuple[tuple[float, ...] | None, tuple[float, float, float] | None]] = [(None, None)] * (1 + draws)
        distances, farther = [], []
        for part in self._parts:
            views = part.viewer.of_masks(core, whole)
            numbers = part.numbers(views, draws, rng)
            for n, row in enumerate(numbers):
                rates, seed_mm = part.targets.parameters(row, views.centre[0], bool(views.mirrored[0]), self._frame)
                rows[n] = rates or rows[n][0], seed_mm or rows[n][1]
            distances.append(part.usual.distance(views.moments[0]))
            farther.append(float((part.usual.distances > distances[-1]).mean()))
        found = [GrowthParameters(place, *rates) for rates, place in rows if rates is not None and place is not None]
        return Estimate(found[0], tuple(found[1:]), max(distances), min(farther))


class _Part:
    """One network, and how it looks."""

    def __init__(self, file: NetworkFile, viewer: Viewer) -> None:
        self.viewer, self.targets = viewer, file.targets
        self.network: torch.nn.Module
        self.usual: Usual
        self.network, self.usual = file.load()

    def numbers(self, views: Views, draws: int, rng: np.random.Generator) -> Numbers:
        """Tell of one tumour, then draws of it, (1 + draws, d)."""
        import torch

        from .lmi_networks import precision_factor, tell

        with torch.inference_mode():
            told = tell(self.network, views, "cpu")
            factor = precision_factor(told)[0].double().numpy()
        mean = told.mean[0].double().numpy()
        white = self.usual.residual @ rng.standard_normal((len(mean), draws))
        off = np.linalg.solve(factor, white).T
        return np.asarray(self.usual.centre + self.usual.scale * np.vstack([mean, mean + off]))
