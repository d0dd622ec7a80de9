"""The file of a network that stands in for the solver."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import command
from ..training.devices import require_torch
from ..training.weights_checkpoint import WeightsFile
from .parameter_ranges import Ranges
from .surrogate_configs import SurrogateDesign

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SurrogateFile(WeightsFile):
    """A file of a trained network; see `WeightsFile`."""

    again: str = command("gliodex train surrogate")
    kind = "surrogate of the solver"

    @property
    def design(self) -> SurrogateDesign:
        """Of the network."""
        return SurrogateDesign.from_record(self.record["run"]["design"])

    @property
    def ranges(self) -> Ranges:
        """Of growth, where it learned."""
        held = self.record["ranges"]
        return Ranges(self.design.told, tuple(held["low"]), tuple(held["high"]))

    def load(self) -> torch.nn.Module:
        """Read the network, in evaluation mode.

        Raises:
            InputError: PyTorch is not installed.
            DamagedStoreError: the file is not what was written.
        """
        require_torch()
        from .surrogate_networks import make_surrogate

        return self.fill(make_surrogate(self.design))


def named_surrogate(name: str | Path) -> SurrogateFile:
    """Find a surrogate by its file's path, or by the design of one that comes with gliodex, where there is no file."""
    path, shipped = Path(name), shipped_surrogate(str(name))
    return SurrogateFile(shipped if not path.exists() and shipped.is_file() else path)


def shipped_surrogate(design: str) -> Path:
    """Where the network that comes with gliodex would lie; there need not be one."""
    return Path(__file__).parent / "weights" / f"surrogate-{design}.network"
