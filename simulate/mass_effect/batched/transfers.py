"""Between a grid and one twice as coarse, for a batch: see the functions of these names in `mass_effect.transfers`."""

from __future__ import annotations

import torch
from torch import Tensor

from .shifts import pairs


def eights(values: Tensor) -> Tensor:
    """Sum up the eight cells in each coarser one; with a margin."""
    for axis in range(3):
        odd, even = pairs(values, axis)
        values = torch.stack([odd, even]).sum(dim=0)
        values = _margin_along(values, axis)
    return values


def restrict(residual: Tensor) -> Tensor:
    """Weigh residuals on faces, (tumour, 3, x, y, z), onto coarser faces, blocked ones too."""
    found = []
    for axis in range(3):
        one = residual[:, axis]
        for other in range(3):
            odd, even = pairs(one, other)
            if other == axis:  # a coarse face lies on a fine one, between two others
                beyond = torch.cat([odd.narrow(other - 3, 1, odd.shape[other - 3] - 1), _last(one, other)], other - 3)
                one = 0.5 * even + 0.25 * (odd + beyond)
            else:
                one = odd + even
            one = _margin_along(one, other)
        found.append(one / 4)
    return torch.stack(found, dim=1)


def interpolate(coarse: Tensor) -> Tensor:
    """Interpolate displacements, (tumour, 3, x, y, z), to faces of half the spacing, blocked ones too."""
    found = []
    for axis in range(3):
        one = coarse[:, axis]
        for other in range(3):
            size = one.shape[other - 3]
            before, here, after = (one.narrow(other - 3, first, size - 2) for first in range(3))
            if other == axis:
                odd, even = 0.5 * (before + here), here
            else:
                odd, even = 0.75 * here + 0.25 * before, 0.75 * here + 0.25 * after
            one = torch.stack([odd, even], dim=one.ndim + other - 2).flatten(one.ndim + other - 3, one.ndim + other - 2)
            one = _margin_along(one, other)
        found.append(one)
    return torch.stack(found, dim=1)


def _last(values: Tensor, axis: int) -> Tensor:
    return values.narrow(axis - 3, values.shape[axis - 3] - 1, 1)


def _margin_along(values: Tensor, axis: int) -> Tensor:
    widths = [0] * 6
    widths[2 * (2 - axis)] = widths[2 * (2 - axis) + 1] = 1
    return torch.nn.functional.pad(values, widths)
