import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from gliodex.index.resolutions import DS32, DS64, FULL, Grid

SIZES = st.integers(1, 150)


@pytest.mark.parametrize("grid", [DS64, DS32], ids=lambda grid: grid.name)
@pytest.mark.parametrize("shape", [(128, 128, 128), (20, 17, 11), (91, 109, 91)])
def test_values_are_those_of_a_zoom_of_order_zero(grid, shape):
    """As the authors make them: the density is zoomed, then thresholds are applied."""
    density = np.random.default_rng(1).random(shape, dtype=np.float32)
    # by default, rounding may put the last voxel a hair outside, where all is zero
    mode = "constant" if shape == (128, 128, 128) else "nearest"
    zoomed = ndimage.zoom(density, grid.edge / 128, order=0, mode=mode)
    np.testing.assert_array_equal(grid.of(density), zoomed)
    assert grid.shape(shape) == zoomed.shape
    mask = density > 0.4
    np.testing.assert_array_equal(grid.of(mask), ndimage.zoom(mask, grid.edge / 128, order=0, mode=mode))
    np.testing.assert_array_equal(grid.of(density) > 0.4, grid.of(mask))


@given(shape=st.tuples(SIZES, SIZES, SIZES), edge=st.integers(1, 128))
def test_picks_rise_from_the_first_voxel_to_the_last(shape, edge):
    grid = Grid("any", edge)
    for picks, size in zip(grid.picks(shape), shape, strict=True):
        assert len(picks) == max(1, round(size * edge / 128))
        assert picks[0] == 0
        if len(picks) > 1:
            assert picks[-1] == size - 1
            assert (np.diff(picks) >= 1).all()


def test_the_full_grid_is_the_frame_itself():
    values = np.random.default_rng(2).random((5, 6, 7))
    assert FULL.of(values) is values
    assert FULL.shape((5, 6, 7)) == (5, 6, 7)
