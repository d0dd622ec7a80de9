"""Networks that stand in for the solver: the one of Ezhov et al. (2021), and one that two cores can train."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from ...errors import InputError

Sees = Literal["diffusivity", "tissue", "csf"]
Told = Literal["mu", "rates"]
Loss = Literal["parts", "paper", "l1"]

TUMOUR = 0.001
"""Density from which a voxel counts as tumour; and fraction from which it has CSF (the authors' code)."""

_PAPER_HALVINGS = 3
_FEWEST_CELLS = 4
"""PyTorch's gradients of bfloat16 convolutions over 2³ cells read memory that nobody wrote (2.13, CPU)."""


@dataclass(frozen=True)
class SurrogateDesign:
    """The shape of a network that stands in for the solver, and how it is trained.

    Args:
        name: as on the command line's `--arch`.
        crop: voxels along each edge of what it looks at, around the seed.
        widths: channels at each resolution; of "paper", one number.
        blocks: of two convolutions at each resolution; of "paper", convolutions of a block.
        sees: of the anatomy: "diffusivity", relative to D_w, is all that the solver sees; "tissue", white, grey and
            CSF (Ezhov et al. 2021); "csf" alone (its ablation).
        timed: told when a front would come by, see `travel_times`; otherwise how far the seed is alone.
        told: of growth: "mu", √(D T) and √(ρ T), which fix the density; or "rates", D, ρ and T (Ezhov et al. 2021).
        masked: no density outside the tissue, whatever the network says.
        symmetries: learn from mirror images and turned ones, too.
        loss: "parts": mean error where the truth has tumour, and where it has none; "paper": and in CSF, of elsewhere
            nothing (Ezhov et al. 2021, Eq. 3); "l1": mean error (its ablation).
        rate: of Adam; falls as a half cosine to a fiftieth.
        beta: Adam's first decay rate.
        batch: tumours a step.
        epochs: at most.
        patience: epochs without a better validation loss after which training stops.
    """

    name: str
    crop: int
    widths: tuple[int, ...]
    blocks: int
    sees: Sees
    timed: bool
    told: Told
    masked: bool
    symmetries: bool
    loss: Loss
    rate: float
    beta: float
    batch: int
    epochs: int
    patience: int

    def __post_init__(self) -> None:
        halvings = _PAPER_HALVINGS if len(self.widths) == 1 else len(self.widths)
        if self.crop % 2**halvings or self.crop // 2**halvings < _FEWEST_CELLS:
            raise InputError(
                f"a crop of {self.crop} voxels cannot be halved {halvings} times to at least {_FEWEST_CELLS}",
                hint=f"take a multiple of {2**halvings}, {_FEWEST_CELLS * 2**halvings} or more",
            )

    def as_record(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self) | {"widths": list(self.widths)}

    @classmethod
    def from_record(cls, record: dict[str, object]) -> SurrogateDesign:
        """Inverse of `as_record`."""
        return cls(**{**record, "widths": tuple(record["widths"])})  # type: ignore[arg-type]


SMALL_SURROGATE = SurrogateDesign(
    "small",
    crop=64,
    widths=(16, 40, 80, 128),
    blocks=1,
    sees="diffusivity",
    timed=True,
    told="mu",
    masked=True,
    symmetries=True,
    loss="parts",
    rate=1e-3,
    beta=0.9,
    batch=8,
    epochs=10,
    patience=3,
)
"""The default."""

PAPER_SURROGATE = SurrogateDesign(
    "paper",
    crop=64,
    widths=(128,),
    blocks=4,
    sees="tissue",
    timed=False,
    told="rates",
    masked=False,
    symmetries=False,
    loss="paper",
    rate=1e-4,
    beta=0.5,
    batch=16,
    epochs=30,
    patience=5,
)
"""The network of Ezhov et al. (2021), §II.2: wants a GPU."""

SURROGATE_DESIGNS = {design.name: design for design in (SMALL_SURROGATE, PAPER_SURROGATE)}
"""By name."""
