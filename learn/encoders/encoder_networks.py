"""The encoders of Ezhov et al. (2022) as PyTorch modules: autoencoder, variational autoencoder, and Bi-half hash.

Shapes: masks are (n, 1, *cells) float32, the share of each cell that is tumour; codes are (n, latent).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from .encoder_configs import Design

PULL = 6.0
"""Weight of the Bi-half layer's pull towards its codes; its published default (Li and van Gemert, AAAI 2021)."""

DIVERGENCE = 2e-3
"""Weight of the variational autoencoder's mean divergence: the authors' 0.001, of its sum over their batches of two."""


class MaskEncoder(nn.Module):
    """From masks to codes: stages that halve the grid, then a linear layer."""

    def __init__(self, kind: str, design: Design, cells: tuple[int, int, int]) -> None:
        super().__init__()
        self.kind = kind
        layers: list[nn.Module] = []
        before = 1
        for width in design.widths:
            layers += [nn.Conv3d(before, width, 3, 2, 1), nn.GELU(), nn.Conv3d(width, width, 3, 1, 1), nn.GELU()]
            before = width
        if design.neck:
            layers.append(nn.Conv3d(before, design.neck, 1))
            before = design.neck
        self.stages = nn.Sequential(*layers)
        self.narrow = (before, *(n // 2 ** len(design.widths) for n in cells))
        size = before * self.narrow[1] * self.narrow[2] * self.narrow[3]
        self.code = nn.Linear(size, design.latent)

    def forward(self, masks: Tensor) -> Tensor:
        """Describe masks: codes, of "hash" before their signs are taken."""
        codes: Tensor = self.code(self.stages(masks).flatten(1))
        return codes


class MaskAutoencoder(nn.Module):
    """An encoder and its mirror image, to train it: the codes of a mask must suffice to draw the mask."""

    def __init__(self, kind: str, design: Design, cells: tuple[int, int, int]) -> None:
        super().__init__()
        self.encoder = MaskEncoder(kind, design, cells)
        widths = design.widths[::-1]
        narrow = self.encoder.narrow
        size = narrow[0] * narrow[1] * narrow[2] * narrow[3]
        self.spread = nn.Linear(size, design.latent) if kind == "vae" else None
        """Logarithm of the variance of each number of a code."""
        layers: list[nn.Module] = [nn.Linear(design.latent, size), nn.GELU(), nn.Unflatten(1, narrow)]
        if design.neck:
            layers += [nn.Conv3d(design.neck, widths[0], 1), nn.GELU()]
        for before, width in pairwise(widths):
            layers += [_doubled(before, width), nn.GELU(), nn.Conv3d(width, width, 3, 1, 1), nn.GELU()]
        layers += [_doubled(widths[-1], 1), nn.Sigmoid()]
        self.decoder = nn.Sequential(*layers)

    def forward(self, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Draw masks again; returns them, and what the loss adds for their codes."""
        encoder = self.encoder
        narrow = encoder.stages(masks).flatten(1)
        codes, extra = encoder.code(narrow), masks.new_zeros(())
        if self.spread is not None:
            log_variance = self.spread(narrow)
            divergence = 0.5 * (codes.square() + log_variance.exp() - 1 - log_variance).sum(1)
            extra = DIVERGENCE * divergence.mean()
            if self.training:
                codes = codes + torch.randn_like(codes) * (0.5 * log_variance).exp()
        elif encoder.kind == "hash":
            codes = bi_half(codes) if self.training else _signs(codes)
        return self.decoder(codes), extra


def bi_half(codes: Tensor) -> Tensor:
    """Make bits of codes (n, bits) so that each bit is +1 for half of the batch, -1 for the rest.

    The gradient goes straight through, and pulls the codes to their bits (Li and van Gemert, "Deep Unsupervised Image
    Hashing by Maximizing Bit Entropy", AAAI 2021).
    """
    bits: Tensor = _BiHalf.apply(codes)  # type: ignore[no-untyped-call]
    return bits


class _BiHalf(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, codes: Tensor) -> Tensor:
        lower = codes.argsort(dim=0, stable=True)[: len(codes) // 2]
        bits = torch.ones_like(codes).scatter_(0, lower, -1.0)
        context.save_for_backward(codes, bits)
        return bits

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        codes, bits = context.saved_tensors
        pulled: Tensor = gradient + PULL * (codes - bits) / bits.numel()
        return pulled


def _signs(codes: Tensor) -> Tensor:
    return torch.where(codes >= 0, 1.0, -1.0)


def dice_loss(drawn: Tensor, masks: Tensor) -> Tensor:
    """Soft Dice loss of each mask, (n,): 1 - 2 Σ pq / (Σ p + Σ q), as MONAI's DiceLoss with smooth_dr 1e-5."""
    p, q = drawn.flatten(1), masks.flatten(1)
    return 1 - 2 * (p * q).sum(1) / (p.sum(1) + q.sum(1) + 1e-5)


def _doubled(before: int, width: int) -> nn.ConvTranspose3d:
    return nn.ConvTranspose3d(before, width, 3, 2, 1, output_padding=1)
