"""MetaImage files (itk.org/Wiki/ITK/MetaIO/Documentation): .mha, and .mhd with its values beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ....store import image_bytes
from .grids import as_volume, channel_axis, checked_frame, ras_affine
from .payload import Encoding, beside, read_payload
from .volume import Volume

_DTYPES = {
    "MET_CHAR": "int8",
    "MET_UCHAR": "uint8",
    "MET_SHORT": "int16",
    "MET_USHORT": "uint16",
    "MET_INT": "int32",
    "MET_UINT": "uint32",
    "MET_LONG": "int32",
    "MET_ULONG": "uint32",
    "MET_LONG_LONG": "int64",
    "MET_ULONG_LONG": "uint64",
    "MET_FLOAT": "float32",
    "MET_DOUBLE": "float64",
}

_SYNONYMS = {
    "Rotation": "TransformMatrix",
    "Orientation": "TransformMatrix",
    "Position": "Offset",
    "Origin": "Offset",
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}

_MAX_HEADER = 1 << 20
_MAX_LINE = 1 << 14


@dataclass(frozen=True)
class _Header:
    path: Path
    fields: Mapping[str, str]

    def need(self, name: str, why: str = "") -> str:
        if name not in self.fields:
            raise InputError(f"{self.path} lacks {name} in its header{why}", hint="write it again")
        return self.fields[name]

    def says(self, name: str, otherwise: bool = False) -> bool:
        return self.fields[name].lower() in {"true", "t", "1"} if name in self.fields else otherwise

    def numbers(self, name: str, count: int, why: str = "") -> NDArray[np.float64]:
        words = self.need(name, why).split()
        try:
            numbers = np.array([float(word) for word in words])
        except ValueError:
            numbers = np.empty(0)
        if len(numbers) != count:
            raise self.damaged(name)
        return numbers

    def integer(self, name: str, otherwise: int) -> int:
        try:
            return int(self.fields.get(name, otherwise))
        except ValueError:
            raise self.damaged(name) from None

    def damaged(self, name: str) -> InputError:
        return InputError(f"{self.path} has a damaged MetaImage header: {name} is {self.fields.get(name, '')[:60]!r}")


def read_metaimage(path: Path) -> Volume:
    """Read a MetaImage, in one file or two.

    Raises:
        InputError: damaged, no volume, or without orientation, place or size of its voxels.
    """
    with image_bytes.open_file(path) as file:
        header = _read_header(path, file)
        sizes, dtype, channels = _sizes(header), _dtype(header), header.integer("ElementNumberOfChannels", 1)
        stored = [channels, *sizes] if channels != 1 else sizes
        image_bytes.check_size(path, stored, dtype)
        affine = _affine(header, len(sizes))
        axis = 0 if channels != 1 else channel_axis(path, sizes)
        if channels != 1 and len(sizes) != 3:
            raise InputError(f"{path} has {len(sizes)} axes and channels besides", hint="give one 3-D volume")
        size = stored[1:4] if axis == 0 else stored[:3]
        frame = checked_frame(path, size, affine)
        values = _values(header, file, stored, dtype)
    return Volume(as_volume(values, axis), frame, path, "MetaImage")


def _read_header(path: Path, file: IO[bytes]) -> _Header:
    """Read the lines up to that of the values, which is the last of them."""
    fields: dict[str, str] = {}
    left = _MAX_HEADER
    with image_bytes.reading(path):
        while left > 0 and (line := file.readline(_MAX_LINE)):
            left -= len(line)
            name, equals, value = line.decode("utf-8", errors="replace").partition("=")
            if not equals:
                continue
            name = _SYNONYMS.get(name.strip(), name.strip())
            fields[name] = value.strip()
            if name == "ElementDataFile":
                return _Header(path, fields)
    raise InputError(f"{path} is cut short: its header does not say where its values are (ElementDataFile)")


def _sizes(header: _Header) -> list[int]:
    count = header.integer("NDims", 0)
    words = header.need("DimSize").split()
    try:
        sizes = [int(word) for word in words]
    except ValueError:
        raise header.damaged("DimSize") from None
    if len(sizes) != count:
        raise header.damaged("DimSize")
    if count not in {3, 4}:
        raise InputError(f"{header.path} has {count} axes", hint="give one 3-D volume")
    return sizes


def _dtype(header: _Header) -> np.dtype[np.generic]:
    name = header.need("ElementType").removesuffix("_ARRAY")
    if name not in _DTYPES:
        raise InputError(f"{header.path} holds values of type {name[:40]}", hint="give a scalar image")
    scaling = header.numbers("ElementToIntensityFunctionSlope", 1)[0] if _scaled(header, "Slope") else 1.0
    shift = header.numbers("ElementToIntensityFunctionOffset", 1)[0] if _scaled(header, "Offset") else 0.0
    if (scaling, shift) != (1.0, 0.0):
        raise InputError(f"{header.path} scales its values (ElementToIntensityFunction), which readers do not agree on")
    return np.dtype(_DTYPES[name]).newbyteorder(">" if header.says("BinaryDataByteOrderMSB") else "<")


def _scaled(header: _Header, what: str) -> bool:
    return f"ElementToIntensityFunction{what}" in header.fields


def _affine(header: _Header, axes: int) -> NDArray[np.float64]:
    """Map of voxel indices to RAS+ mm; the rows of TransformMatrix are the directions of the axes, in LPS."""
    why = ", so its orientation and place are not known"
    matrix = header.numbers("TransformMatrix", axes * axes, why).reshape(axes, axes)
    offset = header.numbers("Offset", axes, why)
    size_name = "ElementSpacing" if "ElementSpacing" in header.fields else "ElementSize"
    spacing = header.numbers(size_name, axes)
    if axes == 4 and (matrix[3, :3].any() or matrix[:3, 3].any()):
        raise header.damaged("TransformMatrix")
    with np.errstate(all="ignore"):
        steps = matrix[:3, :3].T * spacing[:3]
    return ras_affine((-1, -1, 1), steps, offset[:3])


def _values(header: _Header, file: IO[bytes], stored: list[int], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    encoding: Encoding = "zlib" if header.says("CompressedData") else "raw"
    if not header.says("BinaryData", otherwise=True):
        encoding = "text"
    name = header.fields["ElementDataFile"]
    if name.upper() == "LOCAL":
        return read_payload(file, encoding, stored, dtype, header.path)
    if name.upper().startswith("LIST") or "%" in name:
        raise InputError(f"{header.path} has its values in several files", hint="write it as one file first")
    values_path = beside(header.path, name)
    skipped = header.integer("HeaderSize", 0)
    with image_bytes.open_file(values_path, decompressed=False) as values_file:
        if skipped == -1:
            image_bytes.seek_last(values_file, int(np.prod(stored, dtype=np.int64)) * dtype.itemsize, values_path)
        else:
            image_bytes.skip(values_file, skipped, values_path)
        return read_payload(values_file, encoding, stored, dtype, values_path)
