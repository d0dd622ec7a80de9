"""The file behind a kind of derived data: packed segments one after another, memory-mapped, only ever appended to.

`directory.json` says which segments the file holds and where; it is replaced atomically after the bytes are on the
disk. Bytes behind the published length are what a killed build left, and are overwritten by the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedStoreError, OutputError, command
from ..store.atomic_io import make_directories, replace_file


@dataclass(frozen=True)
class PackedSegment:
    """Where a segment lies in the file.

    Args:
        start: first byte.
        bytes: how many.
        layout: byte offset of each array in it, and `head`.
        head_crc: CRC-32C of the head.
        body_crc: CRC-32C of the rest, for a full verification.
        seconds: that it took to make; 0 where nobody knows.
    """

    start: int
    bytes: int
    layout: dict[str, int]
    head_crc: int
    body_crc: int
    seconds: float = 0.0


@dataclass(frozen=True)
class Directory:
    """What the file holds, for one definition of the masks.

    Args:
        made_with: layout, frame and thresholds; another one makes the file stale.
        length: bytes of the file that are published.
        segments: by name.
    """

    made_with: dict[str, object]
    length: int = 0
    segments: dict[str, PackedSegment] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Replace the directory on the disk."""
        record = {
            "made_with": self.made_with,
            "length": self.length,
            "segments": {name: vars(s) for name, s in self.segments.items()},
        }
        text = json.dumps({"sha256": _digest(record), "directory": record})
        replace_file(folder / "directory.json", text.encode())

    @classmethod
    def load(cls, folder: Path, made_with: dict[str, object]) -> Directory:
        """Read the directory; an empty one where there is none or it was made with something else.

        Raises:
            DamagedStoreError: it is not what was written, or the file is shorter than it says.
        """
        path = folder / "directory.json"
        if not path.exists():
            return cls(made_with)
        try:
            body = json.loads(path.read_bytes())
            record = body["directory"]
            if body["sha256"] != _digest(record):
                raise ValueError("checksum does not match")
            if record["made_with"] != made_with:
                return cls(made_with)
            segments = {name: PackedSegment(**s) for name, s in record["segments"].items()}
            directory = cls(made_with, record["length"], segments)
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedStoreError(f"{path} is damaged ({error}): {_advice(folder)}") from error
        data = data_path(folder)
        if directory.length and (not data.exists() or data.stat().st_size < directory.length):
            raise DamagedStoreError(f"{data} is missing or cut short: {_advice(folder)}")
        return directory


def data_path(folder: Path) -> Path:
    """File that the directory speaks of."""
    return folder / "blocks.bin"


def append(
    folder: Path, directory: Directory, name: str, data: bytes, layout: dict[str, int], seconds: float = 0.0
) -> Directory:
    """Add a packed segment, which took `seconds` to make, durably and publish it; returns the new directory."""
    head = layout["head"]
    packed = PackedSegment(
        directory.length,
        len(data),
        layout,
        int(google_crc32c.value(data[:head])),
        int(google_crc32c.value(data[head:])),
        round(seconds, 3),
    )
    try:
        make_directories(folder)
        if not directory.length:
            data_path(folder).unlink(missing_ok=True)
        with data_path(folder).open("ab") as file:
            file.truncate(directory.length)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        grown = Directory(directory.made_with, directory.length + len(data), {**directory.segments, name: packed})
        grown.save(folder)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write the index in {folder}: {error.strerror}") from error
    return grown


def mapped(folder: Path, directory: Directory) -> NDArray[np.uint8]:
    """Return the published bytes of the file, memory-mapped."""
    if not directory.length:
        return np.zeros(0, np.uint8)
    return np.memmap(data_path(folder), np.uint8, mode="r", shape=(directory.length,))


def check_head(folder: Path, data: NDArray[np.uint8], name: str, segment: PackedSegment) -> None:
    """Hold the head of a packed segment against its checksum.

    Raises:
        DamagedStoreError: names segment and file.
    """
    head = data[segment.start : segment.start + segment.layout["head"]]
    if google_crc32c.value(head.tobytes()) != segment.head_crc:
        raise DamagedStoreError(f"the index of segment {name} is damaged in {data_path(folder)}: {_advice(folder)}")


def damaged_segments(folder: Path, directory: Directory) -> list[str]:
    """Names of the packed segments with a wrong byte anywhere."""
    data = mapped(folder, directory)
    found = []
    for name, s in directory.segments.items():
        head = s.start + s.layout["head"]
        parts = (data[s.start : head], s.head_crc), (data[head : s.start + s.bytes], s.body_crc)
        if any(google_crc32c.value(part.tobytes()) != crc for part, crc in parts):
            found.append(name)
    return found


def command_for(folder: Path, store: object = "STORE", *, rebuild: bool = False) -> str:
    """Mention the command that makes what a folder holds, see `errors.command`."""
    method = None if folder.name == "dice" else folder.name
    return command("gliodex index", store, index=method, rebuild=rebuild)


def _advice(folder: Path) -> str:
    return f"make it anew with {command_for(folder, rebuild=True)}"


def _digest(record: object) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
