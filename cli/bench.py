"""`gliodex bench retrieval`, `refinement`, `lmi`, `surrogate` and `plausibility`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..retrieval.imaging.choices import Space
from .build import Device
from .console import counting_stages, say

Stores = Annotated[
    list[str],
    typer.Argument(
        metavar="STORE",
        help="Folder of the store; STORE@3 is its version 3. Several, such as of both growth models: each is asked, "
        "and its results are in a folder of its name.",
    ),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")]
CohortSpace = Annotated[Space, typer.Option(help="Space that the patients are in; BraTS cases are in sri24.")]


def bench(
    stores: Stores,
    out_folder: Out,
    cohort: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Cohort to search for, too: a folder a patient, each with a seg.nii.gz of BraTS labels."
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Compare only these methods with exact search. (default: all that are ready)"),
    ] = None,
    n_test: Annotated[int, typer.Option(min=1, help="Held-out simulations to search for.")] = 1000,
    n_perturbed: Annotated[
        int | None,
        typer.Option(min=1, help="Held-out simulations to search for with perturbed masks, too. (default: 400)"),
    ] = None,
    n_reference: Annotated[
        int, typer.Option(min=0, help="Tumors to time the reference implementation with; 0 leaves it out.")
    ] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the held-out simulations.")] = 3,
    space: CohortSpace = "sri24",
) -> None:
    """Compare retrieval methods: accuracy against runtime, beside the table of Ezhov et al. (2022)."""
    from ..evaluation import BenchRequest, compare, over_stores, ready_to_compare  # matplotlib takes a second

    chosen = tuple(name.strip() for name in methods.split(",")) if methods else ()

    def asking(store: str, out: Path) -> BenchRequest:
        return BenchRequest(store, out, n_test, n_perturbed, cohort, space, chosen, seed, n_reference)

    with counting_stages() as announce:
        over_stores(stores, out_folder, asking, ready_to_compare, compare, announce)
    typer.echo((out_folder / "table.md").read_text())
    _say_where(stores, out_folder, "bench.jsonl, table.md, accuracy_against_time.png")


def bench_refine(
    stores: Stores,
    out_folder: Out,
    n_synthetic: Annotated[
        int,
        typer.Option(min=2, help="Held-out simulations to refine; half of them are simulated on a finer grid, too."),
    ] = 100,
    cohort: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Cohort to refine too: a folder a patient, each with a seg.nii.gz."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the held-out simulations.")] = 3,
    space: CohortSpace = "sri24",
    stages: Annotated[
        str,
        typer.Option(
            metavar="A,B", help="Refinement methods to compare: local (half a minute each), tmcmc, npe (minutes)."
        ),
    ] = "local",
    correlation_length_mm: Annotated[
        float | None,
        typer.Option(metavar="MM", help="Distance over which errors of the images are correlated (tmcmc)."),
    ] = None,
) -> None:
    """Measure refinement: Dice, errors, coverage and time on synthetic ground truth and patients."""
    from ..evaluation import StagesRequest, compare_stages, over_stores, ready_for_stages, refined_against

    chosen = tuple(name.strip() for name in stages.split(","))

    def asking(store: str, out: Path) -> StagesRequest:
        return StagesRequest(
            store, out, n_synthetic, cohort, space, seed, chosen, correlation_length_mm=correlation_length_mm
        )

    with counting_stages() as announce:
        over_stores(stores, out_folder, asking, ready_for_stages, compare_stages, announce, refined_against)
    typer.echo((out_folder / "table.md").read_text())
    _say_where(stores, out_folder, "stages.jsonl, table.md")


def bench_lmi(
    stores: Stores,
    out_folder: Out,
    n_test: Annotated[int, typer.Option(min=2, help="Held-out simulations to predict.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of these, and of their outlines.")] = 3,
    n_posterior_samples: Annotated[
        int, typer.Option(min=0, help="Posterior samples to simulate per case for the re-ranked row; 0 skips it.")
    ] = 48,
) -> None:
    """Measure networks that predict growth, beside the table of Ezhov et al. (2023) and the store's nearest tumours."""
    from ..evaluation import GrowthBenchRequest, compare_growth_networks, over_stores, ready_for_networks

    def asking(store: str, out: Path) -> GrowthBenchRequest:
        return GrowthBenchRequest(store, out, n_test, seed, n_posterior_samples)

    with counting_stages() as announce:
        over_stores(stores, out_folder, asking, ready_for_networks, compare_growth_networks, announce)
    typer.echo((out_folder / "table.md").read_text())
    _say_where(stores, out_folder, "lmi.jsonl, table.md, error_by_growth.png")


def _say_where(stores: list[str], folder: Path, files: str) -> None:
    several = "" if len(stores) == 1 else "table.md, and of each store, in a folder of its name, "
    say(f"written to {folder}: {several}{files}")


def bench_surrogate(
    stores: Annotated[
        list[str],
        typer.Argument(metavar="STORE", help="Stores of held-out anatomies, each of its own."),
    ],
    out_folder: Out,
    networks: Annotated[
        list[Path] | None,
        typer.Option(
            "--network",
            metavar="FILE",
            help="Of `gliodex train surrogate`; repeatable. (default: small, which comes with gliodex)",
            show_default=False,
        ),
    ] = None,
    tumors: Annotated[int, typer.Option(min=2, help="Tumours of each store.")] = 400,
    atlas: Annotated[
        str, typer.Option(metavar="NAME|DIR|FILE", help="Anatomy that the solver runs in for comparison.")
    ] = "icbm152",
    device: Annotated[Device, typer.Option(help="Where networks run.")] = Device.cpu,
) -> None:
    """Measure a surrogate of the solver, beside the figures of Ezhov et al. (2021) and the solver in an atlas."""
    from ..evaluation import SurrogateBenchRequest, compare_surrogates

    with counting_stages() as announce:
        request = SurrogateBenchRequest(
            tuple(networks or [Path("small")]), tuple(stores), out_folder, tumors, atlas, device.value
        )
        rows = compare_surrogates(request, announce)
    compared, asked = len({(row["anatomy"], row["tumour"]) for row in rows}), len(stores) * tumors
    typer.echo((out_folder / "table.md").read_text())
    if compared < asked:
        say(f"{asked - compared} of {asked} tumours grew as no network here has learned, and were left out")
    say(f"written to {out_folder}: surrogate.jsonl, table.md, histograms.png, growth.png")


def plausibility(
    stores: Annotated[
        list[str], typer.Argument(metavar="STORE", help="Stores; the others are compared with the first.")
    ],
    cohort: Annotated[
        Path, typer.Option(metavar="DIR", help="A folder a patient, each with a seg.nii.gz of BraTS labels.")
    ],
    out_folder: Out,
    space: CohortSpace = "sri24",
    n_test: Annotated[
        int, typer.Option(min=0, help="Held-out simulations of each store's own growth model, besides.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of these.")] = 3,
) -> None:
    """Measure how closely the best tumors of a store resemble patients: how plausible its growth model is."""
    from ..evaluation import plausibility as compare_with_patients

    with counting_stages() as announce:
        compare_with_patients(stores, cohort, out_folder, space, announce, n_test, seed)
    typer.echo((out_folder / "table.md").read_text())
    say(f"written to {out_folder}: plausibility.jsonl, table.md, plausibility.png")
