"""Training a network to tell growth from outlines, on the tumours of a store."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...simulate import pushes
from ...store.lock import committer_lock
from ...store.reader import TumorStore, open_store
from ..training.density_crops import CORE_LEVELS, WHOLE_LEVELS, LevelBoxes, Progress
from ..training.devices import require_device, require_torch
from ..training.loop import Fit, OnEpoch, OnStep, Schedule, ahead, check_run, checkpoint_of
from ..training.training_store import identity_of, simulated_part
from .lmi_checkpoint import NetworkFile, atlas_fingerprint, growth_path
from .lmi_configs import SMALL_GROWTH, GrowthDesign
from .lmi_dataset import Examples
from .mask_features import Viewer, Views
from .targets import Targets

if TYPE_CHECKING:
    import torch
    from torch import Tensor


Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class GrowthSettings:
    """What a training run depends on.

    Args:
        design: of the network.
        targets: what it tells; the paper's design tells them in a linear scale. Of a model with mass effect that, too.
        seed: of weights, order and thresholds.
        tumours: to learn from; all that the store has, less those held apart, by default.
        epochs: at most; the design's by default.
        device: "cpu" or "cuda".
    """

    design: GrowthDesign = SMALL_GROWTH
    targets: Targets = field(default_factory=Targets)
    seed: int = 0
    tumours: int | None = None
    epochs: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_run(self.tumours, self.epochs, self.seed)

    def shares(self, there: int) -> tuple[int, int]:
        """How many of `there` tumours are learned from, and how many are held apart to tell when to stop."""
        if self.tumours is not None:
            return self.tumours, max(1, min(_HELD_MOST, self.tumours // 10))
        held = max(1, min(_HELD_MOST, there // 10))
        return there - held, held


def train_growth(
    store: TumorStore,
    settings: GrowthSettings,
    *,
    learn_from: str | Path | None = None,
    restart: bool = False,
    prepared: Progress | None = None,
    on_step: OnStep | None = None,
    on_epoch: OnEpoch | None = None,
) -> dict[str, Any]:
    """Train a network and keep it beside a store; killed, it goes on from the last checkpoint.

    Args:
        store: whose queries it shall answer.
        settings: of the run.
        learn_from: another store to learn from, in the same atlas; by default the store itself.
        restart: throw away the network, or the part of one, that is there.
        prepared: told how many tumours are ready to learn from.
        on_step: told of each step.
        on_epoch: told of each epoch.

    Returns:
        How it was trained: what it depends on, losses of each epoch, seconds.

    Raises:
        InputError: PyTorch is missing, there is no such device, or there is too little to learn from.
        OutputError, StoreLockedError: it cannot be written.
    """
    torch = require_torch()
    require_device(settings.device)
    design, path = settings.design, growth_path(store, settings.design.name, settings.targets)
    pushing = pushes(store.manifest.model) and settings.targets.growth is not None
    targets = replace(settings.targets, pushing=pushing)
    source = simulated_part(open_store(learn_from) if learn_from else store)
    if source.atlas.digest != store.atlas.digest or source.manifest.model != store.manifest.model:
        raise InputError(
            f"{source.path} has another atlas or growth model than {store.path}: it cannot be learned from"
        )
    there = len(source.searched)
    learned, held = settings.shares(there)
    if learned < 2:
        raise InputError(f"{source.path} holds {there} tumours: too few to learn from")
    run = {
        "design": design.as_record(),
        "targets": [targets.name, targets.scale, *([True] * targets.pushing)],
        "seed": settings.seed,
        "epochs": settings.epochs or design.epochs,
        "frame": store.manifest.frame,
        "model": store.manifest.model,
        "levels": [list(WHOLE_LEVELS), list(CORE_LEVELS)],
        "learned_from": identity_of(source, learned + held) | {"held_apart": held},
    }
    with committer_lock(path.parent, "gliodex train", f"{path.name}.lock"):
        schedule = Schedule(
            design.rate,
            settings.epochs or design.epochs,
            design.patience,
            settings.seed,
            design.decay,
            design.weight_decay,
            _WARM_UP if design.gaussian else 0,
            _CLIP if design.gaussian else math.inf,
        )
        fit = Fit("lmi", run, checkpoint_of(path), schedule)
        if known := fit.known(path, lambda: NetworkFile(path).record, restart=restart):
            return known
        boxes = LevelBoxes.of(source, learned + held, prepared)
        viewer = Viewer(store.atlas, design.cells)
        examples = Examples(boxes, viewer, targets, learned, settings.seed, ranges=not design.gaussian)
        with torch.random.fork_rng():
            network = fit.learn(lambda: _GrowthTask(settings, examples), on_epoch, on_step)
        usual = examples.usual.judged(*_errors(network, examples, settings, design.batch >> fit.halved))
        record = fit.record(network, settings.device) | {
            "atlas": {"name": store.atlas.name, "digest": store.atlas.digest},
            "memory_gb": round(boxes.levels.nbytes / 1e9, 2),
        }
        NetworkFile(path).write(record, network, usual, atlas_fingerprint(store.atlas))
        fit.checkpoint.unlink(missing_ok=True)
    return record


class _GrowthTask:
    """The task of a network that tells growth. See `Task`."""

    def __init__(self, settings: GrowthSettings, examples: Examples) -> None:
        import torch

        from .lmi_networks import make_growth_network

        self._examples, self._settings, self._batch = examples, settings, settings.design.batch
        network = make_growth_network(settings.design, examples.targets.count)
        network.set_moments(*(torch.from_numpy(v) for v in examples.usual.moments_scale()))
        self.network: torch.nn.Module
        self.network = network.to(settings.device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    @property
    def kept(self) -> torch.nn.Module:
        return self.network

    @property
    def steps(self) -> int:
        return -(-self._examples.learned // self._batch)

    def losses(self) -> Iterator[tuple[Tensor, Tensor]]:
        import torch

        learned = self._examples.learned
        order = torch.randperm(learned).numpy()
        levels = [torch.randint(low, high + 1, (learned,)).numpy() for low, high in (WHOLE_LEVELS, CORE_LEVELS)]
        chosen = [np.sort(order[n * self._batch : (n + 1) * self._batch]) for n in range(self.steps)]

        def look(tumours: NDArray[np.int64]) -> tuple[Views, Numbers]:
            return self._examples.looked(tumours, levels[0][tumours], levels[1][tumours])

        for views, truths in ahead(look, chosen):
            loss = self._loss(views, truths)
            yield loss, loss.new_zeros(())

    def validation(self) -> float:
        losses = [
            float(self._loss(views, truths)) * len(truths)
            for views, truths in self._examples.looked_at_held(self._batch)
        ]
        return sum(losses) / len(self._examples.held)

    def halve(self) -> bool:
        if self._batch == 1:
            return False
        self._batch //= 2
        return True

    def _loss(self, views: Views, truths: Numbers) -> Tensor:
        import torch

        from .lmi_networks import likelihood_loss, tell

        told = tell(self.network, views, self._settings.device)
        wanted = torch.from_numpy(self._examples.usual.standardised(truths)).to(self._settings.device)
        if self._settings.design.gaussian:
            return likelihood_loss(told, wanted).mean()
        return (told.mean - wanted).square().mean()


def _errors(
    network: Any, examples: Examples, settings: GrowthSettings, at_once: int
) -> tuple[Numbers, NDArray[np.float32]]:
    """Whitened errors of a trained network on the tumours held apart, (n, d), and the moments of these."""
    import torch

    from .lmi_networks import precision_factor, tell

    errors, moments = [], []
    with torch.inference_mode():
        for views, truths in examples.looked_at_held(at_once):
            told = tell(network, views, settings.device)
            off = torch.from_numpy(examples.usual.standardised(truths)).to(told.mean.device) - told.mean
            errors.append(torch.einsum("nij,nj->ni", precision_factor(told), off).double().cpu().numpy())
            moments.append(views.moments)
    return np.concatenate(errors), np.concatenate(moments)


_HELD_MOST = 2000
_WARM_UP, _CLIP = 150, 5.0
