"""`gliodex demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .build import build
from .console import say, stages
from .render import show


def demo(
    folder: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for everything.")] = Path("gliodex-demo"),
    count: Annotated[int, typer.Option(min=1, help="Tumours to simulate.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the synthetic patient.")] = 1,
) -> None:
    """Build a small store, make a synthetic patient whose truth is known, query, and compare."""
    import numpy as np

    from ..retrieval import QueryRequest, dice, run_query
    from ..retrieval.synthetic_patient import make_patient
    from ..store import open_store

    store = folder / "store"
    say(f"1. a store of {count:,} tumours simulated in the ICBM152 atlas")
    build(str(store), count, 0)
    say("2. a patient: the atlas's anatomy, smoothly deformed, with a tumour grown in it")
    snapshot = open_store(store)
    with stages() as announce:
        announce("making the patient")
        patient = make_patient(snapshot.atlas, seed)
        paths = patient.save(folder / "patient")
    mean, largest = patient.displacement_mm
    say(
        f"   anatomy displaced by {mean:.1f} mm on average, {largest:.1f} mm at most; "
        f"T1, segmentation and truth in {folder / 'patient'}"
    )
    say("3. the query: register the T1, search, bring the best match back")
    with stages() as announce:
        answer, record = run_query(
            QueryRequest(str(store), folder / "result", seg=paths["seg"], t1=paths["t1"]), announce
        )
    show(answer, record, folder / "result")
    error = float(np.abs(answer.density - patient.density)[patient.brain].mean())
    agreement = ", ".join(
        f"{dice(answer.density >= level, patient.density >= level):.2f} at {level:g}" for level in (0.05, 0.2, 0.6)
    )
    say(
        f"4. against the truth, which the query did not see: Dice of the density {agreement}; mean absolute error "
        f"{error:.4f} in the brain. A larger store comes closer."
    )
