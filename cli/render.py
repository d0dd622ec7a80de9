"""Answers to queries, in a few lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from ..errors import flagged
from .console import complain, out, say

if TYPE_CHECKING:
    from ..retrieval import Answer


def show(found: Answer, record: dict[str, Any], folder: Path) -> None:
    """Print the answer in a few lines."""
    from ..retrieval.outputs import summary_of

    best = record["matches"][0]
    there = record["patient_space"]
    for line in summary_of(found.patient):
        say(flagged(line))
    table = Table(box=None, pad_edge=False)
    pushing = any(m["parameters"] and m["parameters"]["mass_effect"] for m in record["matches"])
    names = ("rank", "tumour", "score", "whole", "core", "D mm²/day", "ρ 1/day", "T day", *(["γ kPa"] * pushing))
    for name in names:
        table.add_column(name, justify="right")
    for m in record["matches"][:5]:
        p = m["parameters"]
        known = ["-"] * (len(names) - 5)
        if p:
            known = [f"{p['diffusivity']:.3f}", f"{p['proliferation']:.4f}", f"{p['duration']:.0f}"]
            known += [f"{p['mass_effect'] / 1000:.1f}"] * pushing
        table.add_row(
            str(m["rank"]),
            str(m["id"]),
            f"{m['score']:.3f}",
            f"{m['dice_whole']:.3f}",
            f"{m['dice_core']:.3f}",
            *known,
        )
    out.print(table)
    if refined := record["refinement"]:
        say(
            f"refined ({refined['method']}, {refined['evaluations']} simulations in {refined['seconds']:.0f} s): Dice "
            f"sum in the patient {refined['before']['score']:.3f} before, {there['score']:.3f} now"
        )
        if kept := record["posterior"]["diagnostics"].get("kept"):
            say(f"kept: {_KEPT[kept]}")
    if record["settings"]["thresholds"] == "search" or refined:
        say("outlines at density " + ", ".join(f"{n} {record['thresholds'][n]:.3g}" for n in ("whole", "core")))
    say(
        f"in the patient: Dice whole {there['whole']:.3f}, core {there['core']:.3f}; "
        f"{record['outside_brain']['share']:.0%} of the whole tumour outside the atlas's brain"
    )
    for warning in found.warnings:
        complain(f"warning: {flagged(warning)}", "yellow")
    say(f"tumour {best['id']} of {record['store']['tumours']:,} written to {folder}: open {folder / 'report.html'}")


_KEPT = {
    "match": "the best match",
    "network": "what the network told",
    "draw": "a draw of the network's doubt",
    "middle": "the middle of the best draws of the network's doubt",
}


def show_several(compared: dict[str, Any], answers: dict[str, tuple[Answer, dict[str, Any]]], folder: Path) -> None:
    """Print the answers of several stores, and which is closest."""
    for name, (found, record) in answers.items():
        out.print(f"{name}", style="bold", highlight=False, markup=False)
        show(found, record, folder / name)
        out.print()
    table = Table(box=None, pad_edge=False)
    for column in ("store", "model", "tumours", "best match", "answer"):
        table.add_column(column, justify="left" if column in ("store", "model") else "right")
    for name, row in compared["stores"].items():
        table.add_row(name, row["model"], f"{row['tumours']:,}", f"{row['matched']:.3f}", f"{row['score']:.3f}")
    out.print(table)
    say(f"Dice sums in the patient; {compared['best']} is the closest. One patient says little of a growth model:")
    say("`gliodex bench plausibility` compares stores over many")
