"""`gliodex train encoder`: encoders of masks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from ..learn.encoders.encoder_configs import TRAINING
from .build import Device
from .console import say
from .stores import StorePath
from .training_bar import training_bar


class Kind(StrEnum):
    """Encoders of masks: `KINDS`."""

    ae = "ae"
    vae = "vae"
    hash = "hash"


class DesignName(StrEnum):
    """Sizes of encoders: `DESIGNS`."""

    small = "small"
    authors = "authors"


def train(
    kind: Annotated[
        Kind,
        typer.Argument(metavar="WHAT", help="ae: autoencoder; vae: variational autoencoder; hash: Bi-half hash."),
    ],
    store: StorePath,
    design: Annotated[
        DesignName, typer.Option(help="small trains on two cores; authors: the paper's 604 million weights, for a GPU.")
    ] = DesignName.small,
    tumors: Annotated[
        int, typer.Option(min=2, help="Tumours to learn from; a tenth as many more tell when to stop.")
    ] = TRAINING,
    learn_from: Annotated[
        str | None,
        typer.Option(
            metavar="STORE2",
            help="Another store, to learn from. (default: tumours simulated for it, held apart from STORE)",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most. (default: the design's)")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of initialization, shuffling and noise.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.cpu,
    restart: Annotated[bool, typer.Option("--restart", help="Train anew even where an encoder is there.")] = False,
) -> None:
    """Train an encoder of masks for `--index ae`, `vae` or `hash`. Resumes if interrupted."""
    from ..learn import DESIGNS, TrainingSettings
    from ..learn import train as train_encoder
    from ..store import open_store

    settings = TrainingSettings(kind.value, DESIGNS[design.value], seed, tumors, epochs, device.value)
    snapshot = open_store(store)
    with training_bar() as shown:
        record = train_encoder(
            snapshot,
            settings,
            learn_from=learn_from,
            restart=restart,
            prepared=shown.prepared,
            on_step=shown.step,
            on_epoch=shown.epoch,
        )
    if not shown.epochs:
        say(f"{store}: nothing to do, {kind.value} is trained so already; --restart trains it anew")
        return
    best = min(validation for _, validation in record["history"])
    say(
        f"{store}: {kind.value} trained in {record['seconds'] / 60:.1f} min, {len(record['history'])} epochs, "
        f"validation loss {best:.3f}, {record['weights'] / 1e6:.1f} million weights; now `gliodex index {store} "
        f"--index {kind.value}`"
    )
