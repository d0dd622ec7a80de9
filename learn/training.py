"""Training an encoder on a store's kind of tumours: early stopping, checkpoints; on a CPU resumable exactly."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedStoreError, InputError
from ..store.lock import committer_lock
from ..store.reader import TumorStore
from ..store.sealed import read_sealed, write_sealed
from .brain_box import BrainBox
from .designs import KINDS, SMALL, Design
from .encoder import as_masks, codes_of, encoder_path, encoder_record, require_device, require_torch, save_encoder
from .training_set import TRAINING, VALIDATION, Progress, counts_of, given_store, identity_of, training_store

if TYPE_CHECKING:
    import torch

    from .networks import MaskAutoencoder

CHECKPOINT_SECONDS = 60.0
"""What a killed training loses at most, besides the epoch that it was in; more where saving takes long."""

_SHARE_SAVING = 0.05


@dataclass(frozen=True)
class Epoch:
    """How far training is.

    Args:
        number, of: this epoch, and how many there may be.
        loss: mean soft Dice loss over the training masks.
        validation: over the validation masks.
        best: the smallest validation loss so far.
        seconds: since training began, earlier sittings included.
    """

    number: int
    of: int
    loss: float
    validation: float
    best: float
    seconds: float


@dataclass(frozen=True)
class TrainingSettings:
    """What a training run depends on.

    Args:
        kind: one of `KINDS`.
        design: of the network.
        seed: of weights, order and noise.
        tumours: to learn from; a tenth as many more tell when to stop.
        epochs: at most; the design's by default.
        device: "cpu" or "cuda".
    """

    kind: str
    design: Design = SMALL
    seed: int = 0
    tumours: int = TRAINING
    epochs: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"an encoder is one of {', '.join(KINDS)}, not {self.kind}")
        if self.tumours < 2 or (self.epochs is not None and self.epochs < 1) or self.seed < 0:
            raise InputError(
                f"training takes at least 2 tumours, 1 epoch and a seed of 0 or more, not {self.tumours}, "
                f"{self.epochs} and {self.seed}"
            )

    @property
    def validation(self) -> int:
        """Tumours that tell when to stop."""
        return max(1, self.tumours * VALIDATION // TRAINING)


def train(
    store: TumorStore,
    settings: TrainingSettings,
    *,
    learn_from: str | Path | None = None,
    restart: bool = False,
    prepared: Progress | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> dict[str, Any]:
    """Train an encoder for a store and keep it beside; killed, it goes on from the last checkpoint.

    Args:
        store: to be searched.
        settings: of the run.
        learn_from: a store of tumours to learn from; by default they are simulated, held apart from `store`.
        restart: throw away the encoder, or the part of one, that is there.
        prepared: told how many tumours are ready to learn from.
        on_epoch: told of each epoch.

    Returns:
        How it was trained: what it depends on, losses of each epoch, seconds.

    Raises:
        InputError: PyTorch is missing, there is no such device, or `learn_from` cannot be learned from.
        OutputError, StoreLockedError: it cannot be written.
    """
    torch = require_torch()
    require_device(settings.device)
    path, design = encoder_path(store, settings.kind), settings.design
    wanted = settings.tumours + settings.validation
    source = given_store(learn_from, store, wanted) if learn_from else training_store(store, wanted, prepared)
    box = BrainBox.of(store.atlas, design.pool, len(design.widths), crop=design.crop)
    name = {
        "kind": settings.kind,
        "design": design.as_record(),
        "seed": settings.seed,
        "epochs": settings.epochs or design.epochs,
        "box": box.as_record(store.frame),
        "thresholds": store.thresholds,
        "learned_from": identity_of(source, wanted),
    }
    with committer_lock(path.parent, "gliodex train", f"{settings.kind}.lock"):
        run = _Run(settings, name, box, path.with_suffix(".checkpoint"))
        if restart:
            path.unlink(missing_ok=True)
            run.checkpoint.unlink(missing_ok=True)
        elif known := _trained(store, settings.kind, name):
            return known
        counts = counts_of(source, wanted, box, prepared)
        with torch.random.fork_rng():
            run.learn(counts, on_epoch)
        network = run.best_encoder()
        codes = codes_of(network, counts[: settings.tumours].reshape(-1, *box.cells), box)
        record = {
            "run": name,
            "kind": settings.kind,
            "design": design.as_record(),
            "box": box.as_record(store.frame),
            "weights": sum(p.numel() for p in network.parameters()),
            "history": [list(losses) for losses in run.history],
            "seconds": round(run.seconds, 1),
            "device": settings.device,
            "torch": str(torch.__version__),
        }
        save_encoder(path, network, codes.reshape(settings.tumours, -1), record)
        run.checkpoint.unlink(missing_ok=True)
    return record


def _trained(store: TumorStore, kind: str, name: dict[str, Any]) -> dict[str, Any] | None:
    try:
        record = encoder_record(store, kind)
    except (InputError, DamagedStoreError):
        return None
    return record if record["run"] == name else None


class _Run:
    """A training run: what a checkpoint holds, and how an epoch changes it."""

    def __init__(self, settings: TrainingSettings, name: dict[str, Any], box: BrainBox, checkpoint: Path) -> None:
        self.settings, self.box, self.checkpoint, self._name = settings, box, checkpoint, name
        self.epochs = settings.epochs or settings.design.epochs
        self.history: list[tuple[float, float]] = []
        self.seconds, self._best, self._stale = 0.0, math.inf, 0
        self._best_weights: dict[str, torch.Tensor] = {}

    def learn(self, counts: NDArray[np.uint8], on_epoch: Callable[[Epoch], None] | None) -> None:
        """Train until there is nothing more to gain, from the last checkpoint on where there is one of this run."""
        import torch

        flat, masks = counts.reshape(-1, *self.box.cells), 2 * self.settings.tumours
        self._training, self._validation = flat[:masks], flat[masks:]
        torch.manual_seed(self.settings.seed)
        self._network, self._optimiser = self._parts()
        self._resume()
        before, begun = self.seconds, time.monotonic()
        saved, interval = begun, CHECKPOINT_SECONDS
        while len(self.history) < self.epochs and self._stale < self.settings.design.patience:
            loss, validation = self._epoch(len(self.history)), self._validate()
            if not math.isfinite(loss + validation):
                raise InputError(
                    f"training {self.settings.kind} came to a loss that is no number in epoch {len(self.history) + 1}: "
                    "train with another --seed"
                )
            self.history.append((round(loss, 5), round(validation, 5)))
            self._stale += 1
            if validation < self._best:
                self._best, self._stale = validation, 0
                encoder = self._network.encoder.state_dict()
                self._best_weights = {name: value.detach().cpu().clone() for name, value in encoder.items()}
            self.seconds = before + time.monotonic() - begun
            if time.monotonic() - saved >= interval:
                saving = time.monotonic()
                self._save()
                saved = time.monotonic()
                interval = max(CHECKPOINT_SECONDS, (saved - saving) / _SHARE_SAVING)
            if on_epoch:
                on_epoch(Epoch(len(self.history), self.epochs, loss, validation, self._best, self.seconds))

    def _resume(self) -> None:
        """Go back to the last checkpoint; stay at the beginning where there is none of this run."""
        import torch

        try:
            record, data, _ = read_sealed(self.checkpoint, "gliodex train")
        except DamagedStoreError:
            return  # none, or cut short: what it would have saved is computed again
        if record != self._name:
            return
        held = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        self._network.load_state_dict(held["network"])
        self._optimiser.load_state_dict(held["optimiser"])
        self._best_weights, self.history = held["best_weights"], held["history"]
        self.seconds, self._best, self._stale = held["seconds"], held["best"], held["stale"]

    def best_encoder(self) -> Any:
        """Take the encoder of the epoch with the smallest validation loss, as its file will hold it."""
        encoder = self._network.encoder
        encoder.load_state_dict({name: value.half().float() for name, value in self._best_weights.items()})
        return encoder.eval()

    def _parts(self) -> tuple[MaskAutoencoder, torch.optim.Optimizer]:
        import torch

        from .networks import MaskAutoencoder

        network = MaskAutoencoder(self.settings.kind, self.settings.design, self.box.cells)
        network = network.to(self.settings.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        return network, torch.optim.Adam(network.parameters(), lr=self.settings.design.rate, fused=True)

    def _epoch(self, number: int) -> float:
        """Learn from every mask once; the mean loss."""
        import torch

        from .networks import dice_loss

        # order and noise depend on seed and epoch alone: a resumed run repeats them
        torch.manual_seed(self.settings.seed * 1_000_003 + number + 1)
        batch = self.settings.design.batch
        order = torch.randperm(len(self._training)).numpy()
        steps = -(-len(order) // batch)
        self._network.train()
        total = 0.0
        for step in range(steps):
            chosen = np.sort(order[step * batch : (step + 1) * batch])
            self._set_rate((number + step / steps) / self.epochs)
            masks = _shifted(
                as_masks(self._training[chosen], self.box, self.settings.device), self.settings.design.shift
            )
            drawn, extra = self._network(masks)
            loss = dice_loss(drawn, masks).mean()
            self._optimiser.zero_grad(set_to_none=True)
            (loss + extra).backward()
            self._optimiser.step()
            total += float(loss.detach())
        return total / steps

    def _validate(self) -> float:
        import torch

        from .networks import dice_loss

        self._network.eval()
        losses = []
        with torch.inference_mode():
            batch = self.settings.design.batch
            for first in range(0, len(self._validation), batch):
                masks = as_masks(self._validation[first : first + batch], self.box, self.settings.device)
                losses += dice_loss(self._network(masks)[0], masks).tolist()
        return float(np.mean(losses))

    def _set_rate(self, share: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.design.rate * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))

    def _save(self) -> None:
        import torch

        buffer = io.BytesIO()
        held = {
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "best_weights": self._best_weights,
            "history": self.history,
            "seconds": self.seconds,
            "best": self._best,
            "stale": self._stale,
        }
        torch.save(held, buffer)
        write_sealed(self.checkpoint, self._name, buffer.getbuffer())


def _shifted(masks: torch.Tensor, most: int) -> torch.Tensor:
    """Move masks by up to so many cells along each axis, all of a batch alike; what leaves the box is gone."""
    import torch

    if not most:
        return masks
    steps = torch.randint(-most, most + 1, (3,)).tolist()
    edges = [edge for step in reversed(steps) for edge in (step, -step)]  # negative ones cut off
    return torch.nn.functional.pad(masks, edges).contiguous(memory_format=torch.channels_last_3d)
