"""Fitting a network's weights: early stopping, checkpoints; on a CPU resumable to the same bytes."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ...errors import DamagedStoreError, InputError
from ...store.checksummed_file import read_sealed, write_sealed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CHECKPOINT_SECONDS = 60.0
"""What a killed training loses at most, besides the epoch that it was in; more where saving takes long."""

_SHARE_SAVING = 0.05


@dataclass(frozen=True)
class Epoch:
    """How far training is.

    Args:
        number, of: this epoch, and how many there may be.
        loss: mean over what is learned from.
        validation: loss of what is held apart.
        best: the smallest validation loss so far.
        seconds: since training began, earlier sittings included.
    """

    number: int
    of: int
    loss: float
    validation: float
    best: float
    seconds: float


Part = TypeVar("Part")
Seen = TypeVar("Seen")

OnEpoch = Callable[[Epoch], None]
OnStep = Callable[[int, int], None]
"""Called with (steps done, steps of all epochs)."""


@dataclass(frozen=True)
class Schedule:
    """How weights are fitted.

    Args:
        rate: AdamW's largest learning rate.
        epochs: at most.
        patience: epochs without a better validation loss after which fitting stops.
        seed: of weights, order and noise.
        decay: factor of the rate after every step; None lets it fall as a half cosine over all epochs.
        weight_decay: of AdamW; with 0 it is Adam.
        warm_up: steps over which the rate rises from 0.
        clip: largest norm of a gradient; what is larger is shortened to it.
        beta: AdamW's first decay rate.
    """

    rate: float
    epochs: int
    patience: int
    seed: int
    decay: float | None = None
    weight_decay: float = 0.0
    warm_up: int = 0
    clip: float = math.inf
    beta: float = 0.9

    def rate_at(self, step: int, steps: int) -> float:
        """Learning rate of a step.

        Args:
            step: since the beginning.
            steps: of an epoch.
        """
        if self.decay is not None:
            share = self.decay**step
        else:
            share = 0.02 + 0.49 * (1 + math.cos(math.pi * min(1.0, step / steps / self.epochs)))
        return self.rate * share * min(1.0, (step + 1) / (self.warm_up + 1))


def checkpoint_of(path: Path) -> Path:
    """File that keeps how far the training of a network has come."""
    return path.with_name(f"{path.name}.checkpoint")


def check_run(tumours: int | None, epochs: int | None, seed: int) -> None:
    """Refuse settings of a training run that are out of range; None is a number that is found otherwise.

    Raises:
        InputError: one is.
    """
    if (tumours or 2) < 2 or (epochs is not None and epochs < 1) or seed < 0:
        raise InputError(
            f"training takes at least 2 tumours, 1 epoch and a seed of 0 or more, not {tumours}, {epochs} and {seed}"
        )


def ahead(look: Callable[[Part], Seen], parts: Iterable[Part]) -> Iterator[Seen]:
    """Look at each of `parts` in turn, at the next one while the last one is learned from."""
    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for part in parts:
            following = pool.submit(look, part)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


class Task(Protocol):
    """What a network learns: its own loss on its own examples."""

    network: torch.nn.Module

    @property
    def kept(self) -> torch.nn.Module:
        """Part of the network that is kept when it has learned."""
        ...

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        ...

    def losses(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Go through the examples once, a step at a time: the loss that is told, and what is added to it to learn from.

        Randomness comes from PyTorch's generator, whose seed depends on that of the schedule and the epoch alone.
        """
        ...

    def validation(self) -> float:
        """Mean loss of the examples held apart."""
        ...

    def halve(self) -> bool:
        """Take half as many examples a step, for a GPU whose memory did not suffice; False where there is but one."""
        ...


class Fit:
    """A training run: what a checkpoint holds, and how an epoch changes it.

    Args:
        name: of what is learned, in messages.
        identity: all that the run depends on; a checkpoint of another is not gone on from.
        checkpoint: its file.
        schedule: see `Schedule`.
    """

    def __init__(self, name: str, identity: dict[str, Any], checkpoint: Path, schedule: Schedule) -> None:
        self.checkpoint, self.schedule = checkpoint, schedule
        self.history: list[tuple[float, float]] = []
        self.seconds = 0.0
        self.halved = 0
        """How often steps had to be halved for want of a GPU's memory."""
        self._name, self._identity = name, identity
        self._best, self._stale = math.inf, 0
        self._best_weights: dict[str, Tensor] = {}

    def learn(self, task: Callable[[], Task], on_epoch: OnEpoch | None = None, on_step: OnStep | None = None) -> Any:
        """Fit until there is nothing more to gain, from the last checkpoint on where there is one of this run.

        Args:
            task: makes the network and its examples; called once the seed is set.
            on_epoch: told of each epoch.
            on_step: told of each step.

        Returns:
            What is kept of the network, with the weights of the epoch with the smallest validation loss as half
            precision holds them, in evaluation mode.

        Raises:
            InputError: the loss became no number, or a GPU's memory does not suffice for one example a step.
            OutputError: a checkpoint cannot be written.
        """
        import torch

        schedule = self.schedule
        torch.manual_seed(schedule.seed)
        try:
            made = task()
        except torch.OutOfMemoryError as error:
            raise self._too_large() from error
        network, weights = made.network, made.network.parameters()
        optimiser = torch.optim.AdamW(
            weights, lr=schedule.rate, betas=(schedule.beta, 0.999), weight_decay=schedule.weight_decay, fused=True
        )
        self._resume(network, optimiser)
        for _ in range(self.halved):
            made.halve()
        before, begun = self.seconds, time.monotonic()
        saved, interval = begun, CHECKPOINT_SECONDS
        while len(self.history) < schedule.epochs and self._stale < schedule.patience:
            try:
                loss = self._epoch(made, optimiser, on_step)
                network.eval()
                with torch.inference_mode():
                    validation = made.validation()
            except torch.OutOfMemoryError as error:  # the epoch begins again, from where its steps have led
                if not made.halve():
                    raise self._too_large() from error
                self.halved += 1
                continue
            if not math.isfinite(loss + validation):
                raise InputError(
                    f"training {self._name} came to a loss that is no number in epoch {len(self.history) + 1}",
                    hint="train with another ‹seed›",
                )
            self.history.append((round(loss, 5), round(validation, 5)))
            self._stale += 1
            if validation < self._best:
                self._best, self._stale = validation, 0
                best = made.kept.state_dict()
                self._best_weights = {name: value.detach().cpu().clone() for name, value in best.items()}
            self.seconds = before + time.monotonic() - begun
            if time.monotonic() - saved >= interval:
                saving = time.monotonic()
                self._save(network, optimiser)
                saved = time.monotonic()
                interval = max(CHECKPOINT_SECONDS, (saved - saving) / _SHARE_SAVING)
            if on_epoch:
                on_epoch(Epoch(len(self.history), schedule.epochs, loss, validation, self._best, self.seconds))
        made.kept.load_state_dict({name: value.half().float() for name, value in self._best_weights.items()})
        return made.kept.eval()

    def known(self, path: Path, read: Callable[[], dict[str, Any]], *, restart: bool) -> dict[str, Any] | None:
        """Record of what this run has made already; None where it is still to be done.

        Args:
            path: of what it makes.
            read: its record.
            restart: throw it away, and the checkpoint too.
        """
        if restart:
            path.unlink(missing_ok=True)
            self.checkpoint.unlink(missing_ok=True)
            return None
        try:
            record = read()
        except (InputError, DamagedStoreError):  # none, or damaged: it is made anew
            return None
        return record if record.get("run") == self._identity else None

    def record(self, network: torch.nn.Module, device: str) -> dict[str, Any]:
        """How a network was trained, as plain values for its file."""
        import torch

        return {
            "run": self._identity,
            "weights": sum(p.numel() for p in network.parameters()),
            "history": [list(losses) for losses in self.history],
            "seconds": round(self.seconds, 1),
            "halved": self.halved,
            "device": device,
            "torch": str(torch.__version__),
        }

    def _too_large(self) -> InputError:
        return InputError(f"the GPU's memory does not suffice to train {self._name}", hint="leave out ‹device=cuda›")

    def _epoch(self, task: Task, optimiser: torch.optim.Optimizer, on_step: OnStep | None) -> float:
        """Learn from every example once; the mean loss."""
        import torch

        number = len(self.history)
        # order and noise depend on seed and epoch alone: a resumed run repeats them
        torch.manual_seed(self.schedule.seed * 1_000_003 + number + 1)
        task.network.train()
        total, steps = 0.0, task.steps
        for step, (loss, extra) in enumerate(task.losses()):
            for group in optimiser.param_groups:
                group["lr"] = self.schedule.rate_at(number * steps + step, steps)
            optimiser.zero_grad(set_to_none=True)
            (loss + extra).backward()  # type: ignore[no-untyped-call]
            if math.isfinite(self.schedule.clip):
                torch.nn.utils.clip_grad_norm_(task.network.parameters(), self.schedule.clip)
            optimiser.step()
            total += float(loss.detach())
            if on_step:
                on_step(number * steps + step + 1, self.schedule.epochs * steps)
        return total / steps

    def _resume(self, network: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Go back to the last checkpoint; stay at the beginning where there is none of this run."""
        import torch

        try:
            record, data, _ = read_sealed(self.checkpoint, "gliodex train")
        except DamagedStoreError:
            return  # none, or cut short: what it would have saved is computed again
        if record != self._identity:
            return
        held = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        network.load_state_dict(held["network"])
        optimiser.load_state_dict(held["optimiser"])
        self._best_weights, self.history = held["best_weights"], held["history"]
        self.seconds, self._best, self._stale = held["seconds"], held["best"], held["stale"]
        self.halved = held["halved"]

    def _save(self, network: torch.nn.Module, optimiser: torch.optim.Optimizer) -> None:
        import torch

        buffer = io.BytesIO()
        held = {
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "best_weights": self._best_weights,
            "history": self.history,
            "seconds": self.seconds,
            "halved": self.halved,
            "best": self._best,
            "stale": self._stale,
        }
        torch.save(held, buffer)
        write_sealed(self.checkpoint, self._identity, buffer.getbuffer())
