"""`gliodex info`, `index`, `verify` and `gc`."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table

from ..errors import DamagedStoreError
from ..index.index_names import FaissIndex
from .console import counting, out, say

StorePath = Annotated[str, typer.Argument(metavar="STORE", help="Folder of the store; STORE@3 is its version 3.")]
StoreFolder = Annotated[str, typer.Argument(metavar="STORE", help="Folder of the store, or its s3:// URL.")]


class Preparation(StrEnum):
    """All that can be prepared for searching: `PREPARED`."""

    dice = "dice"
    ds64 = "ds64"
    ds32 = "ds32"
    thresholds = "thresholds"
    radiomics = "radiomics"
    ae = "ae"
    vae = "vae"
    hash = "hash"


def info(
    store: StorePath, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False
) -> None:
    """Summarize a store."""
    from ..simulate import described
    from ..store import open_store

    snapshot = open_store(store)
    manifest = snapshot.manifest
    size = sum(segment.bytes for segment in snapshot.segments)
    derived = sum(p.stat().st_size for p in snapshot.derived.rglob("*") if p.is_file())
    facts = {
        "path": str(snapshot.path),
        "count": len(snapshot),
        "folded": len(snapshot.folded),
        "version": snapshot.version,
        "segments": len(snapshot.segments),
        "bytes": size,
        "bytes_per_tumour": round(size / len(snapshot)) if len(snapshot) else 0,
        "derived_bytes": derived,
        "atlas": manifest.atlas["name"],
        "frame": manifest.frame,
        "model": manifest.model,
        "thresholds": manifest.thresholds,
        "campaigns": {
            key: {"seed": c.seed, "count": c.count, "draws": c.draws, "snapshots": c.prior.get("snapshots", 0)}
            for key, c in manifest.campaigns.items()
        },
        "committed": manifest.committed,
        "software": manifest.software,
        "schema": manifest.schema,
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("tumours", f"{len(snapshot):,} in {len(snapshot.segments)} segments")
    if folded := facts["folded"]:
        table.add_row("", f"{folded:,} have folded the tissue: `gliodex query --include-folded` finds them")
    table.add_row("version", f"{snapshot.version}, committed {manifest.committed} by {manifest.software}")
    table.add_row(
        "size",
        f"{size / 1e6:,.1f} MB ({facts['bytes_per_tumour']:,} bytes a tumour), index {derived / 1e6:,.1f} MB",
    )
    table.add_row(
        "atlas",
        f"{manifest.atlas['name']}, {' x '.join(map(str, snapshot.frame.shape))} voxels of "
        f"{snapshot.frame.spacing[0]:g} mm",
    )
    table.add_row("model", described(manifest.model))
    for key, campaign in manifest.campaigns.items():
        stages = f", {kept} earlier stages of each" if (kept := campaign.prior.get("snapshots")) else ""
        table.add_row("campaign", f"{key}: {campaign.count:,} tumours of {campaign.draws:,} draws{stages}")
    out.print(table)


def index(
    store: StorePath,
    name: Annotated[
        Preparation, typer.Option("--index", metavar="INDEX", help=f"Index to build: {', '.join(Preparation)}.")
    ] = Preparation.dice,
    faiss_index: Annotated[
        FaissIndex, typer.Option(help="For ae and vae: hnsw builds its graph, too; the others need nothing more.")
    ] = "flat",
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make it anew, for example after damage.")] = False,
) -> None:
    """Prepare a store for searching; only new segments are read."""
    from ..index import prepare
    from ..store import open_store

    snapshot = open_store(store)
    with counting("indexing") as progress:
        prepare(snapshot, name.value, engine=faiss_index, rebuild=rebuild, progress=progress)
    say(f"{store}: {name.value} index of {len(snapshot):,} tumours is ready")


def verify(
    store: StorePath, full: Annotated[bool, typer.Option("--full", help="Read and check every byte.")] = False
) -> None:
    """Verify a store's checksums; exits with 2 if it is damaged."""
    from ..index import verify_methods
    from ..learn.lmi import verify_growth_networks
    from ..store import open_store
    from ..store import verify as verify_store

    snapshot = open_store(store)
    with counting("verifying") as progress:
        found = verify_store(snapshot, full=full, progress=progress)
    found += verify_methods(snapshot) + verify_growth_networks(snapshot)
    for line in found:
        typer.echo(line)
    if found:
        raise DamagedStoreError(
            f"{store}: {len(found)} damaged (listed above)", hint="restore from a copy or build anew"
        )
    depth = "every byte" if full else "structure, sizes and tables; --full reads every byte"
    say(f"{store}: {len(snapshot):,} tumours in version {snapshot.version} are sound ({depth})")


def gc(
    store: StoreFolder,
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest versions stay readable.")] = 1,
    keep_days: Annotated[
        float, typer.Option(min=0, help="Versions that were the newest within so many days stay readable too.")
    ] = 0,
) -> None:
    """Delete old versions and what killed builds left."""
    from ..store import collect_garbage

    files, freed = collect_garbage(store, keep, keep_days)
    say(f"{store}: {files} files deleted, {freed / 1e6:.1f} MB freed")
