"""`gliodex train lmi`: networks that tell growth from outlines."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from .build import Device
from .console import say
from .stores import StorePath
from .training_bar import training_bar


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


def train_lmi(
    store: StorePath,
    arch: Annotated[
        Arch,
        typer.Option(
            help="small trains on two cores; paper: the network of Ezhov et al. 2023, on all voxels, for a GPU."
        ),
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
        typer.Option(
            help="How growth is scaled: linear, as in Ezhov et al. 2023, or its logarithm. (default: the network's)"
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option("--tumors", min=2, help="Tumours to learn from. (default: all that there are, but a few)"),
    ] = None,
    learn_from: Annotated[
        str | None,
        typer.Option(metavar="STORE2", help="Another store of the same atlas to learn from. (default: STORE itself)"),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="At most; each outlines every tumour once, anew. (default: the network's)"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of weights, order and outlines.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.cpu,
    restart: Annotated[bool, typer.Option("--restart", help="Train anew even where a network is there.")] = False,
) -> None:
    """Train a network that predicts growth from outlines, for `--refine lmi`. Resumes if interrupted.

    It keeps all tumours in memory while it learns: 30 to 45 KB each.
    """
    from ..learn.lmi import GROWTH_DESIGNS, GrowthSettings, Targets, train_growth
    from ..store import open_store

    design = GROWTH_DESIGNS[arch.value]
    chosen = Targets(targets.value, scale.value if scale else design.scale)
    settings = GrowthSettings(design, chosen, seed, count, epochs, device.value)
    snapshot = open_store(store)
    with training_bar() as shown:
        record = train_growth(
            snapshot,
            settings,
            learn_from=learn_from,
            restart=restart,
            prepared=shown.prepared,
            on_step=shown.step,
            on_epoch=shown.epoch,
        )
    if not shown.epochs:
        say(f"{store}: nothing to do, such a network is trained already; --restart trains it anew")
        return
    if record["halved"]:
        say(f"the GPU's memory did not suffice: steps of {design.batch // 2 ** record['halved']} tumours instead")
    best = min(validation for _, validation in record["history"])
    say(
        f"{store}: lmi trained in {record['seconds'] / 60:.1f} min, {len(record['history'])} epochs, "
        f"validation loss {best:.3f}, {record['weights'] / 1e6:.1f} million weights"
    )
    if chosen == Targets(scale=design.scale):
        say(f"now `gliodex query {store} --refine lmi{f' --arch {arch.value}' if arch != Arch.small else ''} ...`")
