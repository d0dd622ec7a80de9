"""Training an encoder of masks on a store's kind of tumours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...store.lock import committer_lock
from ...store.reader import TumorStore
from ..training.devices import require_device, require_torch
from ..training.loop import Fit, OnEpoch, OnStep, Schedule, check_run, checkpoint_of
from ..training.training_store import Progress, counts_of, given_store, identity_of, training_store
from .encoder import as_masks, codes_of, encoder_path, encoder_record, save_encoder
from .encoder_configs import KINDS, SMALL, TRAINING, VALIDATION, Design
from .pooled_grid import BrainBox

if TYPE_CHECKING:
    import torch
    from torch import Tensor


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
        check_run(self.tumours, self.epochs, self.seed)

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
    on_step: OnStep | None = None,
    on_epoch: OnEpoch | None = None,
) -> dict[str, Any]:
    """Train an encoder for a store and keep it beside; killed, it goes on from the last checkpoint.

    Args:
        store: to be searched.
        settings: of the run.
        learn_from: a store of tumours to learn from; by default they are simulated, held apart from `store`.
        restart: throw away the encoder, or the part of one, that is there.
        prepared: told how many tumours are ready to learn from.
        on_step: told of each step.
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
        schedule = Schedule(design.rate, settings.epochs or design.epochs, design.patience, settings.seed)
        fit = Fit(settings.kind, name, checkpoint_of(path), schedule)
        if known := fit.known(path, lambda: encoder_record(store, settings.kind), restart=restart):
            return known
        counts = counts_of(source, wanted, box, prepared)
        with torch.random.fork_rng():
            network = fit.learn(lambda: _Drawing(settings, box, counts), on_epoch, on_step)
        codes = codes_of(network, counts[: settings.tumours].reshape(-1, *box.cells), box)
        record = fit.record(network, settings.device) | {
            "kind": settings.kind,
            "design": design.as_record(),
            "box": box.as_record(store.frame),
        }
        save_encoder(path, network, codes.reshape(settings.tumours, -1), record)
        fit.checkpoint.unlink(missing_ok=True)
    return record


class _Drawing:
    """The task of an autoencoder: to draw masks again. See `Task`.

    Args:
        settings: of the run.
        box: that the masks lie in.
        counts: of tumours to learn from, then of those held apart, as `counts_of` makes them.
    """

    def __init__(self, settings: TrainingSettings, box: BrainBox, counts: NDArray[np.uint8]) -> None:
        import torch

        from .encoder_networks import MaskAutoencoder

        flat, masks = counts.reshape(-1, *box.cells), 2 * settings.tumours
        self._training, self._held = flat[:masks], flat[masks:]
        self._box, self._design, self._device = box, settings.design, settings.device
        self._batch = settings.design.batch
        network = MaskAutoencoder(settings.kind, settings.design, box.cells)
        self.network = network.to(settings.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    @property
    def kept(self) -> Any:
        return self.network.encoder

    @property
    def steps(self) -> int:
        return -(-len(self._training) // self._batch)

    def losses(self) -> Iterator[tuple[Tensor, Tensor]]:
        import torch

        from .encoder_networks import dice_loss

        order, batch = torch.randperm(len(self._training)).numpy(), self._batch
        for step in range(self.steps):
            chosen = np.sort(order[step * batch : (step + 1) * batch])
            masks = _shifted(as_masks(self._training[chosen], self._box, self._device), self._design.shift)
            drawn, extra = self.network(masks)
            yield dice_loss(drawn, masks).mean(), extra

    def validation(self) -> float:
        from .encoder_networks import dice_loss

        losses, batch = [], self._batch
        for first in range(0, len(self._held), batch):
            masks = as_masks(self._held[first : first + batch], self._box, self._device)
            losses += dice_loss(self.network(masks)[0], masks).tolist()
        return float(np.mean(losses))

    def halve(self) -> bool:
        if self._batch == 1:
            return False
        self._batch //= 2
        return True


def _shifted(masks: torch.Tensor, most: int) -> torch.Tensor:
    """Move masks by up to so many cells along each axis, all of a batch alike; what leaves the box is gone."""
    import torch

    if not most:
        return masks
    steps = torch.randint(-most, most + 1, (3,)).tolist()
    edges = [edge for step in reversed(steps) for edge in (step, -step)]  # negative ones cut off
    return torch.nn.functional.pad(masks, edges).contiguous(memory_format=torch.channels_last_3d)
