"""Training an encoder on a store's kind of tumours: early stopping, checkpoints, the same result when resumed."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DamagedStoreError, InputError
from ..store.durable import replace_file
from ..store.reader import TumorStore
from .brain_box import BrainBox
from .designs import KINDS, SMALL, Design
from .encoder import as_masks, codes_of, encoder_path, load_encoder, require_torch, save_encoder
from .training_set import TRAINING, VALIDATION, Progress, counts_of, given_store, training_store

if TYPE_CHECKING:
    import torch

    from .networks import MaskAutoencoder

_CHECKPOINT_SECONDS = 60.0


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
        restart: train anew even where an encoder, or a part of one, is there.
        prepared: told how many tumours are ready to learn from.
        on_epoch: told of each epoch.

    Returns:
        How it was trained: settings, losses of each epoch, seconds, hash of the weights.

    Raises:
        InputError: PyTorch is missing, there is no such device, or `learn_from` cannot be learned from.
        OutputError, StoreLockedError: it cannot be written.
    """
    torch = require_torch()
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise InputError("PyTorch finds no NVIDIA GPU that it can use here: leave out --device cuda")
    if not restart and (known := _trained(store, settings)):
        return known
    design = settings.design
    wanted = settings.tumours + settings.validation
    source = given_store(learn_from, store, wanted) if learn_from else training_store(store, wanted, prepared)
    box = BrainBox.of(store.atlas, design.pool, len(design.widths), crop=design.crop)
    counts = counts_of(source, wanted, box, prepared)
    run = _Run(settings, box, counts, encoder_path(store, settings.kind).with_suffix(".checkpoint"))
    with torch.random.fork_rng():
        if restart or not run.resume():
            run.begin()
        run.go(on_epoch)
    network = run.best_encoder()
    codes = codes_of(network, counts[: settings.tumours].reshape(-1, *box.cells), box)
    record = {
        "kind": settings.kind,
        "design": design.as_record(),
        "settings": _as_record(settings),
        "box": box.as_record(store.frame),
        "learned_from": {"seeds": sorted(c.seed for c in source.manifest.campaigns.values()), "tumours": wanted},
        "weights": sum(p.numel() for p in network.parameters()),
        "history": run.history,
        "seconds": round(run.seconds, 1),
        "torch": str(torch.__version__),
    }
    save_encoder(encoder_path(store, settings.kind), network, codes.reshape(settings.tumours, -1), record)
    run.checkpoint.unlink(missing_ok=True)
    return load_encoder(store, settings.kind).record


def _trained(store: TumorStore, settings: TrainingSettings) -> dict[str, Any] | None:
    try:
        record = load_encoder(store, settings.kind).record
    except (InputError, DamagedStoreError):
        return None
    return record if record["settings"] == _as_record(settings) else None


def _as_record(settings: TrainingSettings) -> dict[str, Any]:
    return asdict(replace(settings, epochs=settings.epochs or settings.design.epochs)) | {
        "design": settings.design.name
    }


class _Run:
    """A training run: what a checkpoint holds, and how an epoch changes it."""

    def __init__(self, settings: TrainingSettings, box: BrainBox, counts: NDArray[np.uint8], checkpoint: Path) -> None:
        self.settings, self.box, self.checkpoint = settings, box, checkpoint
        self.epochs = settings.epochs or settings.design.epochs
        masks = 2 * settings.tumours
        flat = counts.reshape(-1, *box.cells)
        self._training, self._validation = flat[:masks], flat[masks:]
        self.history: list[tuple[float, float]] = []
        self.seconds, self._best, self._stale = 0.0, math.inf, 0
        self._best_weights: dict[str, torch.Tensor] = {}

    def begin(self) -> None:
        """Draw the first weights."""
        import torch

        torch.manual_seed(self.settings.seed)
        self._network, self._optimiser = self._parts()

    def resume(self) -> bool:
        """Go back to the last checkpoint; False where there is none of this run."""
        import torch

        try:
            held = torch.load(io.BytesIO(self.checkpoint.read_bytes()), weights_only=True)
        except (OSError, RuntimeError, ValueError):
            return False  # none, or cut short: what it would have saved is computed again
        if held["run"] != self._name():
            return False
        self._network, self._optimiser = self._parts()
        self._network.load_state_dict(held["network"])
        self._optimiser.load_state_dict(held["optimiser"])
        self._best_weights, self.history = held["best_weights"], held["history"]
        self.seconds, self._best, self._stale = held["seconds"], held["best"], held["stale"]
        return True

    def go(self, on_epoch: Callable[[Epoch], None] | None) -> None:
        """Train until there is nothing more to gain."""
        before, begun, saved = self.seconds, time.monotonic(), time.monotonic()
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
            if time.monotonic() - saved > _CHECKPOINT_SECONDS or self.settings.tumours < TRAINING:
                self._save()
                saved = time.monotonic()
            if on_epoch:
                on_epoch(Epoch(len(self.history), self.epochs, loss, validation, self._best, self.seconds))

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
        steps = len(order) // batch or 1
        self._network.train()
        total = 0.0
        for step in range(steps):
            chosen = np.sort(order[step * batch : (step + 1) * batch])
            self._set_rate((number + step / steps) / self.epochs)
            masks = as_masks(self._training[chosen], self.box, self.settings.device)
            if shift := self.settings.design.shift:
                masks = masks.roll(torch.randint(-shift, shift + 1, (3,)).tolist(), (2, 3, 4))
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
            for first in range(0, len(self._validation), 64):
                masks = as_masks(self._validation[first : first + 64], self.box, self.settings.device)
                losses += dice_loss(self._network(masks)[0], masks).tolist()
        return float(np.mean(losses))

    def _set_rate(self, share: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = self.settings.design.rate * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))

    def _name(self) -> dict[str, Any]:
        return {"settings": _as_record(self.settings), "cells": list(self.box.cells)}

    def _save(self) -> None:
        import torch

        buffer = io.BytesIO()
        held = {
            "run": self._name(),
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "best_weights": self._best_weights,
            "history": self.history,
            "seconds": self.seconds,
            "best": self._best,
            "stale": self._stale,
        }
        torch.save(held, buffer)
        replace_file(self.checkpoint, buffer.getbuffer())
