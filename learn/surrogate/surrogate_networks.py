"""Networks that stand in for the solver, as PyTorch modules.

Shapes: the anatomy is (n, channels, crop, crop, crop), distances from the seed (n, 1, crop, crop, crop) and times of a
front (n, 1, crop / 2, crop / 2, crop / 2) in units of half the crop, growth (n, k) in [-1, 1] where it was learned;
they say densities (n, 1, crop, crop, crop).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .surrogate_configs import TUMOUR, Loss, SurrogateDesign

CHANNELS = {"diffusivity": 1, "tissue": 3, "csf": 1}
GROWTH = {"mu": 2, "rates": 3}


def make_surrogate(design: SurrogateDesign) -> SmallSurrogate | PaperSurrogate:
    """Make a network with random weights."""
    return PaperSurrogate(design) if len(design.widths) == 1 else SmallSurrogate(design)


class SmallSurrogate(nn.Module):
    """Down to a few cells and up again, on cells of 2³ voxels at the finest; growth scales every channel on its way.

    Beside it stands a front, of a reach and width that the growth decides, which moves as travel times tell, evenly in
    all directions, or between: the network only learns how the anatomy changes this.
    """

    def __init__(self, design: SurrogateDesign) -> None:
        super().__init__()
        widths, growth = design.widths, GROWTH[design.told]
        self.look = nn.Conv3d(CHANNELS[design.sees] + 2, widths[0], 2, 2)
        self.down = nn.ModuleList(nn.Conv3d(a, b, 2, 2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.Conv3d(b, a, 1) for a, b in pairwise(widths))
        self.before = nn.ModuleList(_Blocks(width, design.blocks, growth) for width in widths)
        self.after = nn.ModuleList(_Blocks(width, design.blocks, growth) for width in widths[:-1])
        self.out = nn.Conv3d(widths[0], 8, 1)
        self.front = nn.Sequential(nn.Linear(growth, 32), nn.GELU(), nn.Linear(32, 3))

    def forward(self, anatomy: Tensor, distance: Tensor, times: Tensor, growth: Tensor) -> Tensor:
        """Say densities."""
        times = F.interpolate(times, scale_factor=2.0, mode="trilinear")
        seen = self.look(torch.cat([anatomy, distance, times], 1))
        kept = []
        for n, blocks in enumerate(self.before):
            seen = blocks(self.down[n - 1](seen) if n else seen, growth)
            kept.append(seen)
        for n in reversed(range(len(self.after))):
            seen = F.interpolate(self.up[n](seen), scale_factor=2.0, mode="nearest")
            seen = self.after[n](seen + kept[n], growth)
        told = _finer(self.out(seen)).float()
        reach, steepness, share = self.front(growth).float()[:, :, None, None, None, None].unbind(1)
        along = torch.lerp(distance, times, torch.sigmoid(share))
        return torch.sigmoid(told + (reach - along) * 4 * F.softplus(steepness))


class _Blocks(nn.Module):
    def __init__(self, width: int, count: int, growth: int) -> None:
        super().__init__()
        self.first = nn.ModuleList(nn.Conv3d(width, width, 3, 1, 1) for _ in range(count))
        self.second = nn.ModuleList(nn.Conv3d(width, width, 3, 1, 1) for _ in range(count))
        self.scales = nn.ModuleList(
            nn.Sequential(nn.Linear(growth, 64), nn.GELU(), nn.Linear(64, 2 * width)) for _ in range(count)
        )

    def forward(self, seen: Tensor, growth: Tensor) -> Tensor:
        for first, second, scales in zip(self.first, self.second, self.scales, strict=True):
            scale, shift = scales(growth)[:, :, None, None, None].chunk(2, dim=1)
            hidden = first(F.gelu(seen)) * (1 + scale) + shift
            seen = seen + second(F.gelu(hidden))
        return seen


def _finer(values: Tensor) -> Tensor:
    """Spread 8 channels over the 2³ voxels of each cell, (n, 8, i, j, k) to (n, 1, 2i, 2j, 2k)."""
    n, _, i, j, k = values.shape
    return values.reshape(n, 2, 2, 2, i, j, k).permute(0, 4, 1, 5, 2, 6, 3).reshape(n, 1, 2 * i, 2 * j, 2 * k)


class PaperSurrogate(nn.Module):
    """Encodes the anatomy, joins a tensor of the growth to the coarsest, and decodes both (Ezhov et al. 2021, Fig. 1).

    Every block's input is added to its output; three halvings by convolutions of stride two, three doublings by nearest
    neighbours; the output is linear.
    """

    def __init__(self, design: SurrogateDesign) -> None:
        super().__init__()
        width, self.coarse = design.widths[0], design.crop // 8
        self.look = nn.Conv3d(CHANNELS[design.sees], width, 3, 1, 1)
        self.encoder = nn.ModuleList(_plain(width, design.blocks) for _ in range(4))
        self.halve = nn.ModuleList(nn.Conv3d(width, width, 3, 2, 1) for _ in range(3))
        self.narrow = nn.Conv3d(width, width - 3, 3, 1, 1)
        self.growth = nn.Linear(GROWTH[design.told], 3 * self.coarse**3)
        self.decoder = nn.ModuleList(_plain(width, design.blocks + 1) for _ in range(4))
        self.out = nn.Conv3d(width, 1, 3, 1, 1)

    def forward(self, anatomy: Tensor, distance: Tensor, times: Tensor, growth: Tensor) -> Tensor:
        """Say densities; the seed is in the middle, so that distances tell nothing, and times are not looked at."""
        seen = F.relu(self.look(anatomy))
        for n, block in enumerate(self.encoder):
            seen = F.relu(self.halve[n - 1](seen)) if n else seen
            seen = seen + block(seen)
        told = self.growth(growth).reshape(-1, 3, self.coarse, self.coarse, self.coarse)
        seen = torch.cat([self.narrow(seen), told], 1)
        for n, block in enumerate(self.decoder):
            seen = F.interpolate(seen, scale_factor=2.0, mode="nearest") if n else seen
            seen = seen + block(seen)
        density: Tensor = self.out(seen)
        return density.float()


def _plain(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(m for _ in range(count) for m in (nn.Conv3d(width, width, 3, 1, 1), nn.ReLU())))


def density_loss(kind: Loss, told: Tensor, truth: Tensor, csf: Tensor) -> Tensor:
    """Errors of densities (n, 1, i, j, k), as `SurrogateDesign.loss` names them.

    Args:
        kind: which.
        told: what a network says.
        truth: simulated.
        csf: where CSF is, boolean.
    """
    off = (told - truth).abs()
    if kind == "l1":
        return off.mean()
    there = truth >= TUMOUR
    elsewhere = csf if kind == "paper" else ~there
    return _mean_where(off, there) + _mean_where(off, elsewhere)


def _mean_where(values: Tensor, where: Tensor) -> Tensor:
    return (values * where).sum() / where.sum().clamp(min=1)
