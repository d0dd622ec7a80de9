"""How large an encoder is, and how it is trained: the authors' network, and one that two cores can train."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ...errors import InputError

KINDS = ("ae", "vae", "hash")
"""Kinds of encoders: autoencoder, variational autoencoder, Bi-half hash (Ezhov et al. 2022)."""

TRAINING, VALIDATION = 1500, 150
"""Tumours that an encoder is trained on, and validated with, by default."""


_LARGEST_POOL = 6  # so that a byte counts the voxels of a cell


@dataclass(frozen=True)
class Design:
    """The shape of an encoder; its decoder mirrors it.

    Args:
        name: as on the command line's `--design`.
        pool: edge of the cells that voxels are pooled into first.
        crop: look at the box of the brain only.
        widths: channels of each stage; a stage halves the grid and convolves twice, 3 x 3 x 3, with GELU.
        shift: cells by which training masks are shifted at random along each axis, at most.
        neck: channels that the last stage is reduced to before the linear layer; None keeps them.
        latent: numbers (or bits) that describe a mask.
        rate: Adam's largest learning rate; it falls as a half cosine.
        batch: masks a step.
        epochs: at most.
        patience: epochs without a better validation loss after which training stops.
    """

    name: str
    pool: int
    crop: bool
    widths: tuple[int, ...]
    neck: int | None
    shift: int = 0
    latent: int = 1024
    rate: float = 3e-4
    batch: int = 16
    epochs: int = 30
    patience: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.pool <= _LARGEST_POOL:
            raise InputError(f"a design pools cells of 1 to {_LARGEST_POOL} voxels along an edge, not {self.pool}")

    def as_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self) | {"widths": list(self.widths)}


SMALL = Design("small", pool=4, crop=True, widths=(24,), neck=8, shift=2)
"""The default: 9 million weights describe a mask, 18 million learn to."""

AUTHORS = Design(
    "authors",
    pool=1,
    crop=False,
    widths=(24, 48, 72),
    neck=None,
    rate=1e-5,
    batch=2,
    epochs=300,
    patience=300,
)
"""The network of Ezhov et al. (2022) (MarcelRosier/thesis, network 16_16_16): 604 million weights. Wants a GPU."""

DESIGNS = {design.name: design for design in (SMALL, AUTHORS)}
"""By name."""
