"""The masks of one segment as one run of bytes, laid out to be searched where it lies in a memory-mapped file.

Little-endian, every array on an 8-byte boundary, for n tumours and g blocks in the frame; mask 0 is core, 1 whole:

    head    sizes       (2, n) uint32      voxels of each mask
            checks      (n, 2) uint64      checksum of a tumour's blocks and words
            blocks      (2 n + 1) uint32   where a mask's blocks begin; mask 2 row + m
            words       (2 n + 1) uint32   where a mask's words begin
            postings    (2, g + 1) uint32  where a block's postings begin
            post_rows   (B) uint16         tumours that have the block ...
            post_counts (B) uint16         ... and how many of its voxels
    body    ids         (B) uint16         blocks of a mask
            kinds       (B) uint16         which of its words are mixed, which full
            words       (W) uint64         the mixed words

The head is checked when the file is opened, a tumour's part of the body whenever it is compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit, uint32, uint64
from numpy.typing import NDArray

from .block_masks import SparseMask, dense_words, popcount

FIELDS = (
    "rows",
    "sizes",
    "checks",
    "blocks",
    "words_from",
    "postings",
    "post_rows",
    "post_counts",
    "ids",
    "kinds",
    "words",
)
"""Columns of the table of offsets: `rows` is the number of tumours, the others are in items from the file's start."""

_DTYPES = {
    "sizes": "<u4",
    "checks": "<u8",
    "blocks": "<u4",
    "words_from": "<u4",
    "postings": "<u4",
    "post_rows": "<u2",
    "post_counts": "<u2",
    "ids": "<u2",
    "kinds": "<u2",
    "words": "<u8",
}
_HEAD = ("sizes", "checks", "blocks", "words_from", "postings", "post_rows", "post_counts")


def together(parts: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
    """Copy arrays into one large one, and return its parts.

    Small arrays that are kept, each made beside megabytes of scratch, leave the memory full of holes: gigabytes for a
    segment of a thousand tumours.
    """
    return np.split(np.concatenate(parts), np.cumsum([len(part) for part in parts])[:-1])


def side_by_side(pairs: Sequence[tuple[SparseMask, SparseMask]]) -> list[tuple[SparseMask, SparseMask]]:
    """Copy masks into a few large arrays: see `together`."""
    flat = [mask for pair in pairs for mask in pair]
    fields = [together([getattr(mask, name) for mask in flat]) for name in ("ids", "kinds", "counts", "words")]
    again = [
        SparseMask(ids, kinds, counts, words, mask.size)
        for ids, kinds, counts, words, mask in zip(*fields, flat, strict=True)
    ]
    return list(zip(again[0::2], again[1::2], strict=True))


def pack(masks: Sequence[tuple[SparseMask, SparseMask]], grid_blocks: int) -> tuple[bytes, dict[str, int]]:
    """Lay out the (core, whole) masks of a segment's tumours.

    Returns:
        The bytes, and the layout: byte offset of each array, `head` (bytes of the head) and `rows`.
    """
    if len(masks) > 2**16:
        raise ValueError(f"a segment of {len(masks)} tumours is too large for the index: at most {2**16}")
    flat = [mask for pair in masks for mask in pair]
    ids = np.concatenate([m.ids for m in flat])
    kinds = np.concatenate([m.kinds for m in flat])
    words = np.concatenate([m.words for m in flat])
    blocks = np.cumsum([0] + [len(m.ids) for m in flat])
    words_from = np.cumsum([0] + [len(m.words) for m in flat])
    postings, post_rows, post_counts = [], [], []
    begin = 0
    for m in range(2):
        chosen = [pair[m] for pair in masks]
        block = np.concatenate([c.ids for c in chosen])
        row = np.repeat(np.arange(len(chosen)), [len(c.ids) for c in chosen])
        order = np.argsort(block, kind="stable")
        postings.append(begin + np.searchsorted(block[order], np.arange(grid_blocks + 1)))
        post_rows.append(row[order])
        post_counts.append(np.concatenate([c.counts for c in chosen])[order])
        begin += len(block)
    arrays = {
        "sizes": np.array([[pair[m].size for pair in masks] for m in range(2)]),
        "checks": np.zeros((len(masks), 2)),
        "blocks": blocks,
        "words_from": words_from,
        "postings": np.array(postings),
        "post_rows": np.concatenate(post_rows),
        "post_counts": np.concatenate(post_counts),
        "ids": ids,
        "kinds": kinds,
        "words": words,
    }
    typed = {name: np.ascontiguousarray(values, dtype=_DTYPES[name]) for name, values in arrays.items()}
    for mask in range(len(flat)):
        typed["checks"][mask // 2, mask % 2] = checksum(
            typed["ids"],
            typed["kinds"],
            typed["words"],
            *(int(v) for v in blocks[mask : mask + 2]),
            *(int(v) for v in words_from[mask : mask + 2]),
        )
    layout = {"rows": len(masks)}
    out = bytearray()
    for name, values in typed.items():
        layout[name] = len(out)
        out += values.tobytes()
        out += b"\0" * (-len(out) % 8)
        if name == _HEAD[-1]:
            layout["head"] = len(out)
    return bytes(out), layout


def offsets(layout: dict[str, int], start: int) -> list[int]:
    """Row of the offset table for a segment whose bytes begin at `start`."""
    row = [layout["rows"]]
    row += [(start + layout[name]) // np.dtype(_DTYPES[name]).itemsize for name in FIELDS[1:]]
    return row


@njit(cache=True, nogil=True)
def checksum(
    ids: NDArray[np.uint16],
    kinds: NDArray[np.uint16],
    words: NDArray[np.uint64],
    block: int,
    block_end: int,
    word: int,
    word_end: int,
) -> np.uint64:
    """Sum of every item times an odd number of its place, modulo 2^64.

    An odd factor has an inverse, so no change of a single item can go unseen.
    """
    odd = uint64(0x9E3779B97F4A7C15)
    step = uint64(0xD1B54A32D192ED02)  # even: `odd` stays odd
    total = uint64(0)
    for b in range(block, block_end):
        total += ((uint64(ids[b]) << uint64(16)) | uint64(kinds[b])) * odd
        odd += step
    for w in range(word, word_end):
        total += words[w] * odd
        odd += step
    return total


def stored_words(
    u16: NDArray[np.uint16],
    u32: NDArray[np.uint32],
    u64: NDArray[np.uint64],
    offsets: NDArray[np.int64],
    part: int,
    grid_blocks: int,
) -> NDArray[np.uint64] | None:
    """Words of a mask of a segment, (blocks, 8); None where they do not match their checksum.

    Args:
        u16: the file as numbers of 16 bits.
        u32: likewise of 32.
        u64: likewise of 64.
        offsets: the segment's row of the table.
        part: the mask, 2 row + m.
        grid_blocks: of the frame.
    """
    block, block_end = (int(offsets[8] + u32[offsets[3] + part + n]) for n in range(2))
    word, word_end = (int(offsets[10] + u32[offsets[4] + part + n]) for n in range(2))
    kinds = u16[offsets[9] - offsets[8] :]
    if checksum(u16, kinds, u64, block, block_end, word, word_end) != u64[offsets[2] + part]:
        return None
    return dense_words(u16[block:block_end], kinds[block:block_end], u64[word:word_end], grid_blocks)


@njit(cache=True, nogil=True)
def add_bounds(
    u16: NDArray[np.uint16],
    u32: NDArray[np.uint32],
    table: NDArray[np.int64],
    mask: int,
    query_counts: NDArray[np.uint16],
    total: NDArray[np.uint32],
) -> None:
    """Add to `total` (tumours,) the bound sum_b min(|A_b|, |B_b|) on the intersection with the query's mask.

    Walks only the blocks that the query touches (Baldi & Hirschberg 2009, doi:10.1021/ci900136b, the intersection
    inequality, over a partition of space).
    """
    touched = np.flatnonzero(query_counts)
    grid = query_counts.size + 1
    base = 0
    for s in range(table.shape[0]):
        postings = table[s, 5] + mask * grid
        for b in touched:
            limit = uint32(query_counts[b])
            for p in range(u32[postings + b], u32[postings + b + 1]):
                total[base + u16[table[s, 6] + p]] += min(uint32(u16[table[s, 7] + p]), limit)
        base += table[s, 0]


@njit(cache=True, nogil=True)
def intersections(
    u16: NDArray[np.uint16],
    u32: NDArray[np.uint32],
    u64: NDArray[np.uint64],
    table: NDArray[np.int64],
    segments: NDArray[np.int64],
    rows: NDArray[np.int64],
    query: NDArray[np.uint64],
    found: NDArray[np.int64],
) -> int:
    """Count voxels shared with the query's core and whole words, (2, blocks, 8), into `found` (n, 2).

    Returns:
        -1, or the first entry whose bytes do not match their checksum.
    """
    ones = uint64(0xFFFFFFFFFFFFFFFF)
    for i in range(rows.size):
        t = table[segments[i]]
        for m in range(2):
            part = 2 * rows[i] + m
            block, block_end = t[8] + u32[t[3] + part], t[8] + u32[t[3] + part + 1]
            kind = t[9] - t[8]
            word, word_end = t[10] + u32[t[4] + part], t[10] + u32[t[4] + part + 1]
            if checksum(u16, u16[kind:], u64, block, block_end, word, word_end) != u64[t[2] + part]:
                return i
            shared = uint64(0)
            for b in range(block, block_end):
                words = query[m, u16[b]]
                mixed = u16[b + kind]
                for w in range(8):
                    if mixed & (1 << w):
                        shared += popcount(u64[word] & words[w])
                        word += 1
                    elif mixed & (256 << w):
                        shared += popcount(ones & words[w])
            found[i, m] = shared
    return -1
