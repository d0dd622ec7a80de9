"""`gliodex forecast`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ..errors import InputError
from ..retrieval.imaging.choices import Space, labels_of
from ..retrieval.imaging.conventions import CONVENTIONS
from .console import complain, out, say, stages

_first, _later, _place, _learn = (
    partial(typer.Option, rich_help_panel=panel)
    for panel in ("The first image", "The follow-up", "The anatomy", "Learning")
)


def forecast(
    out_folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    follow_up_day: Annotated[float, _later(help="Days of the follow-up after the first image.")],
    forecast_days: Annotated[
        str, typer.Option(metavar="DAYS", help="Days after the first image to forecast, e.g. 60,90.")
    ],
    density: Annotated[
        Path | None, _first(help="Tumour cell density in [0, 1], such as density.nii.gz of a query.")
    ] = None,
    adc: Annotated[Path | None, _first(help="Apparent diffusion coefficient, instead of a density.")] = None,
    adc_mask: Annotated[Path | None, _first(help="Whole tumour at the first image, with --adc.")] = None,
    seg: Annotated[Path | None, _later(help="Segmentation of the follow-up with labels.")] = None,
    labels: Annotated[
        str | None,
        _later(metavar="NAME", help=f"What its labels mean: {', '.join(CONVENTIONS)}. (default: found out)"),
    ] = None,
    core_labels: Annotated[
        str | None,
        _later(metavar="LABELS", help="Labels of the T1Gd core, numbers or names, instead; `none` for no core."),
    ] = None,
    whole_labels: Annotated[
        str | None, _later(metavar="LABELS", help="Labels of the whole (FLAIR) tumor, with --core-labels.")
    ] = None,
    core_mask: Annotated[Path | None, _later(help="Core mask, instead of --seg.")] = None,
    whole_mask: Annotated[Path | None, _later(help="Whole-tumour mask, instead of --seg.")] = None,
    validation_scan: Annotated[
        list[str] | None,
        _later(
            metavar="DAY=SEG",
            help="Segmentation of another day to validate with, not used for the fit. May be repeated.",
        ),
    ] = None,
    wm: Annotated[Path | None, _place(help="Map of the patient's (or animal's) own white matter.")] = None,
    gm: Annotated[Path | None, _place(help="Map of grey matter, filled in under the tumour.")] = None,
    t1: Annotated[Path | None, _place(help="T1 to register the atlas to, instead.")] = None,
    t1c: Annotated[Path | None, _place(help="T1 with contrast, registered if there is no T1.")] = None,
    space: Annotated[Space | None, _place(help="Space of the images, if there is no MRI.")] = None,
    transform: Annotated[Path | None, _place(help="`transform` folder of a query, to reuse it.")] = None,
    atlas: Annotated[
        str, _place(metavar="NAME|DIR|FILE", help="Whose tissue is carried to the patient, see `build`.")
    ] = "icbm152",
    voxel_mm: Annotated[float, _place(help="Voxels to simulate on, mm; a rat's brain needs 0.2.")] = 2.0,
    diffusivity: Annotated[
        str | None,
        _learn(metavar="LOW,HIGH", help="Range of D, mm²/day. (default: as Ezhov et al. 2022)", show_default=False),
    ] = None,
    proliferation: Annotated[
        str | None, _learn(metavar="LOW,HIGH", help="Range of ρ, 1/day. (default: same)", show_default=False)
    ] = None,
    simulations_per_round: Annotated[int, _learn(help="Simulations of each round.")] = 250,
    rounds: Annotated[int, _learn(help="Rounds.")] = 4,
    seed: Annotated[int, _learn(min=0, help="Random seed.")] = 1,
) -> None:
    """Estimate a tumor's growth rates from two scans, and forecast later days with their uncertainty."""
    from ..retrieval.forecast import ForecastRequest, Ranges, run_forecast

    usual = Ranges()
    request = ForecastRequest(
        out_folder,
        follow_up_day,
        tuple(_number("--forecast-days", part) for part in forecast_days.split(",")),
        seg=seg,
        core_mask=core_mask,
        whole_mask=whole_mask,
        core_labels=labels_of("core_labels", core_labels),
        whole_labels=labels_of("whole_labels", whole_labels),
        labels=labels,
        density=density,
        adc=adc,
        adc_mask=adc_mask,
        seen=tuple(map(_scan, validation_scan or [])),
        wm=wm,
        gm=gm,
        t1=t1,
        t1c=t1c,
        space=space,
        transform=transform,
        atlas=atlas,
        voxel_mm=voxel_mm,
        ranges=Ranges(
            _range("--diffusivity", diffusivity) or usual.diffusivity,
            _range("--proliferation", proliferation) or usual.proliferation,
        ),
        simulations=simulations_per_round,
        rounds=rounds,
        seed=seed,
    )
    with stages() as announce:
        _, record = run_forecast(request, announce)
    show(record, out_folder)


def show(record: dict[str, Any], folder: Path) -> None:
    """Print the forecast in a few lines."""
    table = Table(box=None, pad_edge=False)
    for name in ("", "mean", "90 % from", "to"):
        table.add_column(name, justify="right")
    for name, label in _NAMES.items():
        one = record["credible_intervals"][name]
        table.add_row(label, *(f"{one[end]:.3g}" for end in ("mean", "low", "high")))
    out.print(table)
    for one in record["compared"]:
        for name in ("whole", "core"):
            seen = one[name]
            say(
                f"day {one['day']:g}, {name}: {_volume(seen['seen_ml'])} seen, {_volume(seen['expected_ml'])} expected "
                f"({_volume(seen['low_ml'])} to {_volume(seen['high_ml'])}), Dice {seen['dice']:.3f}"
            )
    last = {name: {end: values[-1] for end, values in v.items()} for name, v in record["volumes_ml"].items()}
    say(
        f"day {record['days'][-1]:g}: "
        + ", ".join(
            f"{name} {_volume(v['median'])} ({_volume(v['low'])} to {_volume(v['high'])})" for name, v in last.items()
        )
    )
    for warning in record["warnings"]:
        complain(f"warning: {warning}", "yellow")
    say(f"written to {folder}: forecast.png, forecast.json, and maps of each day")


_NAMES = {
    "diffusivity": "D mm²/day",
    "proliferation": "ρ 1/day",
    "threshold_core": "core at",
    "threshold_whole": "whole at",
}


def _volume(ml: float) -> str:
    return f"{ml:.1f} ml" if ml >= 1 else f"{1000 * ml:.1f} µl"


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{option} takes numbers, for example 60 or 60,90, not `{text}`") from None


def _range(option: str, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 2:
        raise InputError(f"{option} takes two numbers with a comma, for example 0.004,0.08, not `{text}`")
    return _number(option, parts[0]), _number(option, parts[1])


def _scan(text: str) -> tuple[float, Path]:
    day, _, path = text.partition("=")
    if not path:
        raise InputError(f"--validation-scan takes a day and a segmentation, for example 90=seg90.nii.gz, not `{text}`")
    return _number("--validation-scan", day), Path(path)
