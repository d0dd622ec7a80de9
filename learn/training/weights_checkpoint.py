"""Files of trained networks: how they were trained, and their weights in half precision; never read when damaged."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...errors import DamagedStoreError, InputError, command
from ...store.checksummed_file import Sealed, read_sealed, write_sealed
from .devices import require_torch

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class WeightsFile:
    """A file of a trained network.

    Args:
        path: of it.
        again: the command that makes it anew.
    """

    path: Path
    again: str = command("gliodex train")
    kind: ClassVar[str]
    """What such networks are called in messages."""

    def put(self, record: dict[str, Any], network: torch.nn.Module, **besides: dict[str, Tensor]) -> None:
        """Keep a network durably, and tensors besides.

        Raises:
            OutputError: it cannot be written.
        """
        import torch

        weights = {name: value.detach().cpu().half().contiguous() for name, value in network.state_dict().items()}
        buffer = io.BytesIO()
        torch.save({"weights": weights, **besides}, buffer)
        write_sealed(self.path, {"kind": self.kind, **record}, buffer.getbuffer())

    @property
    def record(self) -> dict[str, Any]:
        """How it was trained.

        Raises:
            InputError, DamagedStoreError: there is none, or it is not what was written.
        """
        return {name: value for name, value in self._sealed.record.items() if name != "kind"}

    @property
    def sha256(self) -> str:
        """Hash of the file."""
        return self._sealed.sha256

    def check_writable(self) -> None:
        """Refuse to write where something else lies.

        Raises:
            InputError: it is a folder, or a file that is no such network.
        """
        if self.path.is_dir():
            raise InputError(f"{self.path} is a folder", hint="name a file for the network")
        if self.path.is_file():
            try:
                _ = self.record
            except (InputError, DamagedStoreError) as error:
                raise InputError(
                    f"{self.path} is there already and is no {self.kind} that can be read: remove it, or choose "
                    "another name"
                ) from error

    def fill(self, network: torch.nn.Module) -> torch.nn.Module:
        """Give a network the weights, and bring it into evaluation mode."""
        import torch

        network.load_state_dict({name: value.float() for name, value in self.held["weights"].items()})
        network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        return network.eval()

    @cached_property
    def held(self) -> dict[str, Any]:
        """Weights, and what else was kept.

        Raises:
            InputError: PyTorch is not installed, or there is no such file.
            DamagedStoreError: it is not what was written.
        """
        data = self._sealed.data
        held: dict[str, Any] = require_torch().load(io.BytesIO(data), weights_only=True, map_location="cpu")
        return held

    @cached_property
    def _sealed(self) -> Sealed:
        if not self.path.is_file():
            raise InputError(f"there is no network {self.path}", hint=f"train one with {self.again}")
        sealed = read_sealed(self.path, self.again)
        if sealed.record.get("kind") != self.kind:
            raise InputError(f"{self.path} is no {self.kind}", hint=f"train one with {self.again}")
        return sealed
