"""Masks as blocks of 8 x 8 x 8 voxels: 512 bits, eight words of 64, one cache line.

Word x of a block holds bit 8 y + z. A block is kept only where a bit is set, and of its words only the mixed ones:
two bytes tell which words are mixed and which are all ones, the rest are zero. A tumour's two masks take 4.5 KB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit, types, uint64
from numba.extending import intrinsic
from numpy.typing import NDArray

BLOCK = 8
"""Edge of a block in voxels."""

_REVERSED = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1), axis=1, bitorder="little")[:, 0]
"""Each byte with its bits in the other order."""

_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


@intrinsic
def popcount(typing_context, word):  # type: ignore[no-untyped-def]
    """Count the bits that are set in a 64-bit word: one instruction."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


def block_grid(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Blocks along each axis of a frame."""
    i, j, k = (-(-n // BLOCK) for n in shape)
    return i, j, k


@dataclass(frozen=True)
class DenseMask:
    """A query mask with every block in place.

    Args:
        words: (blocks, 8) uint64.
        counts: voxels set in each block, (blocks,) uint16.
        size: voxels set.
    """

    words: NDArray[np.uint64]
    counts: NDArray[np.uint16]
    size: int

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_]) -> DenseMask:
        """Cut a boolean mask into blocks."""
        return cls._from_rows(np.packbits(mask, axis=2), mask.shape)

    @classmethod
    def from_packed(cls, bits: NDArray[np.uint8], shape: tuple[int, int, int]) -> DenseMask:
        """Cut a mask into blocks that is given as `numpy.packbits` makes it of all voxels."""
        if shape[2] % 8:
            mask = np.unpackbits(bits, count=math.prod(shape)).reshape(shape)
            return cls.from_mask(mask.view(np.bool_))
        return cls._from_rows(bits.reshape(*shape[:2], -1), shape)

    @classmethod
    def _from_rows(cls, rows: NDArray[np.uint8], shape: tuple[int, ...]) -> DenseMask:
        i, j, k = block_grid((shape[0], shape[1], shape[2]))
        words, counts = np.zeros((i * j * k, BLOCK), np.uint64), np.zeros(i * j * k, np.uint16)
        cut_rows(rows, j, _REVERSED, words, counts)
        return cls(words, counts, int(counts.sum(dtype=np.int64)))

    @classmethod
    def from_words(cls, words: NDArray[np.uint64]) -> DenseMask:
        """Count what is set."""
        counts = np.bitwise_count(words).sum(axis=1, dtype=np.uint16)
        return cls(words, counts, int(counts.sum(dtype=np.int64)))


@dataclass(frozen=True)
class SparseMask:
    """A stored mask: only what is not zero.

    Args:
        ids: of the blocks, ascending, (b,) uint16.
        kinds: low byte, which words are mixed; high byte, which are all ones; (b,) uint16.
        counts: voxels set in each block, (b,) uint16.
        words: the mixed words in order, (w,) uint64.
        size: voxels set.
    """

    ids: NDArray[np.uint16]
    kinds: NDArray[np.uint16]
    counts: NDArray[np.uint16]
    words: NDArray[np.uint64]
    size: int

    @classmethod
    def from_dense(cls, dense: DenseMask) -> SparseMask:
        """Drop the empty blocks and the words that are all zeros or all ones."""
        if len(dense.counts) > 2**16:
            raise ValueError(f"a frame of {len(dense.counts)} blocks is too large for the index: at most {2**16}")
        ids = np.flatnonzero(dense.counts)
        words = dense.words[ids]
        full = words == _ONES
        mixed = (words != 0) & ~full
        place = (1 << np.arange(BLOCK)).astype(np.uint16)
        kinds = (mixed * place).sum(axis=1) + ((full * place).sum(axis=1) << 8)
        return cls(ids.astype(np.uint16), kinds.astype(np.uint16), dense.counts[ids], words[mixed], dense.size)


def dense_words(
    ids: NDArray[np.uint16], kinds: NDArray[np.uint16], words: NDArray[np.uint64], blocks: int
) -> NDArray[np.uint64]:
    """Put a stored mask's words back in place, (blocks, 8): what `SparseMask.from_dense` dropped.

    Args:
        ids: see `SparseMask`.
        kinds: likewise.
        words: likewise.
        blocks: of the frame.
    """
    place = (1 << np.arange(BLOCK)).astype(np.uint16)
    filled = np.where(((kinds >> 8)[:, None] & place) != 0, _ONES, np.uint64(0))
    filled[(kinds[:, None] & place) != 0] = words
    dense = np.zeros((blocks, BLOCK), np.uint64)
    dense[ids] = filled
    return dense


@njit(cache=True, nogil=True)
def cut_rows(
    rows: NDArray[np.uint8],
    grid_j: int,
    reversed_bits: NDArray[np.uint8],
    words: NDArray[np.uint64],
    counts: NDArray[np.uint16],
) -> None:
    """Put the bytes of a mask's rows, (x, y, blocks along z), where they belong in its blocks, and count their bits.

    Rows have their first voxel in the highest bit of a byte, blocks in the lowest.
    """
    for x in range(rows.shape[0]):
        for y in range(rows.shape[1]):
            first = ((x >> 3) * grid_j + (y >> 3)) * rows.shape[2]
            shift = uint64((y & 7) << 3)
            for z in range(rows.shape[2]):
                byte = reversed_bits[rows[x, y, z]]
                if byte:
                    words[first + z, x & 7] |= uint64(byte) << shift
                    counts[first + z] += popcount(uint64(byte))


@njit(cache=True, nogil=True)
def block_words(
    values: NDArray[np.uint16], level: int, low: tuple[int, int, int], high: tuple[int, int, int]
) -> NDArray[np.uint64]:
    """Bits of `values >= level`, block by block, looking only at the box from `low` up to `high`."""
    nx, ny, nz = values.shape
    by, bz = (ny + 7) // 8, (nz + 7) // 8
    words = np.zeros((((nx + 7) // 8) * by * bz, 8), np.uint64)
    for x in range(low[0], high[0]):
        for y in range(low[1], high[1]):
            row = ((x >> 3) * by + (y >> 3)) * bz
            shift = (y & 7) << 3
            for z in range(low[2], high[2]):
                if values[x, y, z] >= level:
                    words[row + (z >> 3), x & 7] |= uint64(1) << uint64(shift + (z & 7))
    return words
