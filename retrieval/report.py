"""The report: one self-contained page, and the picture in it on its own."""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from .brain_figure import draw_brain
from .figure import CORE_COLOUR, WHOLE_COLOUR, draw
from .posterior_figure import draw_pairs, draw_uncertainty
from .refinement import Posterior
from .result import Answer


def write_report(
    answer: Answer,
    record: dict[str, Any],
    background: NDArray[np.float32],
    anatomy: str,
    maps: dict[str, NDArray[np.float32]],
    folder: Path,
) -> None:
    """Write report.png and report.html, and the posterior's uncertainty.png and posterior.png.

    Args:
        answer: what was found.
        record: its content of matches.json.
        background: anatomy on the patient's grid.
        anatomy: what the background is, in words.
        maps: of the posterior, on the patient's grid; see `write_images`.
        folder: where to.
    """
    picture = folder / "report.png"
    best = record["matches"][0]
    draw(
        answer,
        background,
        picture,
        f"{_what(record)} · Dice in the patient: whole {answer.dice['whole']:.2f}, core {answer.dice['core']:.2f}",
    )
    patient = answer.patient
    brain = folder / "brain.png"
    if patient.head is not None and patient.whole_head is not None:
        draw_brain(patient.whole_head, patient.head.brain, brain)
    further = {"uncertainty": folder / "uncertainty.png", "posterior": folder / "posterior.png"}
    draw_uncertainty(answer, background, maps, record["posterior"]["exceedance_level"], further["uncertainty"])
    draw_pairs(answer.posterior, further["posterior"])
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string((files(__package__) / "templates" / "report.html").read_text(encoding="utf-8"))
    page = template.render(
        record=record,
        best=best,
        anatomy=anatomy,
        picture=_embedded(picture),
        numbers=_numbers(answer.posterior),
        further={name: _embedded(path) for name, path in further.items()},
        brain=_embedded(brain) if patient.head is not None else None,
        core_colour=CORE_COLOUR,
        whole_colour=WHOLE_COLOUR,
        pushing=any(m["parameters"] and m["parameters"]["mass_effect"] for m in record["matches"]),
        total_seconds=sum(record["seconds"].values()),
    )
    (folder / "report.html").write_text(page, encoding="utf-8", errors="backslashreplace")


def _what(record: dict[str, Any]) -> str:
    best, tumours = record["matches"][0], record["store"]["tumours"]
    found = f"tumour {best['id']} of {tumours:,}"
    return f"refined from {found}" if record["refinement"] else found


def _numbers(posterior: Posterior) -> list[tuple[str, str, float]]:
    """Name, label and best value of each number that has a credible interval."""
    columns, _ = posterior.numbers()
    return [(name, label, float(columns[name][0])) for name, label in _LABELS.items() if name in columns]


_LABELS = {
    "seed_x_mm": "seed x, mm",
    "seed_y_mm": "seed y, mm",
    "seed_z_mm": "seed z, mm",
    "mu1_mm": "√(DT), mm",
    "mu2": "√(ρT)",
    "diffusivity": "D in white matter, mm²/day",
    "proliferation": "ρ, 1/day",
    "duration": "T, days",
    "mass_effect_kpa": "γ, pressure of the tumour, kPa",
    "threshold_core": "density at the core's outline",
    "threshold_whole": "density at the whole tumour's outline",
    "threshold_width": "width of both thresholds",
    "pet_scale": "PET signal where the density is 1",
    "pet_noise": "noise of the PET",
}


def _embedded(picture: Path) -> str:
    return base64.b64encode(picture.read_bytes()).decode()
