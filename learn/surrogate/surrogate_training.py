"""Training a network to stand in for the solver, on tumours of several anatomies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ...simulate import FisherKolmogorovSettings
from ...store.lock import committer_lock
from ...store.reader import TumorStore
from ..training.density_crops import Progress
from ..training.devices import mixed_precision, require_device, require_torch
from ..training.loop import Fit, OnEpoch, OnStep, Schedule, ahead, check_run, checkpoint_of
from ..training.training_store import identity_of, simulated_part
from .anatomy_dataset import Batch, Pairs
from .crops import SYMMETRIES
from .surrogate_checkpoint import SurrogateFile
from .surrogate_configs import SMALL_SURROGATE, SurrogateDesign

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class SurrogateSettings:
    """What a training run depends on.

    Args:
        design: of the network.
        seed: of weights, order and symmetries.
        tumours: to learn from, of each anatomy; all that the smallest store has, less those held apart, by default.
        epochs: at most; the design's by default.
        device: "cpu" or "cuda".
    """

    design: SurrogateDesign = SMALL_SURROGATE
    seed: int = 0
    tumours: int | None = None
    epochs: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_run(self.tumours, self.epochs, self.seed)

    def shares(self, there: int) -> tuple[int, int]:
        """How many of `there` tumours of an anatomy are learned from, and how many are held apart."""
        if self.tumours is not None:
            return self.tumours, max(1, self.tumours // _HELD_PART)
        held = max(1, there // _HELD_PART)
        return there - held, held


def train_surrogate(
    stores: Sequence[TumorStore],
    path: Path,
    settings: SurrogateSettings,
    *,
    restart: bool = False,
    prepared: Progress | None = None,
    on_step: OnStep | None = None,
    on_epoch: OnEpoch | None = None,
) -> dict[str, Any]:
    """Train a network and write it; killed, it goes on from the last checkpoint beside.

    Args:
        stores: to learn from, each of its own anatomy, all of one growth model.
        path: of the network's file.
        settings: of the run.
        restart: throw away the network, or the part of one, that is there.
        prepared: told how many tumours are ready to learn from.
        on_step: told of each step.
        on_epoch: told of each epoch.

    Returns:
        How it was trained: what it depends on, losses of each epoch, seconds.

    Raises:
        InputError: PyTorch is missing, there is no such device, there is too little to learn from, or something else
            lies at `path`.
        OutputError, StoreLockedError: it cannot be written.
    """
    torch = require_torch()
    require_device(settings.device)
    design = settings.design
    SurrogateFile(path).check_writable()
    stores = [simulated_part(store) for store in stores]
    models = [store.manifest.model for store in stores]
    if not models or any(model != models[0] for model in models):
        raise InputError("the stores to learn from are of different growth models", hint="build them alike")
    model = FisherKolmogorovSettings.from_record(models[0], stores[0].path, "learn from other stores")
    learned, held = settings.shares(min(len(store) for store in stores))
    if learned < 2:
        raise InputError("the stores to learn from hold too few tumours", hint="build more")
    run = {
        "design": design.as_record(),
        "seed": settings.seed,
        "epochs": settings.epochs or design.epochs,
        "model": models[0],
        "anatomies": [{"name": store.atlas.name, "digest": store.atlas.digest} for store in stores],
        "learned_from": [identity_of(store, learned + held) for store in stores],
        "held_apart": held,
    }
    with committer_lock(path.parent, "gliodex train", f"{path.name}.lock"):
        epochs = settings.epochs or design.epochs
        schedule = Schedule(
            design.rate, epochs, design.patience, settings.seed, warm_up=_WARM_UP, clip=_CLIP, beta=design.beta
        )
        fit = Fit("surrogate", run, checkpoint_of(path), schedule)
        if known := fit.known(path, lambda: SurrogateFile(path).record, restart=restart):
            return known
        pairs = Pairs(stores, learned + held, design, model, prepared)
        with torch.random.fork_rng():
            network = fit.learn(lambda: _SurrogateTask(settings, pairs, learned), on_epoch, on_step)
        record = fit.record(network, settings.device) | {
            "ranges": {"low": list(pairs.ranges.low), "high": list(pairs.ranges.high)},
            "spacing_mm": pairs.spacing_mm,
            "memory_gb": round(sum(boxes.levels.nbytes for boxes in pairs.boxes) / 1e9, 2),
        }
        SurrogateFile(path).put(record, network)
        fit.checkpoint.unlink(missing_ok=True)
    return record


class _SurrogateTask:
    """The task of a network that stands in for the solver. See `Task`."""

    def __init__(self, settings: SurrogateSettings, pairs: Pairs, learned: int) -> None:
        import torch

        from .surrogate_networks import make_surrogate

        self._pairs, self._settings, self._batch = pairs, settings, settings.design.batch
        within = np.arange(len(pairs)) % pairs.each
        self._learned, self._held = np.flatnonzero(within < learned), np.flatnonzero(within >= learned)
        network = make_surrogate(settings.design)
        self.network: torch.nn.Module
        self.network = network.to(settings.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    @property
    def kept(self) -> torch.nn.Module:
        return self.network

    @property
    def steps(self) -> int:
        return -(-len(self._learned) // self._batch)

    def losses(self) -> Iterator[tuple[Tensor, Tensor]]:
        import torch

        order = self._learned[torch.randperm(len(self._learned)).numpy()]
        turns = torch.randint(len(SYMMETRIES), (len(order),)).numpy() * self._settings.design.symmetries
        parts = [slice(n * self._batch, (n + 1) * self._batch) for n in range(self.steps)]
        for batch in ahead(lambda part: self._pairs.batch(order[part], turns[part]), parts):
            loss = self._loss(batch)
            yield loss, loss.new_zeros(())

    def validation(self) -> float:
        total = 0.0
        for first in range(0, len(self._held), self._batch):
            chosen = self._held[first : first + self._batch]
            batch = self._pairs.batch(chosen, np.zeros(len(chosen), np.int64))
            total += float(self._loss(batch)) * len(chosen)
        return total / len(self._held)

    def halve(self) -> bool:
        if self._batch == 1:
            return False
        self._batch //= 2
        return True

    def _loss(self, batch: Batch) -> Tensor:
        import torch

        from .surrogate_networks import density_loss

        design, device = self._settings.design, self._settings.device
        truth, csf = (torch.from_numpy(values).to(device) for values in (batch.density, batch.csf))
        return density_loss(design.loss, say(self.network, batch, design, device), truth, csf)


def say(network: torch.nn.Module, batch: Batch, design: SurrogateDesign, device: str) -> Tensor:
    """Let a network say densities, in mixed precision where the device has it."""
    import torch

    seen = (batch.anatomy, batch.distance, batch.times, batch.growth)
    with torch.autocast(device, torch.bfloat16, enabled=mixed_precision(device)):
        told: Tensor = network(*(torch.from_numpy(values).to(device) for values in seen))
    return told * torch.from_numpy(batch.tissue).to(device) if design.masked else told


_HELD_PART, _WARM_UP, _CLIP = 40, 100, 1.0
