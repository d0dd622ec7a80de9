"""`gliodex add`, `delete`, `export` and `history`: single tumours and versions of a store."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from ..errors import InputError
from .console import counting, out, say
from .stores import StoreFolder, StorePath

if TYPE_CHECKING:
    from ..store import GrowthParameters

Ids = Annotated[str, typer.Argument(metavar="IDS", help="Ids of tumours, e.g. 7 or 3,8,100-199.")]


def add(
    store: StoreFolder,
    source: Annotated[str, typer.Option(help="Where it comes from; kept with the tumour.")],
    density: Annotated[
        Path | None, typer.Option(help="Density in atlas space, NIfTI, 0 to 1. Without it the tumour is simulated.")
    ] = None,
    origin: Annotated[str | None, typer.Option(metavar="X,Y,Z", help="Where growth started, mm of the atlas.")] = None,
    diffusivity: Annotated[float | None, typer.Option(help="D_w in white matter, mm²/day.")] = None,
    proliferation: Annotated[float | None, typer.Option(help="rho, 1/day.")] = None,
    duration: Annotated[float | None, typer.Option(help="T, days.")] = None,
    mass_effect: Annotated[
        float | None, typer.Option(help="Mass-effect strength gamma, Pa; of stores with mass effect. (default: 0)")
    ] = None,
) -> None:
    """Add a tumor to a store: a density, parameters to simulate, or a density with its parameters."""
    from ..index import build_index
    from ..simulate import add_simulated
    from ..store import open_store
    from ..store.exchange import add_density
    from ..store.nifti import load_image

    parameters = _parameters(origin, diffusivity, proliferation, duration, mass_effect)
    if density is None and parameters is None:
        raise InputError("give --density, or --origin, --diffusivity, --proliferation and --duration, or all of them")
    build_index(open_store(store))  # a damaged index is to be said before the store has changed
    if density is not None:
        _check_mass_effect(store, mass_effect)
        added = add_density(store, load_image(density), parameters, {"kind": "added", "source": source})
    else:
        assert parameters is not None
        (added,) = add_simulated(store, [parameters], {"kind": "simulated on request", "source": source})
    snapshot = open_store(store)
    build_index(snapshot)
    say(f"{store}: added tumour {added}; it now holds {len(snapshot):,}, version {snapshot.version}")


def _check_mass_effect(path: str, mass_effect: float | None) -> None:
    from ..simulate import MassEffectSettings, pushes, settings_of
    from ..store import open_store

    model = open_store(path).manifest.model
    if not mass_effect:
        return
    if not pushes(model):
        raise InputError(f"{path} was built without mass effect", hint="leave out --mass-effect")
    settings = settings_of(model, path, "add to it with the gliodex that built it")
    assert isinstance(settings, MassEffectSettings)
    settings.check(mass_effect)


def delete(store: StoreFolder, ids: Ids, note: Annotated[str, typer.Option(help="Why, for the history.")] = "") -> None:
    """Publish a version without some tumours. Older versions keep them until gc; their ids are never used again."""
    from ..store import writing

    wanted = _ids(ids)
    with writing(store, "gliodex delete") as writer:
        writer.delete(wanted, note)
        manifest = writer.manifest
    say(f"{store}: {len(wanted)} tumours deleted; it now holds {manifest.count:,}, version {manifest.version}")


def export(
    store: StorePath,
    ids: Ids,
    out_folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to.")],
    deformed: Annotated[
        bool,
        typer.Option(
            "--deformed", help="With the tissue as each has pushed it, and by how much; of stores with mass effect."
        ),
    ] = False,
) -> None:
    """Write tumours as NIfTI densities, with their parameters in tumours.json."""
    from ..simulate.mass_effect.export import deformer
    from ..store import open_store
    from ..store.exchange import export as export_tumours

    wanted, opened = _ids(ids), open_store(store)
    deform = deformer(opened, wanted) if deformed else None
    with counting("writing") as progress:
        export_tumours(opened, wanted, out_folder, progress)
    if deform:
        with counting("deforming") as progress:
            deform(out_folder, progress)
    say(f"{len(wanted)} tumours written to {out_folder}")


def versions(
    store: StoreFolder, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON list.")] = False
) -> None:
    """List the versions of a store that can be read, newest first: STORE@3 is version 3."""
    from ..store import Manifest
    from ..store.locations import files_at

    versions = Manifest.history(files_at(store))[::-1]
    if as_json:
        keys = ("version", "count", "committed", "software", "note")
        typer.echo(json.dumps([{key: getattr(m, key) for key in keys} for m in versions], indent=1))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("version", justify="right")
    table.add_column("tumours", justify="right")
    table.add_column("committed (UTC)", no_wrap=True)
    table.add_column("why", overflow="fold")
    for m in versions:
        table.add_row(str(m.version), f"{m.count:,}", m.committed[:19].replace("T", " "), Text(m.note))
    out.print(table)


def _parameters(
    seed: str | None,
    diffusivity: float | None,
    proliferation: float | None,
    duration: float | None,
    mass_effect: float | None,
) -> GrowthParameters | None:
    from ..store import GrowthParameters

    if all(value is None for value in (seed, diffusivity, proliferation, duration, mass_effect)):
        return None
    if seed is None or diffusivity is None or proliferation is None or duration is None:
        raise InputError("give all of --origin, --diffusivity, --proliferation and --duration, or none of them")
    try:
        x, y, z = (float(part) for part in seed.split(","))
    except ValueError:
        raise InputError(f"--origin takes three numbers with commas, for example 30,-20,20, not `{seed}`") from None
    return GrowthParameters((x, y, z), diffusivity, proliferation, duration, mass_effect or 0.0)


def _ids(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]+)(?:-([0-9]+))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise InputError(f"IDS are whole numbers and ranges with commas, for example 3,8,100-199, not `{text}`")
        if last - first >= _MOST_IDS:
            raise InputError(f"IDS `{text}` are more than {_MOST_IDS:,} tumours: more than a store holds")
        found += range(first, last + 1)
    return list(dict.fromkeys(found))


_MOST_IDS = 10_000_000
