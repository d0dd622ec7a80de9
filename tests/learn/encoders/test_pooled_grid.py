import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gliodex.errors import InputError
from gliodex.learn import SMALL, BrainBox


def voxel_by_voxel(box, mask):
    """Count with three loops: the oracle."""
    found = np.zeros(box.cells, int)
    for where in np.argwhere(mask):
        cell = (where - box.low) // box.pool
        if (cell >= 0).all() and (cell < box.cells).all():
            found[tuple(cell)] += 1
    return found


@pytest.mark.parametrize("pool", [1, 2, 4])
@pytest.mark.parametrize("halvings", [0, 1, 3])
def test_a_box_holds_the_tissue_and_can_be_halved(small_atlas, pool, halvings):
    box = BrainBox.of(small_atlas, pool, halvings)
    tissue = np.argwhere(small_atlas.tissue)
    high = np.array(box.low) + np.array(box.cells) * pool
    assert (tissue.min(0) >= box.low).all()
    assert (tissue.max(0) < high).all()
    assert all(n % 2**halvings == 0 for n in box.cells)
    assert all(
        n * pool - extent < pool * 2**halvings for n, extent in zip(box.cells, np.ptp(tissue, 0) + 1, strict=True)
    )


def test_the_whole_frame_is_a_box_too(small_atlas):
    box = BrainBox.of(small_atlas, 1, 1, crop=False)
    assert box == BrainBox((0, 0, 0), small_atlas.frame.shape, 1)


@given(
    low=st.tuples(*[st.integers(-6, 6)] * 3),
    cells=st.tuples(*[st.integers(1, 4)] * 3),
    pool=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_counts_are_those_of_a_loop(low, cells, pool, seed):
    """Boxes inside the frame, beyond it, and wholly outside."""
    mask = np.random.default_rng(seed).random((7, 6, 5)) < 0.4
    box = BrainBox(low, cells, pool)
    np.testing.assert_array_equal(box.counts(mask), voxel_by_voxel(box, mask))


@pytest.mark.parametrize("pool", [0, 7])
def test_cells_that_a_byte_cannot_count_are_refused(pool):
    with pytest.raises(InputError, match="1 to 6 voxels"):
        dataclasses.replace(SMALL, pool=pool)


def test_a_record_gives_the_box_back(small_atlas):
    box = BrainBox.of(small_atlas, 2, 1)
    assert BrainBox.from_record(box.as_record(small_atlas.frame), 2) == box
