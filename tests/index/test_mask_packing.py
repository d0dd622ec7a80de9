import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gliodex.index.block_masks import DenseMask, SparseMask, block_grid
from gliodex.index.mask_packing import FIELDS, add_bounds, intersections, offsets, pack

SHAPE = (17, 9, 20)
BLOCKS = int(np.prod(block_grid(SHAPE)))


def random_masks(count, seed):
    """(core, whole) voxel masks, from empty to full."""
    rng = np.random.default_rng(seed)
    shares = rng.choice([0, 0.005, 0.3, 1], size=(count, 2))
    return [tuple(rng.random(SHAPE) < share for share in pair) for pair in shares]


def packed(masks):
    return pack([tuple(SparseMask.from_dense(DenseMask.from_mask(m)) for m in pair) for pair in masks], BLOCKS)


class Segments:
    """Packed segments one after another, as the index file holds them."""

    def __init__(self, *groups):
        self.data, table = b"", []
        for masks in groups:
            data, layout = packed(masks)
            table.append(offsets(layout, len(self.data)))
            self.data += data
        self.table = np.array(table, np.int64)

    def views(self):
        data = np.frombuffer(self.data, np.uint8)
        return data.view(np.uint16), data.view(np.uint32), data.view(np.uint64)

    def bounds(self, query, mask, count):
        u16, u32, _ = self.views()
        total = np.zeros(count, np.uint32)
        add_bounds(u16, u32, self.table, mask, DenseMask.from_mask(query).counts, total)
        return total

    def compare(self, queries, segments, rows):
        words = np.stack([DenseMask.from_mask(q).words for q in queries])
        found = np.full((len(rows), 2), -1, np.int64)
        bad = intersections(*self.views(), self.table, np.array(segments), np.array(rows), words, found)
        return bad, found


def block_counts(mask):
    return DenseMask.from_mask(mask).counts.astype(int)


@given(st.integers(1, 6), st.integers(0, 5), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_intersections_are_the_shared_voxels(count, more, seed):
    groups = [random_masks(count, seed)] + ([random_masks(more, seed + 1)] if more else [])
    pairs = [(s, r) for s, group in enumerate(groups) for r in range(len(group))]
    query = random_masks(1, seed + 2)[0]
    bad, found = Segments(*groups).compare(query, [s for s, _ in pairs], [r for _, r in pairs])
    expected = [[(mask & q).sum() for mask, q in zip(groups[s][r], query, strict=True)] for s, r in pairs]
    assert bad == -1
    np.testing.assert_array_equal(found, expected)


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_bounds_are_the_sums_of_the_smaller_block_counts(count, more, seed):
    groups = random_masks(count, seed), random_masks(more, seed + 1)
    query = random_masks(1, seed + 2)[0]
    segments = Segments(*groups)
    for m in range(2):
        expected = [
            np.minimum(block_counts(pair[m]), block_counts(query[m])).sum() for group in groups for pair in group
        ]
        bounds = segments.bounds(query[m], m, count + more)
        np.testing.assert_array_equal(bounds, expected)
        shared = [(pair[m] & query[m]).sum() for group in groups for pair in group]
        assert (bounds >= shared).all()


def test_sizes_and_arrays_lie_where_the_layout_says():
    masks = random_masks(5, 3)
    data, layout = packed(masks)
    assert layout["rows"] == 5
    assert len(data) % 8 == 0
    assert all(layout[name] % 8 == 0 for name in FIELDS[1:])
    assert layout["head"] == layout["ids"]
    sizes = np.frombuffer(data, "<u4", 10, layout["sizes"]).reshape(2, 5)
    np.testing.assert_array_equal(sizes, [[pair[m].sum() for pair in masks] for m in range(2)])


def test_a_segment_of_empty_masks_can_be_searched():
    nothing = np.zeros(SHAPE, bool)
    segments = Segments([(nothing, nothing)] * 2, random_masks(2, 5))
    everything = np.ones(SHAPE, bool)
    bad, found = segments.compare((everything, everything), [0, 0], [0, 1])
    assert bad == -1
    assert not found.any()
    assert segments.bounds(everything, 0, 4)[:2].tolist() == [0, 0]


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_no_flipped_byte_of_a_body_gives_another_count(mask):
    masks = [pair for pair in random_masks(8, 1) if pair[0].any() and pair[1].any()][:2]
    segments = Segments(masks)
    sound = segments.data
    layout = packed(masks)[1]
    query = random_masks(1, 7)[0]
    expected = segments.compare(query, [0, 0], [0, 1])[1]
    noticed = 0
    for position in range(layout["head"], len(sound)):
        broken = bytearray(sound)
        broken[position] ^= mask
        segments.data = bytes(broken)
        bad, found = segments.compare(query, [0, 0], [0, 1])
        if bad == -1:
            np.testing.assert_array_equal(found, expected)
        else:
            noticed += 1
    assert noticed > 0.95 * (len(sound) - layout["head"]) - 16


def test_the_first_damaged_entry_is_told():
    masks = [(m := np.random.default_rng(n).random(SHAPE) < 0.5, m) for n in range(3)]
    segments = Segments(masks)
    broken = bytearray(segments.data)
    broken[-1] ^= 1
    segments.data = bytes(broken)
    query = (np.ones(SHAPE, bool),) * 2
    assert segments.compare(query, [0, 0, 0], [0, 2, 1])[0] == 1
    assert segments.compare(query, [0, 0], [0, 1])[0] == -1


def test_more_tumours_than_a_row_number_holds_are_refused_rather_than_wrapped():
    voxel = np.zeros((8, 8, 8), bool)
    voxel[0, 0, 0] = True
    one = SparseMask.from_dense(DenseMask.from_mask(voxel))
    with pytest.raises((ValueError, OverflowError)):
        pack([(one, dataclasses.replace(one))] * (2**16 + 1), 1)
