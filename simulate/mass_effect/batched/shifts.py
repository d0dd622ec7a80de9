"""Neighbours of all cells at once, in arrays whose last three axes have a margin of one cell."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def at(values: Tensor, *steps: tuple[int, int]) -> Tensor:
    """Values that lie some steps from each cell within the margin.

    Args:
        values: (..., x, y, z) with margins.
        steps: pairs of an axis and -1 or 1; none gives the cells' own.
    """
    begin = [1, 1, 1]
    for axis, step in steps:
        begin[axis] += step
    x, y, z = (slice(first, first + size - 2) for first, size in zip(begin, values.shape[-3:], strict=True))
    return values[..., x, y, z]


def with_margin(values: Tensor) -> Tensor:
    """Put a margin of zeros around cells."""
    return pad(values, [1] * 6)


def pairs(values: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Cells within the margin along one axis: every first, and every second."""
    within = values.narrow(axis - 3, 1, values.shape[axis - 3] - 2)
    odd, even = torch.unflatten(within, axis - 3, (-1, 2)).unbind(axis - 3)
    return odd, even
