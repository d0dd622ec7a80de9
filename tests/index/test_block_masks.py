import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from gliodex.index.block_masks import DenseMask, SparseMask, block_grid, block_words, popcount

shapes = st.tuples(*[st.integers(1, 19)] * 3)
SETTINGS = settings(max_examples=40, deadline=None)


def random_mask(shape, seed, share=0.5):
    return np.random.default_rng(seed).random(shape) < share


def expand_words(words, shape):
    """Mask of dense words, from the layout's description: word x of a block holds bit 8 y + z."""
    grid = block_grid(shape)
    mask = np.zeros(shape, bool)
    for x, y, z in np.ndindex(*shape):
        block = (x // 8 * grid[1] + y // 8) * grid[2] + z // 8
        mask[x, y, z] = int(words[block, x % 8]) >> (8 * (y % 8) + z % 8) & 1
    return mask


def expand_sparse(sparse, blocks):
    """Dense words of a stored mask."""
    dense = np.zeros((blocks, 8), np.uint64)
    words = iter(sparse.words)
    for block, kinds in zip(sparse.ids, sparse.kinds, strict=True):
        for w in range(8):
            if kinds >> w & 1:
                dense[block, w] = next(words)
            elif kinds >> (8 + w) & 1:
                dense[block, w] = np.uint64(2**64 - 1)
    assert next(words, None) is None
    return dense


@given(shapes, st.integers(0, 1000))
@SETTINGS
def test_every_voxel_has_its_bit(shape, seed):
    mask = random_mask(shape, seed)
    dense = DenseMask.from_mask(mask)
    assert dense.words.shape == (np.prod(block_grid(shape)), 8)
    np.testing.assert_array_equal(expand_words(dense.words, shape), mask)


@given(shapes, st.integers(0, 1000))
@SETTINGS
def test_packed_bits_give_the_same_blocks(shape, seed):
    mask = random_mask(shape, seed)
    dense, packed = DenseMask.from_mask(mask), DenseMask.from_packed(np.packbits(mask), shape)
    np.testing.assert_array_equal(packed.words, dense.words)
    np.testing.assert_array_equal(packed.counts, dense.counts)
    assert packed.size == dense.size


@given(shapes, st.integers(0, 1000))
@SETTINGS
def test_counts_are_the_voxels_of_each_block(shape, seed):
    mask = random_mask(shape, seed)
    dense = DenseMask.from_mask(mask)
    grid = block_grid(shape)
    expected = [mask[8 * i : 8 * i + 8, 8 * j : 8 * j + 8, 8 * k : 8 * k + 8].sum() for i, j, k in np.ndindex(*grid)]
    np.testing.assert_array_equal(dense.counts, expected)
    assert dense.size == mask.sum()


@given(shapes, st.integers(0, 1000), st.sampled_from([0.0, 0.02, 0.5, 0.99, 1.0]))
@SETTINGS
def test_a_sparse_mask_holds_the_same_voxels(shape, seed, share):
    dense = DenseMask.from_mask(random_mask(shape, seed, share))
    sparse = SparseMask.from_dense(dense)
    np.testing.assert_array_equal(expand_sparse(sparse, len(dense.words)), dense.words)
    np.testing.assert_array_equal(sparse.counts, dense.counts[dense.counts > 0])
    assert (np.diff(sparse.ids.astype(int)) > 0).all()
    assert sparse.size == dense.size


def test_a_full_block_costs_no_words():
    sparse = SparseMask.from_dense(DenseMask.from_mask(np.ones((16, 8, 8), bool)))
    assert (len(sparse.ids), len(sparse.words)) == (2, 0)
    assert sparse.kinds.tolist() == [0xFF00, 0xFF00]
    assert sparse.counts.tolist() == [512, 512]


def test_an_empty_mask_has_no_blocks():
    sparse = SparseMask.from_dense(DenseMask.from_mask(np.zeros((9, 9, 9), bool)))
    assert (len(sparse.ids), len(sparse.words), sparse.size) == (0, 0, 0)


@given(shapes, st.integers(0, 1000), st.integers(0, 4096))
@SETTINGS
def test_block_words_of_a_density_are_those_of_its_mask(shape, seed, level):
    values = np.random.default_rng(seed).integers(0, 4096, shape, dtype=np.uint16)
    words = block_words(values, level, (0, 0, 0), shape)
    np.testing.assert_array_equal(words, DenseMask.from_mask(values >= level).words)


@given(shapes, st.integers(0, 1000), st.data())
@SETTINGS
def test_block_words_look_only_inside_the_box(shape, seed, data):
    low = tuple(data.draw(st.integers(0, n)) for n in shape)
    high = tuple(data.draw(st.integers(a, n)) for a, n in zip(low, shape, strict=True))
    values = np.random.default_rng(seed).integers(0, 4096, shape, dtype=np.uint16)
    inside = np.zeros(shape, bool)
    inside[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    np.testing.assert_array_equal(
        block_words(values, 2000, low, high), DenseMask.from_mask((values >= 2000) & inside).words
    )


@given(st.integers(0, 2**64 - 1))
@SETTINGS
def test_popcount_counts_bits(word):
    assert compiled_popcount(np.uint64(word)) == word.bit_count()


@njit
def compiled_popcount(word):
    return popcount(word)


def test_a_grid_with_more_blocks_than_ids_is_refused_rather_than_wrapped():
    words = np.zeros((2**16 + 1, 8), np.uint64)
    words[-1, 0] = 1
    with pytest.raises((ValueError, OverflowError)):
        SparseMask.from_dense(DenseMask.from_words(words))
