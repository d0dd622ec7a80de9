"""`gliodex build`."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InputError, NotAStoreError
from ..simulate.settings import DEFAULT_ATLAS
from .console import bar, complain, counting, say

if TYPE_CHECKING:
    from ..simulate import BuildReport, ModelSettings
    from ..store import Atlas


class Device(StrEnum):
    """Where to simulate."""

    cpu = "cpu"
    cuda = "cuda"


class Model(StrEnum):
    """Growth models: `MODELS`."""

    fk = "fk"
    mass_effect = "mass-effect"


class Elasticity(StrEnum):
    """Forms of the elastic equations: `FORMS`."""

    textbook = "textbook"
    as_published = "as-published"


class PriorName(StrEnum):
    """Which growth: `PRIORS`."""

    store = "store"
    ezhov2021 = "ezhov2021"


def build(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Folder of the store, or its s3:// URL; made if it does not exist.")
    ],
    count: Annotated[int, typer.Option(min=1, help="Tumours that this campaign shall have in the store.")],
    seed: Annotated[int, typer.Option(min=0, help="Names the campaign: another seed adds other tumours.")] = 0,
    snapshots: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Tumours to keep of each simulation besides its end, at earlier, smaller stages. (default: 0; 4 for "
            "more than 100,000 tumours)",
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores by default.")] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="tcp://...", help="Dask cluster whose workers simulate; they must see STORE too."),
    ] = None,
    device: Annotated[
        Device, typer.Option(help="cuda: simulate on the NVIDIA GPU of this machine, many tumours at once.")
    ] = Device.cpu,
    atlas: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR|FILE",
            help=f"Where tumours grow: {DEFAULT_ATLAS} (default for a new store), a folder with t1, wm, gm, csf or "
            "tissues NIfTIs, or a tissue label file.",
        ),
    ] = None,
    model: Annotated[
        Model | None,
        typer.Option(
            help="How tumours grow: fk, Fisher-Kolmogorov; mass-effect, in which they push tissue aside, too. "
            "(default: the store's own, fk for a new one)",
            show_default=False,
        ),
    ] = None,
    elasticity: Annotated[
        Elasticity | None,
        typer.Option(
            help="Of --model mass-effect: the textbook's equations, or those of the published code. (default: "
            "textbook)",
            show_default=False,
        ),
    ] = None,
    prior: Annotated[
        PriorName,
        typer.Option(
            help="Ranges of growth: store, of sizes that tumours have (Ezhov et al. 2022); ezhov2021, slower and of "
            "any size, for surrogates (Ezhov et al. 2021)."
        ),
    ] = PriorName.store,
) -> None:
    """Simulate tumours into a store. Resumes if interrupted; does nothing once COUNT is reached."""
    from ..index import build_index
    from ..simulate import PRIORS, load_atlas
    from ..simulate import build as build_store
    from ..store import open_store

    settings = _settings(store, model, elasticity)
    where = _existing_atlas(store) if atlas is None else load_atlas(atlas)
    with bar("speed") as shown:
        task = shown.add_task("simulating", total=count, speed="")

        def show(report: BuildReport) -> None:
            speed = f"{report.per_second:.0f}/s, {report.accepted_share:.0%} of draws kept"
            shown.update(task, completed=report.count, speed=speed)

        report = build_store(
            store,
            count,
            seed,
            where,
            prior=PRIORS[prior.value],
            settings=settings,
            snapshots=snapshots,
            workers=workers,
            scheduler=scheduler,
            device=device.value,
            progress=show,
        )
    snapshot = open_store(store)
    with counting("indexing") as progress:
        build_index(snapshot, progress=progress)
    if report.added:
        say(
            f"{store}: {report.added:,} tumours added in {report.seconds:.0f} s ({report.per_second:.0f}/s, "
            f"{report.accepted_share:.0%} of draws kept); it now holds {len(snapshot):,}, version {snapshot.version}"
        )
        if report.unsolved:
            complain(f"note: the equations of {report.unsolved:,} draws could not be solved: left out", "yellow")
    else:
        say(f"{store}: nothing to do, the campaign has {report.count:,} tumours; it holds {len(snapshot):,}")


def _settings(store: str, model: Model | None, elasticity: Elasticity | None) -> ModelSettings:
    """Choices of the model that is asked for; those of the store where none is."""
    from ..simulate import FisherKolmogorovSettings, MassEffectSettings, settings_of
    from ..store import Manifest
    from ..store.locations import files_at

    if model is Model.mass_effect:
        published = elasticity is Elasticity.as_published
        return MassEffectSettings(form="as_published" if published else "textbook")
    if elasticity is not None:
        raise InputError("--elasticity is for --model mass-effect")
    if model is None:
        with contextlib.suppress(NotAStoreError):
            return settings_of(Manifest.load(files_at(store)).model, store, "build another store")
    return FisherKolmogorovSettings()


def _existing_atlas(store: str) -> Atlas:
    """Return the atlas of an existing store; the default one for a new store."""
    from ..simulate import load_atlas
    from ..store import Manifest, open_store
    from ..store.locations import files_at

    try:
        Manifest.versions(files_at(store))
    except NotAStoreError:
        return load_atlas()
    return open_store(store).atlas
