"""The networks of Learn-Morph-Infer as PyTorch modules.

Shapes: what is seen is cells (n, channels, i, j, k) and moments (n, `MOMENTS`), both float32, see `Views`. What is told
is (n, d), in units of the spread of what was learned from, and how sure the network is of it: the lower triangle of a
Cholesky factor of the precision, as logarithms of its diagonal (n, d) and the rest relative to it (n, d (d - 1) / 2).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from ..training.devices import mixed_precision
from .lmi_configs import GrowthDesign
from .mask_features import CHANNELS, MOMENTS, Views


class Told(NamedTuple):
    """What a network tells of n tumours, see this module.

    Args:
        mean: (n, d).
        log_diagonal: (n, d).
        below: (n, d (d - 1) / 2), row by row.
    """

    mean: Tensor
    log_diagonal: Tensor
    below: Tensor


def make_growth_network(design: GrowthDesign, count: int) -> CropNetwork | FrameNetwork:
    """Make a network with random weights that tells `count` numbers."""
    return CropNetwork(design, count) if design.cells else FrameNetwork(design, count)


class CropNetwork(nn.Module):
    """Looks at the crop, two cells along each axis at once, and at the moments; then residual linear layers."""

    def __init__(self, design: GrowthDesign, count: int) -> None:
        super().__init__()
        self.count = count
        self.cells = design.cells // 2
        self.look = nn.Conv3d(CHANNELS, design.width, 2, 2)
        self.blocks = nn.Sequential(*(_ConvolutionBlock(design.width) for _ in range(design.blocks)))
        self.neck = nn.Conv3d(design.width, design.neck, 1)
        self.flat = nn.Linear(design.neck * self.cells**3, design.hidden)
        self.moments = nn.Linear(MOMENTS, design.hidden)
        self.layers = nn.Sequential(*(_LinearBlock(design.hidden) for _ in range(design.depth)))
        self.out = nn.Linear(design.hidden, 2 * count + count * (count - 1) // 2)
        self.usual: Tensor
        self.register_buffer("usual", torch.stack([torch.zeros(MOMENTS), torch.ones(MOMENTS)]), persistent=False)

    def set_moments(self, centre: Tensor, spread: Tensor) -> None:
        """Say what is usual of moments, to standardise them."""
        self.usual.copy_(torch.stack([centre, spread]))

    def forward(self, cells: Tensor, moments: Tensor) -> Told:
        """Tell of tumours."""
        seen = self.neck(F.gelu(self.blocks(self.look(cells))))
        hidden = self.flat(F.gelu(seen).flatten(1)) + self.moments((moments - self.usual[0]) / self.usual[1])
        told = self.out(F.gelu(self.layers(hidden))).float()
        mean, log_diagonal, below = told.split([self.count, self.count, told.shape[1] - 2 * self.count], dim=1)
        return Told(mean, log_diagonal.clamp(*_LOG_PRECISION), below)


class FrameNetwork(nn.Module):
    """Takes .666 core + .333 whole on the frame and predicts means alone (Ezhov et al. 2023, §2.0.4 and Fig. 2)."""

    def __init__(self, design: GrowthDesign, count: int) -> None:
        super().__init__()
        self.count = count
        self.look = nn.Conv3d(1, design.width, 7, 2, 3)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(m for _ in range(4) for m in (nn.Conv3d(design.width, design.width, 3, 1, 1), nn.ReLU())))
            for _ in range(design.blocks)
        )
        self.out = nn.Linear(design.width, count)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def set_moments(self, centre: Tensor, spread: Tensor) -> None:
        """Moments are not looked at."""

    def forward(self, cells: Tensor, moments: Tensor) -> Told:
        """Tell of tumours."""
        seen = F.relu(self.look(cells))
        for n, block in enumerate(self.blocks):
            seen = F.max_pool3d(seen, 2) if n else seen
            seen = seen + block(seen)
        mean = self.out(seen.mean(dim=(2, 3, 4))).float()
        return Told(mean, torch.zeros_like(mean), mean.new_zeros(len(mean), self.count * (self.count - 1) // 2))


class _ConvolutionBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv3d(width, width, 3, 1, 1), nn.Conv3d(width, width, 3, 1, 1)

    def forward(self, seen: Tensor) -> Tensor:
        added: Tensor = self.second(F.gelu(self.first(F.gelu(seen))))
        return seen + added


class _LinearBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        added: Tensor = self.second(F.gelu(self.first(self.norm(hidden))))
        return hidden + added


def tell(network: nn.Module, views: Views, device: str) -> Told:
    """Let a network tell of views, in mixed precision where the device has it."""
    cells, moments = (torch.from_numpy(values).to(device) for values in (views.cells, views.moments))
    with torch.autocast(device, torch.bfloat16, enabled=mixed_precision(device)):
        told: Told = network(cells, moments)
    return told


def precision_factor(told: Told) -> Tensor:
    """Transposed Cholesky factors U of the precision, (n, d, d): (x - mean) U' is white for tumours x."""
    count = told.mean.shape[1]
    factor = torch.eye(count, device=told.mean.device).repeat(len(told.mean), 1, 1)
    row, column = torch.tril_indices(count, count, -1)
    factor[:, row, column] = told.below
    return factor * told.log_diagonal.exp()[:, :, None]


def likelihood_loss(told: Told, truth: Tensor) -> Tensor:
    """Negative logarithm of the density of truths (n, d) without its constant, (n,)."""
    white = torch.einsum("nij,nj->ni", precision_factor(told), truth - told.mean)
    return 0.5 * white.square().sum(1) - told.log_diagonal.sum(1)


_LOG_PRECISION = (-3.0, 6.5)
"""Logarithms of inverse spreads, in units of the spread of what was learned from."""
