"""Trained encoders: the file beside a store that holds one, and the codes that it gives to masks."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DamagedStoreError, InputError, command
from ...store.checksummed_file import read_sealed, seal_of, write_sealed
from ...store.reader import TumorStore
from ..training.devices import require_device, require_torch
from .encoder_configs import Design
from .pooled_grid import BrainBox, Mask

if TYPE_CHECKING:
    import torch

    from .encoder_networks import MaskEncoder

_MASKS_AT_ONCE = 32


@dataclass(frozen=True)
class Encoder:
    """Describes masks by codes whose distance tells how alike they are.

    Args:
        kind: one of `KINDS`.
        box: what it looks at.
        sha256: of its file: codes of other weights cannot be compared.
        record: how it was trained.
        network: its weights, in evaluation mode.
        anchors: codes of the tumours it was trained with, core and whole side by side, (n, 2 * latent) float32.
    """

    kind: str
    box: BrainBox
    sha256: str
    record: dict[str, Any]
    network: MaskEncoder
    anchors: NDArray[np.float32]

    @property
    def latent(self) -> int:
        """Numbers, or bits, of a code."""
        return int(self.record["design"]["latent"])

    def codes(self, counts: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Describe masks, given as `BrainBox.counts` (n, *cells): codes (n, latent).

        Of "ae" and "vae" scaled to unit length, as the authors do; of "hash" -1 and 1.
        """
        return codes_of(self.network, counts, self.box)

    def describe(self, core: Mask, whole: Mask) -> NDArray[np.float32]:
        """Codes of two masks on the frame, (2, latent)."""
        counts = np.stack([self.box.counts(mask) for mask in (core, whole)])
        return codes_of(self.network, counts, self.box, len(counts))

    def to(self, device: str) -> Encoder:
        """Move the weights to a device.

        Raises:
            InputError: PyTorch cannot use it.
        """
        require_device(device)
        self.network.to(device)
        return self


def codes_of(
    network: MaskEncoder, counts: NDArray[np.uint8], box: BrainBox, at_once: int = _MASKS_AT_ONCE
) -> NDArray[np.float32]:
    """Describe masks by a network, so many at once: see `Encoder.codes`.

    The same mask has the same code wherever it stands among others: the last few are filled up with empty ones, as
    the arithmetic of networks changes with how many masks there are.
    """
    import torch

    device = next(network.parameters()).device
    found = np.empty((len(counts), network.code.out_features), np.float32)
    with torch.inference_mode():
        for first in range(0, len(counts), at_once):
            some = counts[first : first + at_once]
            filled = np.zeros((at_once, *some.shape[1:]), np.uint8)
            filled[: len(some)] = some
            codes = network(as_masks(filled, box, device))[: len(some)]
            if network.kind == "hash":
                codes = torch.where(codes >= 0, 1.0, -1.0)
            else:
                codes = torch.nn.functional.normalize(codes)
            found[first : first + len(some)] = codes.cpu().numpy()
    return found


def as_masks(counts: NDArray[np.uint8], box: BrainBox, device: torch.device | str) -> torch.Tensor:
    """Shares of cells as networks take them, (n, 1, *cells), in the order of memory that convolves fastest."""
    import torch

    masks = torch.from_numpy(counts).to(device).unsqueeze(1).float().div_(box.pool**3)
    return masks.contiguous(memory_format=torch.channels_last_3d)


def encoder_path(store: TumorStore, kind: str) -> Path:
    """File of the encoder of a kind beside a store."""
    return store.derived / "networks" / f"{kind}.encoder"


def encoder_sha256(store: TumorStore, kind: str) -> str:
    """Hash that the file of an encoder ends in; costs no PyTorch.

    Raises:
        InputError: there is no such encoder.
    """
    found = seal_of(encoder_path(store, kind))
    if found is None:
        raise InputError(f"{store.path} has no trained encoder {kind}", hint=f"make one with {_command(store, kind)}")
    return found


def encoder_record(store: TumorStore, kind: str) -> dict[str, Any]:
    """How the encoder of a kind was trained.

    Raises:
        InputError, DamagedStoreError: there is none, or its file is not what was written.
    """
    encoder_sha256(store, kind)
    return read_sealed(encoder_path(store, kind), _command(store, kind)).record


def verify_encoder(store: TumorStore, kind: str) -> list[str]:
    """List what is damaged of an encoder; empty where there is none."""
    if not encoder_path(store, kind).exists():
        return []
    try:
        encoder_record(store, kind)
    except DamagedStoreError as error:
        return [str(error)]
    return []


def load_encoder(store: TumorStore, kind: str) -> Encoder:
    """Read the encoder of a kind that was trained for a store.

    Raises:
        InputError: there is none, it was trained for another frame, or PyTorch is not installed.
        DamagedStoreError: its file is not what was written.
    """
    encoder_sha256(store, kind)
    record, data, sha256 = read_sealed(encoder_path(store, kind), _command(store, kind))
    torch = require_torch()
    from .encoder_networks import MaskEncoder

    if record["box"]["frame"] != store.manifest.frame:
        raise InputError(
            f"{encoder_path(store, kind)} was trained for another frame than that of {store.path}",
            hint=f"train one with {_command(store, kind, restart=True)}",
        )
    held = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    design = Design(**{**record["design"], "widths": tuple(record["design"]["widths"])})
    box = BrainBox.from_record(record["box"], design.pool)
    network = MaskEncoder(kind, design, box.cells)
    network.load_state_dict({name: value.float() for name, value in held["weights"].items()})
    network = network.to(memory_format=torch.channels_last_3d).eval()  # type: ignore[call-overload]
    return Encoder(kind, box, sha256, record, network, held["anchors"].float().numpy())


def save_encoder(path: Path, network: MaskEncoder, anchors: NDArray[np.float32], record: dict[str, Any]) -> str:
    """Keep an encoder durably, in half precision, with its record; returns the hash of its file.

    Raises:
        OutputError: it cannot be written.
    """
    import torch

    weights = {name: value.detach().cpu().half().contiguous() for name, value in network.state_dict().items()}
    buffer = io.BytesIO()
    torch.save({"weights": weights, "anchors": torch.from_numpy(anchors).half()}, buffer)
    return write_sealed(path, record, buffer.getbuffer())


def _command(store: TumorStore, kind: str, *, restart: bool = False) -> str:
    return command("gliodex train encoder", kind, store.path, restart=restart)
