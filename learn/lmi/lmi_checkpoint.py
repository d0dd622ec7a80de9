"""The file of a network that tells growth: its weights, what was usual where it learned, and which atlas that was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import DamagedStoreError, InputError, command
from ...simulate import equal_to_rounding
from ...store.atlas import Atlas
from ...store.reader import TumorStore
from ..training.devices import require_torch
from ..training.weights_checkpoint import WeightsFile
from .lmi_configs import GrowthDesign
from .targets import Targets

if TYPE_CHECKING:
    import torch

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Usual:
    """What was usual among the tumours that a network learned from, and how it erred on those held apart.

    Args:
        centre, scale: of targets, (d,): what networks tell is in these units.
        moments: mean of the outlines' moments, (m,).
        covariance: of moments, (m, m).
        residual: lower triangle whose product with its transpose is the covariance of whitened errors, (d, d).
        distances: of the moments held apart from what is usual, ascending.
    """

    centre: Numbers
    scale: Numbers
    moments: Numbers
    covariance: Numbers
    residual: Numbers
    distances: Numbers

    @classmethod
    def of(cls, moments: NDArray[np.float32], truths: Numbers, *, ranges: bool) -> Usual:
        """Take what is usual from moments (n, m) and targets (n, d).

        Args:
            moments: see `Views`.
            truths: targets of the same tumours.
            ranges: scale targets to about [-1, 1] (Ezhov et al. 2023), rather than by their standard deviation.
        """
        centre, scale = truths.mean(axis=0), truths.std(axis=0)
        if ranges:
            low, high = truths.min(axis=0), truths.max(axis=0)
            centre, scale = (low + high) / 2, (high - low) / 2
        given = moments.astype(np.float64)
        covariance = np.cov(given.T) + np.diag(_RIDGE * np.maximum(given.var(axis=0), _RIDGE))
        return cls(centre, np.maximum(scale, _RIDGE), given.mean(axis=0), covariance, np.eye(len(centre)), np.ones(1))

    def judged(self, residuals: Numbers, moments: NDArray[np.float32]) -> Usual:
        """Add whitened errors (n, d) and moments (n, m) of tumours held apart."""
        inner = residuals.T @ residuals / len(residuals) + _RIDGE * np.eye(residuals.shape[1])
        held = replace(self, residual=np.asarray(np.linalg.cholesky(inner), np.float64))
        return replace(held, distances=np.sort([held.distance(row) for row in moments]))

    def standardised(self, truths: Numbers) -> NDArray[np.float32]:
        """Targets (n, d) in units of what networks tell."""
        return ((truths - self.centre) / self.scale).astype(np.float32)

    def distance(self, moments: NDArray[np.float32]) -> float:
        """Mahalanobis distance of one pair of outlines from what was learned from."""
        off = moments.astype(np.float64) - self.moments
        return float(np.sqrt(off @ np.linalg.solve(self.covariance, off)))

    def moments_scale(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of moments."""
        return self.moments.astype(np.float32), np.sqrt(np.diag(self.covariance)).astype(np.float32)


@dataclass(frozen=True)
class NetworkFile(WeightsFile):
    """A file of a trained network; see `WeightsFile`."""

    again: str = command("gliodex train lmi")
    kind = "network that tells growth"

    def write(self, record: dict[str, Any], network: torch.nn.Module, usual: Usual, fingerprint: Numbers) -> None:
        """Keep a network durably.

        Raises:
            OutputError: it cannot be written.
        """
        import torch

        usually = {name: torch.from_numpy(np.asarray(value)) for name, value in vars(usual).items()}
        self.put(record, network, usual=usually, atlas={"fingerprint": torch.from_numpy(fingerprint).half()})

    @property
    def design(self) -> GrowthDesign:
        """Of the network."""
        return GrowthDesign(**self.record["run"]["design"])

    @property
    def targets(self) -> Targets:
        """What it tells."""
        return Targets(*self.record["run"]["targets"])

    def check(self, store: TumorStore) -> None:
        """Refuse a network that learned in another atlas, on another frame, or from another growth model.

        Raises:
            InputError: it did.
            DamagedStoreError: the file is not what was written.
        """
        run = self.record["run"]
        for what, differs in (
            ("on another frame than that", run["frame"] != store.manifest.frame),
            ("from another growth model than that", not equal_to_rounding(run["model"], store.manifest.model)),
        ):
            if differs:
                raise InputError(f"{self.path} was trained {what} of {store.path}", hint=f"train one with {self.again}")
        off = np.abs(self.held["atlas"]["fingerprint"].double().numpy() - atlas_fingerprint(store.atlas)).max()
        if off > _SAME_ATLAS:
            raise InputError(
                f"{self.path} was trained in the atlas {self.record['atlas']['name']}, not in {store.atlas.name} of "
                f"{store.path}",
                hint=f"train one with {self.again}",
            )

    def fits(self, store: TumorStore) -> bool:
        """Whether there is such a file, and `check` would not refuse it.

        Raises:
            DamagedStoreError: the file is not what was written.
        """
        try:
            self.check(store)
        except InputError:
            return False
        return True

    def load(self) -> tuple[torch.nn.Module, Usual]:
        """Read the network, in evaluation mode, and what was usual.

        Raises:
            InputError: PyTorch is not installed.
            DamagedStoreError: the file is not what was written.
        """
        torch = require_torch()
        from .lmi_networks import make_growth_network

        network = make_growth_network(self.design, self.targets.count)
        usual = Usual(**{name: value.numpy() for name, value in self.held["usual"].items()})
        network.set_moments(*(torch.from_numpy(v) for v in usual.moments_scale()))
        return self.fill(network), usual


def growth_path(store: TumorStore, design: str, targets: Targets) -> Path:
    """File of the network of a design that was trained for a store."""
    return store.derived / "networks" / _name(design, targets)


def shipped_path(design: str, targets: Targets) -> Path:
    """Where the network that comes with gliodex would lie; there need not be one."""
    return Path(__file__).parent / "weights" / _name(design, targets)


def _name(design: str, targets: Targets) -> str:
    scale = "" if targets.scale == "log" else f"-{targets.scale}"
    return f"lmi-{design}-{targets.name}{scale}.network"


def verify_growth_networks(store: TumorStore) -> list[str]:
    """List what is damaged of the networks that were trained for a store."""
    found = []
    for path in sorted((store.derived / "networks").glob("lmi-*.network")):
        try:
            _ = NetworkFile(path, command("gliodex train lmi", store.path, restart=True)).record
        except DamagedStoreError as error:
            found.append(str(error))
    return found


def atlas_fingerprint(atlas: Atlas) -> Numbers:
    """Mean white and grey matter of coarse blocks, (2, i, j, k): the same for an atlas made on any machine.

    The digest of an atlas changes with the last bit of a map, which libraries for resampling do not agree on.
    """
    found = []
    for values in (atlas.white, atlas.grey):
        padded = np.pad(values.astype(np.float64), [(0, -n % _BLOCK) for n in values.shape])
        i, j, k = (n // _BLOCK for n in padded.shape)
        found.append(padded.reshape(i, _BLOCK, j, _BLOCK, k, _BLOCK).mean(axis=(1, 3, 5)))
    return np.stack(found)


_RIDGE, _BLOCK, _SAME_ATLAS = 1e-4, 8, 0.01
