"""The report: one self-contained page, and the picture in it on its own."""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from .answer import Answer
from .figure import CORE_COLOUR, WHOLE_COLOUR, draw


def write_report(
    answer: Answer, record: dict[str, Any], background: NDArray[np.float32], anatomy: str, folder: Path
) -> None:
    """Write report.png and report.html.

    Args:
        answer: what was found.
        record: its content of matches.json.
        background: anatomy on the patient's grid.
        anatomy: what the background is, in words.
        folder: where to.
    """
    picture = folder / "report.png"
    best = record["matches"][0]
    draw(
        answer,
        background,
        picture,
        f"tumour {best['id']} of {record['store']['tumours']:,} · Dice in the patient: whole "
        f"{answer.dice['whole']:.2f}, core {answer.dice['core']:.2f}",
    )
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string((files(__package__) / "templates" / "report.html").read_text(encoding="utf-8"))
    page = template.render(
        record=record,
        best=best,
        anatomy=anatomy,
        picture=base64.b64encode(picture.read_bytes()).decode(),
        core_colour=CORE_COLOUR,
        whole_colour=WHOLE_COLOUR,
        total_seconds=sum(record["seconds"].values()),
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
