"""`gliodex train surrogate`: networks that stand in for the solver."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .build import Device
from .console import say
from .train_lmi import Arch
from .training_bar import training_bar


class SeesName(StrEnum):
    """Inputs from an anatomy."""

    diffusivity = "diffusivity"
    tissue = "tissue"
    csf = "csf"


class LossName(StrEnum):
    """What it learns by."""

    parts = "parts"
    paper = "paper"
    l1 = "l1"


def train_surrogate(
    stores: Annotated[
        list[str],
        typer.Argument(
            metavar="STORE...",
            help="Stores to learn from, each of another anatomy: `gliodex build STORE --atlas FILE --prior ezhov2021`.",
        ),
    ],
    file: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the network is to lie.")],
    arch: Annotated[
        Arch, typer.Option(help="small trains on two cores; paper: the network of Ezhov et al. 2021, for a GPU.")
    ] = Arch.small,
    inputs: Annotated[
        SeesName | None,
        typer.Option(
            help="Inputs from the anatomy: diffusivity, as the solver has; tissue: white, gray and CSF; csf alone. "
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
            "--tumors", min=2, help="Tumours of each store to learn from. (default: all of the smallest, but a few)"
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most. (default: the network's)")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of weights, order and symmetries.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.cpu,
    restart: Annotated[bool, typer.Option("--restart", help="Train anew even where a network is there.")] = False,
) -> None:
    """Train a surrogate of the solver for any anatomy. Resumes if interrupted.

    It keeps all tumours in memory while it learns: about 100 KB each.
    """
    from ..learn.surrogate import SURROGATE_DESIGNS, SurrogateSettings
    from ..learn.surrogate import train_surrogate as train_network
    from ..store import open_store

    design = SURROGATE_DESIGNS[arch.value]
    seen = inputs.value if inputs else design.sees
    masked = design.masked and seen != "csf"  # the tissue is not to be known
    design = replace(design, sees=seen, masked=masked, loss=loss.value if loss else design.loss)
    settings = SurrogateSettings(design, seed, count, epochs, device.value)
    with training_bar() as shown:
        record = train_network(
            [open_store(store) for store in stores],
            file,
            settings,
            restart=restart,
            prepared=shown.prepared,
            on_step=shown.step,
            on_epoch=shown.epoch,
        )
    if not shown.epochs:
        say(f"{file}: nothing to do, such a network is trained already; --restart trains it anew")
        return
    if record["halved"]:
        say(f"the GPU's memory did not suffice: steps of {design.batch // 2 ** record['halved']} tumours instead")
    best = min(validation for _, validation in record["history"])
    say(
        f"{file}: trained in {record['seconds'] / 60:.1f} min, {len(record['history'])} epochs, validation loss "
        f"{best:.4f}, {record['weights'] / 1e6:.1f} million weights"
    )
