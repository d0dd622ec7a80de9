"""A segment: an immutable Zarr v3 group of tumours, written once and never edited.

    density/   (n, x, y, z) uint16, one shard, one chunk a tumour: shuffle + zstd + crc32c
    table/     (n, 19) float64, the columns named with their units in the attributes

The shard is assembled here from chunks that workers compressed; the metadata is zarr-python's own, so any Zarr v3
reader opens a segment (tests hold this).
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import google_crc32c
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

from ..errors import DamagedStoreError
from .density import CODEC, EncodedTumour, decode
from .frame import Frame
from .parameters import GrowthParameters
from .quantization import LEVELS
from .storage import StoreFiles

COLUMNS = {
    "seed_x": "mm",
    "seed_y": "mm",
    "seed_z": "mm",
    "diffusivity": "mm^2/day",
    "proliferation": "1/day",
    "duration": "day",
    "whole": "ml",
    "core": "ml",
    "peak": "1",
    "box_low_x": "voxel",
    "box_low_y": "voxel",
    "box_low_z": "voxel",
    "box_high_x": "voxel",
    "box_high_y": "voxel",
    "box_high_z": "voxel",
    "draw": "1",
    "snapshot": "1",
    "mass_effect": "Pa",
    "least_jacobian": "1",
}
"""Columns of a segment's table and their units; `draw` is -1 for tumours that no prior drew, `snapshot` is 0 at the end
of a simulation and n for the n-th tumour before it, `least_jacobian` is at most 0 where a tumour folded the tissue.
Segments of schema 1 have no `snapshot`, all are ends; those of schema 2 have neither of the last two."""

_BEFORE_IT_WAS = {"least_jacobian": 1.0}
"""What a column that is not there would hold; others 0."""

_SHARD = "density/c/0/0/0/0"
_INDEX_ENTRY = 16


@dataclass(frozen=True)
class SegmentRecord:
    """What a manifest says about a segment.

    Args:
        name: folder below `segments/`.
        first_id: id of its first tumour; the others follow.
        count: tumours in it.
        files: key inside the segment -> (bytes, SHA-256).
        provenance: where its tumours come from.
        folded: rows whose tumours folded the tissue.
    """

    name: str
    first_id: int
    count: int
    files: dict[str, tuple[int, str]]
    provenance: dict[str, object]
    folded: tuple[int, ...] = ()

    @property
    def bytes(self) -> int:
        """Size on disk."""
        return sum(size for size, _ in self.files.values())

    @property
    def ids(self) -> range:
        """Ids of its tumours, in row order."""
        return range(self.first_id, self.first_id + self.count)


def write_segment(
    files: StoreFiles,
    tumours: Sequence[EncodedTumour],
    frame: Frame,
    first_id: int,
    provenance: dict[str, object],
) -> SegmentRecord:
    """Write tumours as a new segment, durably; it stays invisible until a manifest names it."""
    name = uuid.uuid4().hex[:12]
    contents = _metadata_and_table(tumours, frame, provenance)
    contents[_SHARD] = _shard([t.chunk for t in tumours])
    written = {key: (len(data), files.create(f"segments/{name}/{key}", data)) for key, data in sorted(contents.items())}
    folded = tuple(row for row, tumour in enumerate(tumours) if tumour.least_jacobian <= 0)
    return SegmentRecord(name, first_id, len(tumours), written, provenance, folded)


class Segment:
    """Reads one segment of a snapshot; every byte is checked before it is believed."""

    def __init__(self, files: StoreFiles, record: SegmentRecord, frame: Frame) -> None:
        self.record = record
        self._files = files
        self._frame = frame

    def integers(self, row: int) -> NDArray[np.uint16]:
        """Quantised density of a row.

        Raises:
            DamagedStoreError: names tumour and file.
        """
        try:
            return decode(self._chunk(row), self._frame.shape)
        except (ValueError, RuntimeError) as error:
            raise DamagedStoreError(
                f"tumour {self.record.first_id + row} is damaged ({error}) in {self._files.path(self._key(_SHARD))}",
                hint="restore the file from a copy, or build the store anew",
            ) from error

    def encoded(self, row: int) -> EncodedTumour:
        """Return a row as it was written, for another segment."""
        self.integers(row)  # a damaged one shall not get a fresh checksum
        whole, core, peak = (float(v) for v in self.table[row, 6:9])
        low, high = self.box(row)
        draw, snapshot = (int(self.column(name)[row]) for name in ("draw", "snapshot"))
        jacobian = float(self.column("least_jacobian")[row])
        return EncodedTumour(
            self.parameters(row), self._chunk(row), whole, core, peak, (*low, *high), draw, snapshot, jacobian
        )

    def _chunk(self, row: int) -> bytes:
        start, count = (int(v) for v in self._chunk_index[row])
        return self._files.read(self._key(_SHARD), start, count)

    def parameters(self, row: int) -> GrowthParameters | None:
        """Growth parameters of a row; None where nobody knows them."""
        x, y, z, diffusivity, proliferation, duration = (float(v) for v in self.table[row, :6])
        if math.isnan(duration):
            return None
        mass_effect = float(self.column("mass_effect")[row])
        return GrowthParameters((x, y, z), diffusivity, proliferation, duration, mass_effect)

    def box(self, row: int) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Low and high voxel of the box around a row's nonzero integers; high is not included."""
        x, y, z, x_stop, y_stop, z_stop = (int(v) for v in self.table[row, 9:15])
        return (x, y, z), (x_stop, y_stop, z_stop)

    def column(self, name: str) -> NDArray[np.float64]:
        """One column of the table, or what it would hold where it did not exist yet."""
        position = list(COLUMNS).index(name)
        if position < self.table.shape[1]:
            return self.table[:, position]
        return np.full(len(self.table), _BEFORE_IT_WAS.get(name, 0.0))

    @cached_property
    def table(self) -> NDArray[np.float64]:
        """Columns in the order of `COLUMNS`, (n, 19) float64; fewer in older schemas."""
        return zarr_arrays({key: self.checked(key) for key in self.record.files if key != _SHARD})["table"]

    @cached_property
    def _chunk_index(self) -> NDArray[np.uint64]:
        size = self.record.files[_SHARD][0]
        length = self.record.count * _INDEX_ENTRY
        key = self._key(_SHARD)
        tail = self._files.read(key, size - length - 4, length + 4)
        index = np.frombuffer(tail[:-4], "<u8").reshape(-1, 2)
        if google_crc32c.value(tail[:-4]) != int.from_bytes(tail[-4:], "little"):
            raise DamagedStoreError(
                f"the chunk index of tumours {self.record.first_id} to {self.record.ids[-1]} is damaged in "
                f"{self._files.path(key)}",
                hint="restore the file from a copy, or build the store anew",
            )
        return index

    def checked(self, key: str) -> bytes:
        """Read one of its files whole, and hold it against the manifest's size and SHA-256.

        Raises:
            DamagedStoreError: names the file.
        """
        return read_checked(self._files, self._key(key), *self.record.files[key])

    def _key(self, key: str) -> str:
        return f"segments/{self.record.name}/{key}"


def zarr_arrays(contents: dict[str, bytes]) -> dict[str, NDArray[np.float64]]:
    """Decode the readable arrays of a Zarr group given as its files' bytes."""
    buffer = default_buffer_prototype().buffer
    group = zarr.open_group(MemoryStore({k: buffer.from_bytes(v) for k, v in contents.items()}), mode="r")
    present = {key.rsplit("/c/", 1)[0] for key in contents if "/c/" in key}
    return {name: np.asarray(array[:]) for name, array in group.arrays() if name in present}


def zarr_files(memory: dict[str, Buffer]) -> dict[str, bytes]:
    """Bytes of every file of a Zarr hierarchy kept in memory."""
    return {key: value.to_bytes() for key, value in memory.items()}


def read_checked(files: StoreFiles, key: str, size: int, sha256: str) -> bytes:
    """Read a whole file and hold it against the manifest's size and SHA-256."""
    data = files.read(key)
    if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedStoreError(
            f"{files.path(key)} is not what was written (size or checksum differs)",
            hint="restore it from a copy, or build the store anew",
        )
    return data


def _metadata_and_table(
    tumours: Sequence[EncodedTumour], frame: Frame, provenance: dict[str, object]
) -> dict[str, bytes]:
    memory: dict[str, Buffer] = {}
    group = zarr.create_group(MemoryStore(memory), attributes={"frame": frame.as_record(), "provenance": provenance})
    group.create_array(
        "density",
        shape=(len(tumours), *frame.shape),
        shards=(len(tumours), *frame.shape),
        chunks=(1, *frame.shape),
        dtype="uint16",
        fill_value=0,
        compressors=[BloscCodec(**CODEC), Crc32cCodec()],  # type: ignore[arg-type]
        dimension_names=["tumour", "x", "y", "z"],
        attributes={"units": "1", "scale_factor": 1 / LEVELS, "comment": "density u = value / 4095"},
    )
    table = group.create_array(
        "table",
        shape=(len(tumours), len(COLUMNS)),
        chunks=(len(tumours), len(COLUMNS)),
        dtype="float64",
        compressors=[Crc32cCodec()],
        dimension_names=["tumour", "column"],
        attributes={"columns": list(COLUMNS), "units": list(COLUMNS.values())},
        config={"write_empty_chunks": True},
    )
    table[:] = np.array([_row(t) for t in tumours], dtype=np.float64)
    return zarr_files(memory)


def _row(tumour: EncodedTumour) -> list[float]:
    p = tumour.parameters
    known = [*p.seed_mm, p.diffusivity, p.proliferation, p.duration] if p else [math.nan] * 6
    return [
        *known,
        tumour.whole_ml,
        tumour.core_ml,
        tumour.peak,
        *tumour.box,
        tumour.draw,
        tumour.snapshot,
        p.mass_effect if p else math.nan,
        tumour.least_jacobian,
    ]


def _shard(chunks: Sequence[bytes]) -> bytes:
    """Zarr's sharding_indexed layout: chunks, then (offset, bytes) of each, then the index's CRC-32C."""
    sizes = np.array([len(c) for c in chunks], "<u8")
    offsets = np.cumsum(sizes, dtype="<u8") - sizes
    index = np.stack([offsets, sizes], axis=1).astype("<u8").tobytes()
    return b"".join(chunks) + index + int(google_crc32c.value(index)).to_bytes(4, "little")
