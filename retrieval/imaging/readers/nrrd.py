"""NRRD files (teem.sourceforge.net/nrrd/format.html), attached or detached, and 3D Slicer's segmentations in them.

Written here and not left to ITK: `ants.image_read` turns every type into float32, fails on 64-bit integers, drops the
names of segments and prints to the terminal, and a hostile header must be refused before native code sees it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ....store import image_bytes
from .grids import as_volume, checked_frame, ras_affine
from .payload import Encoding, beside, read_payload
from .slicer_segments import named_segments
from .volume import Volume

_TYPES = {
    "int8": "signed char, int8, int8_t",
    "uint8": "uchar, unsigned char, uint8, uint8_t",
    "int16": "short, short int, signed short, signed short int, int16, int16_t",
    "uint16": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "int32": "int, signed int, int32, int32_t",
    "uint32": "uint, unsigned int, uint32, uint32_t",
    "int64": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "uint64": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "float32": "float",
    "float64": "double",
}
_DTYPES = {word: dtype for dtype, words in _TYPES.items() for word in words.split(", ")}

_ENCODINGS: dict[str, Encoding] = {
    "raw": "raw",
    "gzip": "gzip",
    "gz": "gzip",
    "bzip2": "bzip2",
    "bz2": "bzip2",
    "text": "text",
    "txt": "text",
    "ascii": "text",
}

_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
"""Signs that bring the world of a file to RAS+."""

_MAX_HEADER = 1 << 22
_MAX_LINE = 1 << 16
_MAX_SKIPPED_LINES = 10_000


@dataclass(frozen=True)
class _Header:
    path: Path
    fields: Mapping[str, str]
    pairs: Mapping[str, str]

    def need(self, name: str) -> str:
        if name not in self.fields:
            raise InputError(f"{self.path} lacks the field {name!r} in its NRRD header", hint="write it again")
        return self.fields[name]

    def integer(self, name: str, otherwise: int) -> int:
        return self.integers(name)[0] if name in self.fields else otherwise

    def integers(self, name: str) -> list[int]:
        words = self.need(name).split()
        try:
            return [int(word) for word in words] or [0]
        except ValueError:
            raise self.damaged(name) from None

    def damaged(self, name: str) -> InputError:
        return InputError(f"{self.path} has a damaged NRRD header: {name!r} is {self.fields.get(name, '')[:60]!r}")


def read_nrrd(path: Path) -> Volume:
    """Read an NRRD file, .nrrd or .nhdr; one axis may hold channels or layers of segments.

    Raises:
        InputError: damaged, not three axes in space, or in a space of which the sides are not known.
    """
    with image_bytes.open_file(path) as file:
        header = _read_header(path, file)
        dtype, sizes = _dtype(header), header.integers("sizes")
        image_bytes.check_size(path, sizes, dtype)
        if header.integer("dimension", len(sizes)) != len(sizes):
            raise header.damaged("dimension")
        axis, affine = _grid(header, sizes)
        size = [n for i, n in enumerate(sizes) if i != axis]
        frame = checked_frame(path, size, affine)
        values = _values(header, file, sizes, dtype)
    data, names = named_segments(path, as_volume(values, axis), header.pairs)
    return Volume(data, frame, path, "NRRD", names)


def _read_header(path: Path, file: IO[bytes]) -> _Header:
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    left = _MAX_HEADER
    with image_bytes.reading(path):
        file.readline(_MAX_LINE)
        while (line := file.readline(_MAX_LINE)).strip(b"\r\n"):
            left -= len(line)
            if left < 0:
                raise InputError(f"{path} has an NRRD header of more than {_MAX_HEADER:,} bytes: it is damaged")
            text = line.decode("utf-8", errors="replace").rstrip("\r\n")
            name, colon, value = text.partition(":")
            if text.startswith("#") or not colon:
                continue
            if value.startswith("="):
                pairs[name] = value[1:].replace("\\n", " ").replace("\\\\", "\\")
            else:
                fields[name.strip().lower()] = value.strip()
    return _Header(path, fields, pairs)


def _dtype(header: _Header) -> np.dtype[np.generic]:
    name = _DTYPES.get(" ".join(header.need("type").lower().split()))
    if name is None:
        raise InputError(
            f"{header.path} holds values of type {header.fields['type'][:40]!r}", hint="give a scalar image"
        )
    dtype = np.dtype(name)
    endian = header.fields.get("endian", "").lower()
    if dtype.itemsize > 1 and endian not in {"little", "big"} and _encoding(header) != "text":
        raise InputError(f"{header.path} does not say the order of its bytes (endian)", hint="write it again")
    return dtype.newbyteorder(">" if endian == "big" else "<")


def _encoding(header: _Header) -> Encoding:
    encoding = _ENCODINGS.get(header.need("encoding").lower())
    if encoding is None:
        raise InputError(
            f"{header.path} is encoded as {header.fields['encoding'][:40]!r}", hint="write it as gzip or raw"
        )
    return encoding


def _grid(header: _Header, sizes: list[int]) -> tuple[int | None, NDArray[np.float64]]:
    """Find the axis that is none of space, and the map of the others to RAS+ mm."""
    path = header.path
    space = header.fields.get("space", "").lower()
    if "space directions" not in header.fields:
        raise InputError(
            f"{path} says nothing about its orientation (no 'space directions')", hint="write it from a 3-D image"
        )
    if space not in _SPACES:
        said = f"is in the space {space[:40]!r}" if space else "does not say its space"
        raise InputError(f"{path} {said}, so left and right are not known", hint="write it in LPS or RAS")
    vectors = _vectors(header, "space directions")
    nowhere = [i for i, vector in enumerate(vectors) if vector is None]
    if len(vectors) != len(sizes) or len(sizes) - len(nowhere) != 3 or len(nowhere) > 1:
        raise InputError(
            f"{path} has sizes {sizes}, not three axes of space and at most one of channels", hint="give those"
        )
    origin = _vectors(header, "space origin")[0] if "space origin" in header.fields else None
    if origin is None:
        raise InputError(f"{path} does not say where its first voxel lies (no 'space origin')", hint="write it again")
    axes = np.array([vector for vector in vectors if vector is not None]).T
    return (nowhere[0] if nowhere else None), ras_affine(_SPACES[space], axes, np.array(origin))


def _vectors(header: _Header, name: str) -> list[list[float] | None]:
    text = header.need(name)
    found = re.findall(r"none|\([^()]*\)", text, re.IGNORECASE)
    try:
        vectors = [None if word[0] != "(" else [float(n) for n in word[1:-1].split(",")] for word in found]
    except ValueError:
        raise header.damaged(name) from None
    if not vectors or any(vector is not None and len(vector) != 3 for vector in vectors):
        raise header.damaged(name)
    return vectors


def _values(header: _Header, file: IO[bytes], sizes: list[int], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    name = header.fields.get("data file", header.fields.get("datafile"))
    encoding = _encoding(header)
    if name is None:
        _skip(header, file, encoding, sizes, dtype)
        return read_payload(file, encoding, sizes, dtype, header.path)
    if name.upper().startswith("LIST") or "%" in name:
        raise InputError(f"{header.path} has its values in several files", hint="write it as one file first")
    values_path = beside(header.path, name)
    with image_bytes.open_file(values_path, decompressed=False) as values_file:
        _skip(header, values_file, encoding, sizes, dtype)
        return read_payload(values_file, encoding, sizes, dtype, values_path)


def _skip(header: _Header, file: IO[bytes], encoding: Encoding, sizes: list[int], dtype: np.dtype[np.generic]) -> None:
    lines = header.integer("line skip", header.integer("lineskip", 0))
    skipped = header.integer("byte skip", header.integer("byteskip", 0))
    if not 0 <= lines <= _MAX_SKIPPED_LINES:
        raise header.damaged("line skip")
    with image_bytes.reading(header.path):
        for _ in range(lines):
            file.readline(_MAX_LINE)
    if skipped and encoding != "raw":
        raise InputError(f"{header.path} skips bytes of compressed values", hint="write it again without 'byte skip'")
    if skipped == -1:
        image_bytes.seek_last(file, int(np.prod(sizes, dtype=np.int64)) * dtype.itemsize, header.path)
    else:
        image_bytes.skip(file, skipped, header.path)
