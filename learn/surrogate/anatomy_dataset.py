"""Tumours of several anatomies, as a network learns them: what lies around the seed, how they grew, and what became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...simulate import FisherKolmogorovSettings
from ...store.atlas import Atlas
from ...store.quantization import dequantise
from ...store.reader import TumorStore
from ..training.density_crops import LevelBoxes, Progress
from .crops import Volume, anatomy_maps, corner_of, cropped, distances, passable, turned
from .eikonal import in_cells, travel_times
from .parameter_ranges import Ranges
from .surrogate_configs import TUMOUR, SurrogateDesign

Numbers = NDArray[np.float64]


class Batch(NamedTuple):
    """What a network sees of n tumours, and the truth; see `networks`.

    Args:
        anatomy: (n, channels, crop, crop, crop).
        distance: from the seed in halves of the crop, (n, 1, crop, crop, crop).
        times: when a front comes by, in the same unit, (n, 1, crop / 2, crop / 2, crop / 2).
        growth: (n, k).
        density: (n, 1, crop, crop, crop).
        tissue, csf: boolean, where the density is, and where it is not, (n, 1, crop, crop, crop).
    """

    anatomy: Volume
    distance: Volume
    times: Volume
    growth: Volume
    density: Volume
    tissue: NDArray[np.bool_]
    csf: NDArray[np.bool_]


@dataclass(frozen=True)
class Place:
    """An anatomy that tumours are cropped from.

    Args:
        maps: that the network sees, (channels, *frame).
        passable: see `crops.passable`, on the frame.
        tissue, csf: boolean, on the frame.
        spacing_mm: of its voxels.
    """

    maps: Volume
    passable: Volume
    tissue: NDArray[np.bool_]
    csf: NDArray[np.bool_]
    spacing_mm: float


class Pairs:
    """The first tumours of stores, each of its own anatomy.

    Args:
        stores: to learn from.
        each: tumours of each store.
        design: of the network.
        settings: of the growth model.
        progress: told how many are read.

    Raises:
        InputError: a store is of another growth model or spacing than the first, or holds too few tumours.
        DamagedStoreError: a density is not what was written.
    """

    def __init__(
        self,
        stores: Sequence[TumorStore],
        each: int,
        design: SurrogateDesign,
        settings: FisherKolmogorovSettings,
        progress: Progress | None = None,
    ) -> None:
        self.design = design
        self.places = [place_in(store.atlas, design, settings) for store in stores]
        if len({place.spacing_mm for place in self.places}) > 1:
            raise InputError("the stores to learn from have voxels of different sizes", hint="build them alike")
        self.frames = [store.frame for store in stores]
        self.boxes: list[LevelBoxes] = []
        for n, store in enumerate(stores, 1):
            self.boxes.append(LevelBoxes.of(store, each, exact=True))
            if progress:
                progress(n * each, len(stores) * each)
        self.each = each
        self.ranges = Ranges.of([p for boxes in self.boxes for p in boxes.parameters], design.told)

    def __len__(self) -> int:
        return self.each * len(self.boxes)

    @property
    def spacing_mm(self) -> float:
        """Of all voxels."""
        return self.places[0].spacing_mm

    def batch(self, numbers: NDArray[np.int64], symmetries: NDArray[np.int64]) -> Batch:
        """Look at tumours, each turned by one of `SYMMETRIES`."""
        found = [self._one(int(n), int(s)) for n, s in zip(numbers, symmetries, strict=True)]
        return Batch(*(np.stack(arrays) for arrays in zip(*found, strict=True)))

    def _one(self, number: int, symmetry: int) -> Batch:
        which, n = divmod(number, self.each)
        boxes, crop = self.boxes[which], self.design.crop
        parameters = boxes.parameters[n]
        view = look(self.places[which], self.frames[which].voxel(parameters.seed_mm), self.design)
        levels = boxes.levels[boxes.starts[n] : boxes.starts[n + 1]].reshape(boxes.shape[n])
        low = np.array(view.corner) - boxes.low[n]
        density = dequantise(cropped(levels, (int(low[0]), int(low[1]), int(low[2])), crop).astype(np.uint16))
        return Batch(
            turned(view.maps, symmetry),
            turned(view.distance[None], symmetry),
            turned(view.times[None], symmetry),
            self.ranges.scaled(parameters),
            turned(density[None], symmetry),
            turned(view.tissue[None], symmetry),
            turned(view.csf[None], symmetry),
        )


class View(NamedTuple):
    """What lies around a seed, see `Batch`; and the first voxel of the crop."""

    maps: Volume
    distance: Volume
    times: Volume
    tissue: NDArray[np.bool_]
    csf: NDArray[np.bool_]
    corner: tuple[int, int, int]


def look(place: Place, seed_voxel: Numbers, design: SurrogateDesign) -> View:
    """Cut out what lies around a seed in voxels."""
    crop = design.crop
    corner = corner_of(seed_voxel, crop)
    half = np.float32(crop / 2)
    distance = distances(seed_voxel, corner, crop) / half
    times = in_cells(distance)
    if design.timed:
        times = travel_times(cropped(place.passable, corner, crop), seed_voxel - corner) / half
    return View(
        cropped(place.maps, corner, crop),
        distance,
        times,
        cropped(place.tissue, corner, crop),
        cropped(place.csf, corner, crop),
        corner,
    )


def place_in(atlas: Atlas, design: SurrogateDesign, settings: FisherKolmogorovSettings) -> Place:
    """Prepare an anatomy.

    Raises:
        InputError: its voxels are no cubes.
    """
    spacing = atlas.frame.spacing
    if max(spacing) - min(spacing) > _NO_CUBE_MM:
        raise InputError(
            f"atlas {atlas.name} has voxels of {spacing} mm: a surrogate takes cubes", hint="resample it first"
        )
    csf = atlas.csf >= np.float32(TUMOUR)
    maps, passed = (of(atlas, settings, design.sees) for of in (anatomy_maps, passable))
    return Place(maps, passed, atlas.tissue, csf, float(np.mean(spacing)))


_NO_CUBE_MM = 1e-3
