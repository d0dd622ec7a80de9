"""`gliodex train`, `gliodex train lmi` and `gliodex train surrogate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..learn import DESIGNS, Epoch, TrainingSettings
from ..learn import train as train_encoder
from ..store import open_store
from .build import Device
from .console import bar, say
from .stores import StorePath


class Kind(StrEnum):
    """Encoders of masks: `KINDS`."""

    ae = "ae"
    vae = "vae"
    hash = "hash"


class DesignName(StrEnum):
    """Sizes of encoders: `DESIGNS`."""

    small = "small"
    authors = "authors"


class Arch(StrEnum):
    """Networks that tell growth: `GROWTH_DESIGNS`."""

    small = "small"
    paper = "paper"


class TargetName(StrEnum):
    """What they tell: `TARGETS`."""

    mu_seed = "mu+seed"
    mu = "mu"
    rates_seed = "rates+seed"
    rates = "rates"
    seed = "seed"


class ScaleName(StrEnum):
    """How they tell it."""

    log = "log"
    linear = "linear"


class SeesName(StrEnum):
    """What a surrogate sees of an anatomy."""

    diffusivity = "diffusivity"
    tissue = "tissue"
    csf = "csf"


class LossName(StrEnum):
    """What it learns by."""

    parts = "parts"
    paper = "paper"
    l1 = "l1"


def train(
    kind: Annotated[
        Kind,
        typer.Argument(metavar="WHAT", help="ae: autoencoder; vae: variational autoencoder; hash: Bi-half hash."),
    ],
    store: StorePath,
    design: Annotated[
        DesignName, typer.Option(help="small trains on two cores; authors: the paper's 604 million weights, for a GPU.")
    ] = DesignName.small,
    tumours: Annotated[
        int, typer.Option(min=2, help="Tumours to learn from; a tenth as many more tell when to stop.")
    ] = TrainingSettings.tumours,
    learn_from: Annotated[
        str | None,
        typer.Option(
            metavar="STORE2",
            help="Another store, to learn from. (default: tumours simulated for it, held apart from STORE)",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most. (default: the design's)")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and noise.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.cpu,
    restart: Annotated[bool, typer.Option("--restart", help="Train anew even where an encoder is there.")] = False,
) -> None:
    """Train an encoder of masks for `--method ae`, `vae` or `hash`. Killed, it goes on when called again."""
    settings = TrainingSettings(kind.value, DESIGNS[design.value], seed, tumours, epochs, device.value)
    snapshot = open_store(store)
    trained: list[Epoch] = []
    with _training(trained) as (prepared, show):
        record = train_encoder(
            snapshot, settings, learn_from=learn_from, restart=restart, prepared=prepared, on_epoch=show
        )
    if not trained:
        say(f"{store}: nothing to do, {kind.value} is trained so already; --restart trains it anew")
        return
    best = min(validation for _, validation in record["history"])
    say(
        f"{store}: {kind.value} trained in {record['seconds'] / 60:.1f} min, {len(record['history'])} epochs, "
        f"validation loss {best:.3f}, {record['weights'] / 1e6:.1f} million weights; now `gliodex index {store} "
        f"--method {kind.value}`"
    )


def train_lmi(
    store: StorePath,
    arch: Annotated[
        Arch, typer.Option(help="small trains on two cores; paper: the network of paper 001, on all voxels, for a GPU.")
    ] = Arch.small,
    targets: Annotated[
        TargetName,
        typer.Option(
            metavar="WHAT",
            help="What it tells: mu+seed, mu, rates+seed, rates or seed; mu is √(DT) and √(ρT), rates is D, ρ and T. A "
            "query takes mu+seed.",
        ),
    ] = TargetName.mu_seed,
    scale: Annotated[
        ScaleName | None,
        typer.Option(help="How growth is scaled: linear, as in paper 001, or its logarithm. (default: the network's)"),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--tumours", min=2, help="Tumours to learn from. (default: all that there are, but a few)"),
    ] = None,
    learn_from: Annotated[
        str | None,
        typer.Option(metavar="STORE2", help="Another store of the same atlas to learn from. (default: STORE itself)"),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="At most; each outlines every tumour once, anew. (default: the network's)"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and outlines.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.cpu,
    restart: Annotated[bool, typer.Option("--restart", help="Train anew even where a network is there.")] = False,
) -> None:
    """Train a network that tells growth from outlines, for `--refine lmi`. Killed, it goes on when called again.

    It keeps all tumours in memory while it learns: about 43 KB each.
    """
    from ..learn.growth import GROWTH_DESIGNS, GrowthSettings, Targets, train_growth

    design = GROWTH_DESIGNS[arch.value]
    chosen = Targets(targets.value, scale.value if scale else "log" if design.gaussian else "linear")
    settings = GrowthSettings(design, chosen, seed, count, epochs, device.value)
    snapshot = open_store(store)
    trained: list[Epoch] = []
    with _training(trained) as (prepared, show):
        record = train_growth(
            snapshot, settings, learn_from=learn_from, restart=restart, prepared=prepared, on_epoch=show
        )
    if not trained:
        say(f"{store}: nothing to do, such a network is trained already; --restart trains it anew")
        return
    if record["halved"]:
        say(f"the GPU's memory did not suffice: steps of {design.batch // 2 ** record['halved']} tumours instead")
    best = min(validation for _, validation in record["history"])
    say(
        f"{store}: lmi trained in {record['seconds'] / 60:.1f} min, {len(record['history'])} epochs, "
        f"validation loss {best:.3f}, {record['weights'] / 1e6:.1f} million weights; now `gliodex query {store} "
        "--refine lmi ...`"
    )


def train_surrogate(
    stores: Annotated[
        list[str],
        typer.Argument(
            metavar="STORE...",
            help="Stores to learn from, each of another anatomy: `gliodex build STORE --atlas FILE --prior paper000`.",
        ),
    ],
    file: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the network is to lie.")],
    arch: Annotated[
        Arch, typer.Option(help="small trains on two cores; paper: the network of paper 000, for a GPU.")
    ] = Arch.small,
    sees: Annotated[
        SeesName | None,
        typer.Option(
            help="Of the anatomy: diffusivity, all that the solver sees; tissue, white, grey and CSF; csf alone. "
            "(default: the network's)"
        ),
    ] = None,
    loss: Annotated[
        LossName | None,
        typer.Option(
            help="Errors: parts, where the truth has tumour and elsewhere; paper, there and in CSF; l1, anywhere. "
            "(default: the network's)"
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--tumours", min=2, help="Tumours of each store to learn from. (default: all of the smallest, but a few)"
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most. (default: the network's)")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and symmetries.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.cpu,
    restart: Annotated[bool, typer.Option("--restart", help="Train anew even where a network is there.")] = False,
) -> None:
    """Train a network that stands in for the solver, in any anatomy. Killed, it goes on when called again.

    It keeps all tumours in memory while it learns: about 100 KB each.
    """
    from ..learn.surrogate import SURROGATE_DESIGNS, SurrogateSettings
    from ..learn.surrogate import train_surrogate as train_network

    design = SURROGATE_DESIGNS[arch.value]
    design = replace(design, sees=sees.value if sees else design.sees, loss=loss.value if loss else design.loss)
    settings = SurrogateSettings(design, seed, count, epochs, device.value)
    trained: list[Epoch] = []
    with _training(trained) as (prepared, show):
        record = train_network(
            [open_store(store) for store in stores], file, settings, restart=restart, prepared=prepared, on_epoch=show
        )
    if not trained:
        say(f"{file}: nothing to do, such a network is trained already; --restart trains it anew")
        return
    if record["halved"]:
        say(f"the GPU's memory did not suffice: steps of {design.batch // 2 ** record['halved']} tumours instead")
    best = min(validation for _, validation in record["history"])
    say(
        f"{file}: trained in {record['seconds'] / 60:.1f} min, {len(record['history'])} epochs, validation loss "
        f"{best:.4f}, {record['weights'] / 1e6:.1f} million weights"
    )


@contextmanager
def _training(trained: list[Epoch]) -> Iterator[tuple[Callable[[int, int], None], Callable[[Epoch], None]]]:
    """Show how far training is; epochs are appended to `trained`."""
    with bar("loss") as shown:
        preparing = shown.add_task("preparing tumours", total=None, loss="")
        training = shown.add_task("training", total=None, loss="", visible=False)

        def prepared(done: int, total: int) -> None:
            shown.update(preparing, completed=done, total=total)

        def show(epoch: Epoch) -> None:
            trained.append(epoch)
            loss = f"loss {epoch.validation:.3f}, best {epoch.best:.3f}"
            shown.update(training, completed=epoch.number, total=epoch.of, loss=loss, visible=True)

        yield prepared, show
