"""Trained encoders: the file beside a store that holds one, and the codes that it gives to masks."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedStoreError, InputError
from ..store.durable import replace_file
from ..store.reader import TumorStore
from .brain_box import BrainBox, Mask
from .designs import Design

if TYPE_CHECKING:
    import torch

    from .networks import MaskEncoder

MASKS_AT_ONCE = 64

_UNTRAINED = "{store} has no trained encoder {kind}: make one with `gliodex train {kind} {store}`"


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
        return self.codes(np.stack([self.box.counts(mask) for mask in (core, whole)]))

    def to(self, device: str) -> Encoder:
        """Move the weights to a device."""
        self.network.to(device)
        return self


def codes_of(network: MaskEncoder, counts: NDArray[np.uint8], box: BrainBox) -> NDArray[np.float32]:
    """Describe masks by a network: see `Encoder.codes`."""
    import torch

    device = next(network.parameters()).device
    found = np.empty((len(counts), network.code.out_features), np.float32)
    with torch.inference_mode():
        for first in range(0, len(counts), MASKS_AT_ONCE):
            rows = slice(first, first + MASKS_AT_ONCE)
            codes = network(as_masks(counts[rows], box, device))
            codes = (
                torch.where(codes >= 0, 1.0, -1.0) if network.kind == "hash" else torch.nn.functional.normalize(codes)
            )
            found[rows] = codes.cpu().numpy()
    return found


def as_masks(counts: NDArray[np.uint8], box: BrainBox, device: torch.device | str) -> torch.Tensor:
    """Shares of cells as networks take them, (n, 1, *cells), in the order of memory that convolves fastest."""
    import torch

    masks = torch.from_numpy(counts).to(device).unsqueeze(1).float().div_(box.pool**3)
    return masks.contiguous(memory_format=torch.channels_last_3d)


def encoder_path(store: TumorStore, kind: str) -> Path:
    """File of the encoder of a kind beside a store; a record lies with it."""
    return store.derived / "networks" / f"{kind}.pt"


def encoder_sha256(store: TumorStore, kind: str) -> str:
    """Hash of the file of an encoder, as its record has it; costs no PyTorch.

    Raises:
        InputError: there is no such encoder.
        DamagedStoreError: its record cannot be read.
    """
    path = encoder_path(store, kind)
    if not path.exists():
        raise InputError(_UNTRAINED.format(store=store.path, kind=kind))
    try:
        return str(json.loads(path.with_suffix(".json").read_text())["sha256"])
    except (OSError, ValueError, KeyError) as error:
        raise DamagedStoreError(f"{path.with_suffix('.json')} is damaged ({error}): {_again(store, kind)}") from error


def verify_encoder(store: TumorStore, kind: str) -> list[str]:
    """List what is damaged of an encoder; empty where there is none."""
    path = encoder_path(store, kind)
    if not path.exists():
        return []
    try:
        expected = encoder_sha256(store, kind)
    except DamagedStoreError as error:
        return [str(error)]
    if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        return [f"{path} is damaged: {_again(store, kind)}"]
    return []


def load_encoder(store: TumorStore, kind: str) -> Encoder:
    """Read the encoder of a kind that was trained for a store.

    Raises:
        InputError: there is none, it was trained for another frame, or PyTorch is not installed.
        DamagedStoreError: its file is not what was written.
    """
    path, sha256 = encoder_path(store, kind), encoder_sha256(store, kind)
    torch = require_torch()
    from .networks import MaskEncoder

    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ValueError("checksum does not match")
        record = json.loads(path.with_suffix(".json").read_text())
        held = torch.load(io.BytesIO(data), weights_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DamagedStoreError(f"{path} is damaged ({error}): {_again(store, kind)}") from error
    if record["box"]["frame"] != store.manifest.frame:
        raise InputError(f"{path} was trained for another frame than that of {store.path}: {_again(store, kind)}")
    design = Design(**{**record["design"], "widths": tuple(record["design"]["widths"])})
    box = BrainBox.from_record(record["box"], design.pool)
    network = MaskEncoder(kind, design, box.cells)
    network.load_state_dict({name: value.float() for name, value in held["weights"].items()})
    network = network.to(memory_format=torch.channels_last_3d).eval()  # type: ignore[call-overload]
    return Encoder(kind, box, sha256, record, network, held["anchors"].float().numpy())


def save_encoder(path: Path, network: MaskEncoder, anchors: NDArray[np.float32], record: dict[str, object]) -> None:
    """Keep an encoder durably, in half precision, with its record.

    Raises:
        OutputError: it cannot be written.
    """
    import torch

    weights = {name: value.detach().cpu().half().contiguous() for name, value in network.state_dict().items()}
    buffer = io.BytesIO()
    torch.save({"weights": weights, "anchors": torch.from_numpy(anchors).half()}, buffer)
    data = buffer.getvalue()
    text = json.dumps({"sha256": hashlib.sha256(data).hexdigest(), **record}, indent=1)
    replace_file(path, data)
    replace_file(path.with_suffix(".json"), text.encode())


def _again(store: TumorStore, kind: str) -> str:
    return f"train it anew with `gliodex train {kind} {store.path} --restart`"


def require_torch() -> Any:
    """PyTorch, or word of what is missing.

    Raises:
        InputError: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError("encoders need another package: pip install 'gliodex[learn]'") from error
    return torch
