"""The file of a network that stands in for the solver."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...store.sealed import Sealed, read_sealed, write_sealed
from ..devices import require_torch
from .designs import SurrogateDesign
from .ranges import Ranges

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SurrogateFile:
    """A file of a trained network.

    Args:
        path: of it.
        again: the command that makes it anew.
    """

    path: Path
    again: str = "gliodex train surrogate"

    def write(self, record: dict[str, Any], network: torch.nn.Module) -> None:
        """Keep a network durably, its weights in half precision.

        Raises:
            OutputError: it cannot be written.
        """
        import torch

        weights = {name: value.detach().cpu().half().contiguous() for name, value in network.state_dict().items()}
        buffer = io.BytesIO()
        torch.save(weights, buffer)
        write_sealed(self.path, record, buffer.getbuffer())

    @property
    def record(self) -> dict[str, Any]:
        """How it was trained.

        Raises:
            InputError, DamagedStoreError: there is none, or it is not what was written.
        """
        return self._sealed.record

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return self._sealed.sha256

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
        torch = require_torch()
        from .networks import make_surrogate

        network = make_surrogate(self.design)
        held = torch.load(io.BytesIO(self._sealed.data), weights_only=True, map_location="cpu")
        network.load_state_dict({name: value.float() for name, value in held.items()})
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        return network.eval()

    @cached_property
    def _sealed(self) -> Sealed:
        if not self.path.is_file():
            raise InputError(f"there is no surrogate {self.path}: train one with `{self.again}`")
        return read_sealed(self.path, self.again)


def shipped_surrogate(design: str) -> Path:
    """Where the network that comes with gliodex would lie; there need not be one."""
    return Path(__file__).parent / "weights" / f"surrogate-{design}.network"
