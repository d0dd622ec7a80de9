"""How one density is kept: 12-bit integers, compressed and checksummed, the same bytes that Zarr would write."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import google_crc32c
import numpy as np
from numcodecs import Blosc
from numpy.typing import NDArray

from ..errors import InputError
from .frame import Frame
from .parameters import GrowthParameters
from .quantization import bounding_box, dequantise, level_of, quantise

CODEC = {"cname": "zstd", "clevel": 2, "shuffle": "shuffle", "typesize": 2, "blocksize": 2**22}
"""Compression of a chunk, in the words of Zarr's blosc codec."""

_BLOSC = Blosc(cname="zstd", clevel=2, shuffle=Blosc.SHUFFLE, blocksize=2**22)
_CRC_BYTES = 4


def encode(integers: NDArray[np.uint16]) -> bytes:
    """Compress one density and append its CRC-32C."""
    data: bytes = _BLOSC.encode(np.ascontiguousarray(integers, dtype="<u2"))
    return data + int(google_crc32c.value(data)).to_bytes(_CRC_BYTES, "little")


def decode(chunk: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint16]:
    """Check and decompress what `encode` made.

    Raises:
        ValueError: the checksum does not fit the bytes.
    """
    data, checksum = chunk[:-_CRC_BYTES], int.from_bytes(chunk[-_CRC_BYTES:], "little")
    if len(chunk) <= _CRC_BYTES or google_crc32c.value(data) != checksum:
        raise ValueError("checksum does not match")
    out = np.empty(shape, "<u2")
    if unpacked_bytes(chunk) != out.nbytes:
        raise ValueError(f"it holds {unpacked_bytes(chunk)} bytes, not the {out.nbytes} of a density on {shape}")
    _BLOSC.decode(data, out=out)
    return out


def unpacked_bytes(chunk: bytes) -> int:
    """Bytes of the density in a chunk, from the Blosc header."""
    return int.from_bytes(chunk[4:8], "little")


@dataclass(frozen=True)
class EncodedTumour:
    """A tumour ready to be written: compressed density and what is known about it.

    Args:
        parameters: what it was simulated with, None where nobody knows.
        chunk: compressed integers of the density on the store's frame.
        whole_ml, core_ml: volumes at the store's thresholds.
        peak: largest density.
        box: low (3) and high (3) voxel of the box around the nonzero integers; high is not included.
        draw: index of the prior's draw that gave it, -1 where it came from elsewhere.
        snapshot: 0 at the end of its simulation, n for the n-th tumour before it.
        least_jacobian: smallest ratio of a piece of tissue's volume to what it was before the tumour came; at most 0
            where the tissue is folded.
    """

    parameters: GrowthParameters | None
    chunk: bytes
    whole_ml: float
    core_ml: float
    peak: float
    box: tuple[int, int, int, int, int, int]
    draw: int = -1
    snapshot: int = 0
    least_jacobian: float = 1.0

    @classmethod
    def from_density(
        cls,
        density: NDArray[np.float32],
        frame: Frame,
        parameters: GrowthParameters | None,
        thresholds: dict[str, float],
        draw: int = -1,
    ) -> EncodedTumour:
        """Quantise, measure and compress a density on `frame`."""
        if density.shape != frame.shape:
            raise InputError(f"density of shape {density.shape} does not live on a frame of {frame.shape}")
        return cls.from_box(density, (0, 0, 0), frame, parameters, thresholds, draw)

    @classmethod
    def from_box(
        cls,
        density: NDArray[np.float32],
        low: tuple[int, int, int],
        frame: Frame,
        parameters: GrowthParameters | None,
        thresholds: dict[str, float],
        draw: int = -1,
        snapshot: int = 0,
        least_jacobian: float = 1.0,
    ) -> EncodedTumour:
        """Quantise, measure and compress a density given in a box whose first voxel is `low`, zero around it."""
        integers = quantise(density)
        volume = {
            name: np.count_nonzero(integers >= level_of(level)) * frame.voxel_ml for name, level in thresholds.items()
        }
        box = bounding_box(integers)
        if any(box):
            (x, y, z), (i, j, k) = low, box[3:]
            box = (box[0] + x, box[1] + y, box[2] + z, i + x, j + y, k + z)
        whole = _cleared(frame.shape)
        whole[tuple(slice(a, a + n) for a, n in zip(low, density.shape, strict=True))] = integers
        return cls(
            parameters,
            encode(whole),
            volume["whole"],
            volume["core"],
            float(dequantise(integers.max(keepdims=True)).item()),
            box,
            draw,
            snapshot,
            least_jacobian,
        )


_memory = threading.local()  # one array a thread: fresh pages would cost as much as compressing them


def _cleared(shape: tuple[int, int, int]) -> NDArray[np.uint16]:
    held: NDArray[np.uint16] | None = getattr(_memory, "integers", None)
    if held is None or held.shape != shape:
        held = _memory.integers = np.zeros(shape, "<u2")
    else:
        held[...] = 0
    return held
