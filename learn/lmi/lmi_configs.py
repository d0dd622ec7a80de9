"""Networks that tell growth: the one of Ezhov et al. (2023), and one that two cores can train."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from .targets import Scale


@dataclass(frozen=True)
class GrowthDesign:
    """The shape of a network that tells growth, and how it is trained.

    Args:
        name: as on the command line's `--arch`.
        cells: of the crop that it looks at, along each axis, even; 0: it looks at the whole frame, voxel by voxel.
        width: channels of the convolutions.
        blocks: of two convolutions each; of the paper's, blocks of four.
        neck: channels that are left of the crop before the linear layers.
        hidden: width of the linear layers.
        depth: blocks of two of these.
        gaussian: tell a covariance, too, and learn by likelihood; without it, by squares.
        rate: of AdamW.
        decay: factor of the rate after every step; None lets it fall as a half cosine.
        weight_decay: of AdamW.
        batch: tumours a step.
        epochs: at most; an epoch outlines every tumour once, anew.
        patience: epochs without a better validation loss after which training stops.
    """

    name: str
    cells: int
    width: int
    blocks: int
    neck: int
    hidden: int
    depth: int
    gaussian: bool
    rate: float
    decay: float | None
    weight_decay: float
    batch: int
    epochs: int
    patience: int

    @property
    def scale(self) -> Scale:
        """In which it tells growth where nothing else is asked for, see `Targets`."""
        return "log" if self.gaussian else "linear"

    def as_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self)


SMALL_GROWTH = GrowthDesign(
    "small",
    cells=16,
    width=48,
    blocks=0,
    neck=12,
    hidden=512,
    depth=3,
    gaussian=True,
    rate=1e-3,
    decay=None,
    weight_decay=0.05,
    batch=128,
    epochs=40,
    patience=10,
)
"""The default."""

PAPER_GROWTH = GrowthDesign(
    "paper",
    cells=0,
    width=64,
    blocks=4,
    neck=64,
    hidden=0,
    depth=0,
    gaussian=False,
    rate=6e-5,
    decay=0.999997,
    weight_decay=0.05,
    batch=32,
    epochs=100,
    patience=10,
)
"""The network of Ezhov et al. (2023), §2.0.4: 1.8 million weights on 128³ voxels. Wants a GPU."""

GROWTH_DESIGNS = {design.name: design for design in (SMALL_GROWTH, PAPER_GROWTH)}
"""By name."""
