"""A trained network in the solver's place: the same call, an approximate density.

The network looks at a cube around the seed and says all of the density at once, whatever the tumour's age. On a
processor the solver itself is faster, and exact.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from ...simulate import FisherKolmogorov, FisherKolmogorovSettings, Growth, ModelSettings, check_still
from ...store.atlas import Atlas
from ...store.cores import available_cores
from ...store.manifest import THRESHOLDS
from ...store.parameters import GrowthParameters
from ..training.devices import require_device
from .anatomy_dataset import Batch, look, place_in
from .crops import Volume
from .surrogate_checkpoint import SurrogateFile

if TYPE_CHECKING:
    import torch


class SurrogateSolver:
    """Stands in for `FisherKolmogorov` in one atlas.

    Args:
        atlas: where tumours grow; its voxels must be as large as those that the network learned with.
        file: of the network.
        settings: of the growth model that is wanted; those that the network learned by default.
        device: "cpu" or "cuda".

    Raises:
        InputError: PyTorch is missing, there is no such device, or the network learned another growth model, or with
            other voxels.
        DamagedStoreError: the file is not what was written.
    """

    def __init__(
        self,
        atlas: Atlas,
        file: SurrogateFile,
        settings: ModelSettings | None = None,
        device: str = "cpu",
    ) -> None:
        require_device(device)
        record = file.record
        learned = FisherKolmogorovSettings.from_record(record["run"]["model"], file.path, "train a surrogate anew")
        if settings is not None and settings != learned:
            raise InputError(
                f"{file.path} has learned another growth model than is wanted here",
                hint=f"train one with {file.again}",
            )
        self.atlas, self.settings, self.file = atlas, learned, file
        self.ranges, self._design, self._device = file.ranges, file.design, device
        self._place = place_in(atlas, self._design, learned)
        if abs(self._place.spacing_mm / record["spacing_mm"] - 1) > _OTHER_SPACING:
            raise InputError(
                f"{file.path} has learned with voxels of {record['spacing_mm']:g} mm, atlas {atlas.name} has "
                f"{self._place.spacing_mm:g} mm",
                hint="resample it, or use the solver",
            )
        self._exact = FisherKolmogorov(atlas, learned)
        self._network: torch.nn.Module = file.load().to(device)
        self._lock = threading.Lock()

    def __call__(self, parameters: GrowthParameters) -> Volume:
        """Density after `parameters.duration`, float32 in [0, 1] on the atlas frame."""
        return self.grow(parameters).full()

    def grow(self, parameters: GrowthParameters, stop_above_ml: float | None = None) -> Growth:
        """Say one tumour; see `FisherKolmogorov.grow`.

        Args:
            parameters: of its growth.
            stop_above_ml: whole volume from which it has outgrown what is looked for.

        Raises:
            InputError: no tissue lies within three widths of the seed, or the network has not learned such growth.
        """
        return self.grow_all([parameters], stop_above_ml)[0]

    def grow_all(self, tumours: Sequence[GrowthParameters], stop_above_ml: float | None = None) -> list[Growth]:
        """Say several tumours at once.

        Raises:
            InputError: see `grow`.
        """
        import torch

        from .surrogate_training import say

        for parameters in tumours:
            check_still(parameters)
            self.ranges.check(parameters)
            self._exact.seed_density(parameters.seed_mm)
        seeds = [self.atlas.frame.voxel(p.seed_mm) for p in tumours]
        with ThreadPoolExecutor(available_cores()) as pool:
            views = list(pool.map(lambda seed: look(self._place, seed, self._design), seeds))
        batch = Batch(
            np.stack([view.maps for view in views]),
            np.stack([view.distance[None] for view in views]),
            np.stack([view.times[None] for view in views]),
            np.stack([self.ranges.scaled(p) for p in tumours]),
            np.zeros(0, np.float32),
            np.stack([view.tissue[None] for view in views]),
            np.zeros(0, np.bool_),
        )
        with self._lock, torch.inference_mode():  # PyTorch has threads of its own
            said = say(self._network, batch, self._design, self._device).cpu().numpy()[:, 0]
        return [self._growth(density, view.corner, stop_above_ml) for density, view in zip(said, views, strict=True)]

    def nearest_seed(self, seed_mm: tuple[float, float, float]) -> tuple[float, float, float]:
        """See `FisherKolmogorov.nearest_seed`."""
        return self._exact.nearest_seed(seed_mm)

    def _growth(self, density: Volume, corner: tuple[int, int, int], stop_above_ml: float | None) -> Growth:
        shape = self.atlas.frame.shape
        whole = np.float32(THRESHOLDS["whole"])
        count = int(np.count_nonzero(density >= whole))
        cut = any((density.take(end, axis) >= whole).any() for axis in range(3) for end in (0, -1))
        outgrew = cut or (stop_above_ml is not None and count * self.atlas.frame.voxel_ml > stop_above_ml)
        low = [min(max(a, 0), size) for a, size in zip(corner, shape, strict=True)]
        high = [min(a + self._design.crop, size) for a, size in zip(corner, shape, strict=True)]
        inside = tuple(slice(a - c, b - c) for a, b, c in zip(low, high, corner, strict=True))
        box = np.clip(np.ascontiguousarray(density[inside]), 0.0, 1.0)
        box[box < _NOTHING] = 0.0
        return Growth(box, (low[0], low[1], low[2]), shape, 0, 0, outgrew)


_OTHER_SPACING, _NOTHING = 0.01, 1e-4
