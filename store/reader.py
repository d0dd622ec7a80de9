"""Reading a store: a snapshot that stays what it was when it was opened, whatever writers do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedStoreError, InputError, UnknownParametersError, UnknownTumourError
from .atlas import Atlas
from .atlas_files import read_atlas
from .frame import Frame
from .locations import files_at
from .manifest import Manifest
from .parameters import GrowthParameters
from .quantization import dequantise
from .segments import Segment, SegmentRecord

if TYPE_CHECKING:
    import pandas as pd


PARAMETER_COLUMNS = ("seed_x", "seed_y", "seed_z", "diffusivity", "proliferation", "duration", "mass_effect")
"""Columns of `TumorStore.parameters_frame`; those of the seed with its unit."""


class TumorStore:
    """A read-only snapshot of a store of simulated tumours.

    >>> store = open_store("tumours")
    >>> len(store), store.version, store.frame.shape
    (3000, 12, (128, 128, 128))
    >>> u = store.density(store.ids[0])       # float32 (128, 128, 128)

    Args:
        path: folder of the store, or its URL in an object store.
        version: which version to read; the newest by default.

    Raises:
        NotAStoreError, NewerSchemaError, DamagedStoreError, InputError: see each.
    """

    def __init__(self, path: str | Path, version: int | None = None) -> None:
        self._files = files_at(path)
        self.path = self._files.root
        self.derived = self._files.derived
        """Local folder for what is computed from the store."""
        self.manifest = Manifest.load(self._files, version)
        self.pinned = version is not None
        """Whether somebody asked for this version, rather than for the newest."""
        self.frame = Frame.from_record(self.manifest.frame)
        self._with_folded = False
        self._check_sizes()

    def __len__(self) -> int:
        return self.manifest.count

    def __repr__(self) -> str:
        return f"TumorStore({str(self.path)!r}, version={self.version}, tumours={len(self)})"

    @property
    def version(self) -> int:
        """Version of this snapshot."""
        return self.manifest.version

    @property
    def thresholds(self) -> dict[str, float]:
        """Densities of the whole (FLAIR) and core (T1Gd) outlines."""
        return self.manifest.thresholds

    @property
    def segments(self) -> tuple[SegmentRecord, ...]:
        """Segments of this version, in order of their ids."""
        return self.manifest.segments

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """Ids of all tumours, ascending."""
        return self.ids_in_segments[~self.deleted]

    @cached_property
    def ids_in_segments(self) -> NDArray[np.int64]:
        """Ids of all rows of all segments, ascending: deleted tumours too."""
        pieces = [np.arange(s.first_id, s.first_id + s.count) for s in self.segments]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.int64)

    @cached_property
    def deleted(self) -> NDArray[np.bool_]:
        """Which of `ids_in_segments` this version no longer holds."""
        return np.isin(self.ids_in_segments, np.array(self.manifest.deleted, np.int64))

    @cached_property
    def left_out(self) -> NDArray[np.bool_]:
        """Which of `ids_in_segments` no search finds: deleted tumours, and those that folded the tissue."""
        if self._with_folded:
            return self.deleted
        return self.deleted | np.isin(self.ids_in_segments, self.folded)

    @property
    def searched(self) -> NDArray[np.int64]:
        """Ids of the tumours that searches find, and networks learn from, ascending."""
        return self.ids_in_segments[~self.left_out]

    @property
    def folded(self) -> NDArray[np.int64]:
        """Ids of the tumours that folded the tissue, ascending."""
        found = [s.first_id + row for s in self.segments for row in s.folded]
        return np.setdiff1d(np.array(found, np.int64), self.manifest.deleted)

    @property
    def finds_folded(self) -> bool:
        """Whether searches of this snapshot find folded tumours, too."""
        return self._with_folded

    def with_folded(self) -> TumorStore:
        """Return the same snapshot, of which searches find folded tumours, too."""
        found = self.part([record.name for record in self.segments])
        found._with_folded = True
        return found

    def part(self, names: Collection[str]) -> TumorStore:
        """Return the same snapshot with only the segments of these names."""
        part = TumorStore.__new__(TumorStore)
        part._with_folded, part.pinned = self._with_folded, self.pinned
        part._files, part.path, part.derived, part.frame = self._files, self.path, self.derived, self.frame
        segments = tuple(record for record in self.segments if record.name in names)
        held = {tumour for record in segments for tumour in record.ids}
        deleted = tuple(tumour for tumour in self.manifest.deleted if tumour in held)
        part.manifest = replace(self.manifest, segments=segments, deleted=deleted)
        return part

    @cached_property
    def trajectories(self) -> NDArray[np.int64]:
        """For each of `ids_in_segments` the lowest id of its simulation: snapshots of one run share it."""
        lowest: dict[tuple[str, int], int] = {}
        found = []
        for record in self.segments:
            draws = self.segment(record).column("draw").astype(np.int64)
            for tumour, draw in zip(record.ids, draws.tolist(), strict=True):
                found.append(lowest.setdefault(_run(record, tumour, draw), tumour))
        return np.array(found, np.int64)

    def run(self, tumour: int) -> tuple[str, int]:
        """Name the simulation that a tumour is from: campaign and draw."""
        segment, row = self._find(tumour)
        return _run(segment.record, int(tumour), int(segment.column("draw")[row]))

    @cached_property
    def atlas(self) -> Atlas:
        """Tissue that the tumours grew in; checked against the manifest."""
        return read_atlas(self._files, self.manifest.atlas, self.frame)

    def density(self, tumour: int) -> NDArray[np.float32]:
        """Cell density of a tumour, float32 in [0, 1] on `frame`.

        Raises:
            UnknownTumourError: no such id in this snapshot.
            DamagedStoreError: its bytes are not what was written; names tumour and file.
        """
        return dequantise(self.integers(tumour))

    def integers(self, tumour: int) -> NDArray[np.uint16]:
        """Density as kept: floor(4095 u)."""
        segment, row = self._find(tumour)
        return segment.integers(row)

    def parameters(self, tumour: int) -> GrowthParameters:
        """Return what a tumour was simulated with.

        Raises:
            UnknownTumourError: no such id in this snapshot.
            UnknownParametersError: it was added as a density alone.
        """
        known = self.known_parameters(tumour)
        if known is None:
            raise UnknownParametersError(f"tumour {tumour} of {self.path} was added without its growth parameters")
        return known

    def known_parameters(self, tumour: int) -> GrowthParameters | None:
        """Return what a tumour was simulated with, None where nobody knows."""
        segment, row = self._find(tumour)
        return segment.parameters(row)

    def parameters_frame(self) -> pd.DataFrame:
        """Make a pandas DataFrame of the growth parameters of all tumors, its index their ids.

        Columns: seed_x_mm, seed_y_mm, seed_z_mm (RAS+ mm of the atlas), diffusivity (mm²/day), proliferation (1/day),
        duration (days) and mass_effect (Pa); NaN where a tumor was added as a density alone.
        """
        import pandas as pd

        tables = [self.segment(record) for record in self.segments]
        columns = {
            f"{name}_mm" if name.startswith("seed") else name: (
                np.concatenate([table.column(name) for table in tables]) if tables else np.zeros(0)
            )
            for name in PARAMETER_COLUMNS
        }
        return pd.DataFrame(columns, index=pd.Index(self.ids_in_segments, name="id"))[~self.deleted]

    def provenance(self, tumour: int) -> dict[str, object]:
        """Where a tumour comes from: prior, campaign and draw, or another method.

        `snapshot` is 0 at the end of a simulation; the n-th tumour before it is that of the same draw at its duration.
        """
        segment, row = self._find(tumour)
        return segment.record.provenance | {name: int(segment.column(name)[row]) for name in ("draw", "snapshot")}

    def segment(self, record: SegmentRecord) -> Segment:
        """Reader of one segment of this snapshot."""
        if record.name not in self._open:
            self._open[record.name] = Segment(self._files, record, self.frame)
        return self._open[record.name]

    @cached_property
    def _open(self) -> dict[str, Segment]:
        return {}

    @cached_property
    def _deleted_ids(self) -> frozenset[int]:
        return frozenset(self.manifest.deleted)

    @cached_property
    def _first_ids(self) -> NDArray[np.int64]:
        return np.array([s.first_id for s in self.segments], np.int64)

    def _find(self, tumour: int) -> tuple[Segment, int]:
        position = int(np.searchsorted(self._first_ids, tumour, side="right")) - 1
        if position < 0 or tumour not in self.segments[position].ids or tumour in self._deleted_ids:
            raise UnknownTumourError(f"{self.path} version {self.version} holds no tumour {tumour}: {_which(self.ids)}")
        record = self.segments[position]
        return self.segment(record), int(tumour) - record.first_id

    def _check_sizes(self) -> None:
        expected = [
            (f"segments/{record.name}/{key}", size, record)
            for record in self.segments
            for key, (size, _) in record.files.items()
        ]
        found = self._files.sizes_of([key for key, _, _ in expected])
        for (key, size, record), there in zip(expected, found, strict=True):
            if there != size:
                what = "missing" if there is None else f"{there} bytes instead of {size}"
                raise DamagedStoreError(
                    f"{self._files.path(key)} is {what} (tumours {record.first_id} to {record.ids[-1]})",
                    hint="restore it from a copy, or build the store anew",
                )


def _run(record: SegmentRecord, tumour: int, draw: int) -> tuple[str, int]:
    if draw < 0:
        return "", tumour  # nobody's snapshot
    return str(record.provenance.get("campaign", record.name)), draw


def _which(ids: NDArray[np.int64]) -> str:
    return f"its {len(ids)} ids lie between {ids[0]} and {ids[-1]}" if len(ids) else "it is empty"


def open_store(path: str | Path, version: int | None = None) -> TumorStore:
    """Open a snapshot of a store; `path` may end in `@version`.

    Raises:
        NotAStoreError, NewerSchemaError, DamagedStoreError, InputError: see each.
    """
    text = str(path)
    if version is None and "@" in text and ("://" in text or not Path(text).exists()):
        base, _, number = text.rpartition("@")
        if "/" in number:
            return TumorStore(path)
        if not number.isdigit():
            raise InputError(f"{text}", hint=f"write STORE@VERSION with a whole number, for example {base}@3")
        return TumorStore(base, int(number))
    return TumorStore(path, version)
