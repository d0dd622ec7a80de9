"""Search by the shape of the masks, in two steps (Ezhov et al. 2022): near centres of mass first, then near shapes.

Shape features are pyradiomics' (van Griethuysen et al., Cancer Research 77 (2017) e104). Raw, as published, those in
mm³ outweigh all others, and patients are ragged where simulations are smooth. Standardised are the few that neither
spoils, as logarithms, each by how much it varies in the store; and the centre of mass counts in the second step, too.
"""

from __future__ import annotations

import logging
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import lru_cache, partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..store.cores import available_cores
from ..store.frame import Frame
from ..store.locations import files_at
from ..store.quantization import level_of
from ..store.reader import TumorStore
from ..store.segments import SegmentRecord
from .derived_cache import Derived, Progress
from .protocol import Mask, check_query
from .vectors import open_rows, pack_rows

FEATURES = (
    "Elongation",
    "Flatness",
    "LeastAxisLength",
    "MajorAxisLength",
    "Maximum2DDiameterColumn",
    "Maximum2DDiameterRow",
    "Maximum2DDiameterSlice",
    "Maximum3DDiameter",
    "MeshVolume",
    "MinorAxisLength",
    "Sphericity",
    "SurfaceArea",
    "SurfaceVolumeRatio",
    "VoxelVolume",
)
"""pyradiomics' shape class: mm, mm², mm³, 1/mm or without unit."""

SHORTLIST = 1000
"""Tumours with the nearest centres of mass whose shapes are compared (Ezhov et al. 2022, section 2.3)."""

STANDARDISED = "radiomics-standardised"
"""Name of the search by standardised features."""

COMPARED = ("LeastAxisLength", "MinorAxisLength", "MajorAxisLength", "VoxelVolume")
"""Features that are standardised, as ln(1 + value)."""

CENTRE_MM = 8.0
"""Distance of centres of mass that counts as much as one standard deviation of such a feature."""

_WIDTH = 3 + len(FEATURES)
_TOGETHER = 16  # tumours that a worker process describes at a time


def describe(mask: Mask, frame: Frame) -> NDArray[np.float64]:
    """Centre of mass in mm of the world, then `FEATURES`, (17,); NaN and zeros for an empty mask.

    Raises:
        InputError: pyradiomics is not installed.
    """
    found = np.zeros(_WIDTH)
    inside = np.argwhere(mask)
    if not len(inside):
        found[:3] = np.nan
        return found
    found[:3] = frame.world(inside.mean(axis=0))
    low, high = inside.min(0), inside.max(0) + 1
    shape_class, image_of = require_pyradiomics()
    box = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    image = image_of(np.ascontiguousarray(box.transpose().astype(np.uint8)))  # SimpleITK's order is z, y, x
    image.SetSpacing([float(h) for h in frame.spacing])
    features = shape_class(image, image, label=1)
    features.enableAllFeatures()
    with np.errstate(invalid="ignore"):  # a voxel alone has no elongation
        values = features.execute()
    # rounding may make the eigenvalues complex: pyradiomics does not know that its matrix is symmetric
    found[3:] = np.nan_to_num([float(np.real(values[name])) for name in FEATURES])
    return found


class RadiomicsCandidates:
    """Ranks tumours by the distance of their shape features to a query's, summed over core and whole.

    Args:
        store: snapshot to search.
        rows: of `describe` for core and whole, (n, 34).
        standardised: compare `COMPARED` and the centres of mass, instead of `FEATURES`.
    """

    def __init__(self, store: TumorStore, rows: NDArray[np.float64], *, standardised: bool) -> None:
        self.name = STANDARDISED if standardised else RADIOMICS.method
        self._store = store
        self._kept = np.flatnonzero(~store.left_out)
        rows = rows.reshape(-1, 2, _WIDTH)
        self._centres = rows[self._kept, :, :3]
        self._spread = None
        if standardised:  # deleted ones too: what is left keeps its order
            spread = _logarithms(rows).std(axis=0) if len(rows) else np.ones((2, len(COMPARED)))
            self._spread = np.where(spread > 0, spread, 1.0)
        self._shapes = self._shape_of(rows[self._kept])

    @classmethod
    def open(
        cls, store: TumorStore, *, standardised: bool = False, progress: Progress | None = None
    ) -> RadiomicsCandidates:
        """Open the features of a snapshot, computing those of segments that are missing.

        Raises:
            InputError: pyradiomics is not installed.
            DamagedStoreError, OutputError, StoreLockedError: see `Derived.refresh`.
        """
        rows = open_rows(store, RADIOMICS, 2 * _WIDTH, "<f8", progress)
        return cls(store, np.asarray(rows, np.float64), standardised=standardised)

    def __len__(self) -> int:
        return len(self._kept)

    def encode(self, core: Mask, whole: Mask) -> NDArray[np.float64]:
        """See `Candidates.encode`: `describe` of both masks, (2, 17)."""
        check_query(self._store.frame.shape, core, whole)
        return np.stack([describe(mask, self._store.frame) for mask in (core, whole)])

    def nearest(self, code: NDArray[np.float64], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """See `Candidates.nearest`; scores are distances with their sign turned.

        Beyond `SHORTLIST`, `k` widens the first step.
        """
        away = _centres_apart(self._centres, code[:, :3])
        near = np.argsort(away.sum(axis=1), kind="stable")[: max(SHORTLIST, k)]
        apart = np.linalg.norm(self._shapes[near] - self._shape_of(code), axis=2)
        if self._spread is not None:
            apart = np.hypot(apart, away[near] / CENTRE_MM)
        scores = -apart.sum(axis=1)
        order = np.lexsort((near, -scores))[:k]
        return self._store.ids_in_segments[self._kept[near[order]]], scores[order]

    def _shape_of(self, described: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take from rows of `describe`, (..., 2, 17), what the second step compares besides the centres."""
        return described[..., 3:] if self._spread is None else _logarithms(described) / self._spread


def _logarithms(described: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log1p(described[..., [3 + FEATURES.index(name) for name in COMPARED]])


def _centres_apart(centres: NDArray[np.float64], query: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances of the centres of core and whole, (n, 2); of two empty masks 0, of an empty and another infinite."""
    missing, none = np.isnan(centres[:, :, 0]), np.isnan(query[:, 0])
    distances = np.linalg.norm(np.nan_to_num(centres) - np.nan_to_num(query), axis=2)
    distances[missing & none] = 0.0
    distances[missing ^ none] = np.inf
    return np.asarray(distances)


def _pack_segment(store: TumorStore, record: SegmentRecord, pool: Executor) -> tuple[bytes, dict[str, int]]:
    place = files_at(store.path).everywhere, store.version, record.name
    rows = [(first, min(first + _TOGETHER, record.count)) for first in range(0, record.count, _TOGETHER)]
    return pack_rows(np.concatenate(list(pool.map(partial(_described_rows, *place), rows))))


def _described_rows(location: str, version: int, name: str, rows: tuple[int, int]) -> NDArray[np.float64]:
    """Describe some rows of a segment: what a worker process does."""
    store = _opened(location, version)
    (record,) = (record for record in store.segments if record.name == name)
    segment, levels = store.segment(record), [level_of(store.thresholds[mask]) for mask in ("core", "whole")]
    found = []
    for row in range(*rows):
        integers = segment.integers(row)
        found.append(np.concatenate([describe(integers >= level, store.frame) for level in levels]))
    return np.array(found)


@lru_cache(maxsize=1)
def _opened(location: str, version: int) -> TumorStore:
    return TumorStore(location, version)


def _processes() -> Executor:
    require_pyradiomics()  # says what is missing before any process is started
    return ProcessPoolExecutor(available_cores(), get_context("spawn"))


@lru_cache(maxsize=1)
def require_pyradiomics() -> tuple[Any, Any]:
    """Its shape class, and what makes an image of an array."""
    try:
        import SimpleITK
        from radiomics.shape import RadiomicsShape
    except ImportError as error:
        raise InputError(
            "searching by radiomics needs another package, and a C compiler", hint="pip install 'gliodex[radiomics]'"
        ) from error
    logging.getLogger("radiomics").setLevel(logging.ERROR)
    return RadiomicsShape, SimpleITK.GetImageFromArray


RADIOMICS = Derived("radiomics", {"features": list(FEATURES), "layout": "radiomics 1"}, _pack_segment, _processes)
"""Centres of mass and shape features of all tumours."""
