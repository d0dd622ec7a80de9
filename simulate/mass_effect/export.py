"""What tumours of a store have made of the brain, as files: simulated again, kept they would take 30 times the room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import InputError
from ...store.nifti import save_image
from ...store.reader import TumorStore
from .settings import MASS_EFFECT, MassEffectSettings
from .solver import MassEffect

Deformer = Callable[[Path, Callable[[int, int], None]], None]
"""Writes what tumours have made of the brain to a folder, and tells how many are done."""


def deformer(store: TumorStore, ids: Sequence[int]) -> Deformer:
    """Prepare to deform a store's atlas as some of its tumours have.

    `tumour_{id}_white.nii.gz`, `_grey` and `_csf` are tissue fractions; `_displacement` is that of the elastic
    equations, RAS mm along the last axis, see `Deformation`.

    Raises:
        InputError: the store was built without mass effect, or with another version of it; or a tumour was not grown
            by it.
        UnknownTumourError, UnknownParametersError: see each.
    """
    if not str(store.manifest.model.get("model")).startswith(MASS_EFFECT):
        raise InputError(
            f"{store.path} was built without mass effect: its tumours leave the tissue as it is",
            hint="leave out ‹deformed›",
        )
    settings = MassEffectSettings.from_record(store.manifest.model, store.path, "leave out ‹deformed›")
    solver = MassEffect(store.atlas, settings)
    grown = {tumour: store.parameters(tumour) for tumour in ids}
    for tumour in grown:
        if store.provenance(tumour).get("kind") == "added":
            raise InputError(
                f"tumour {tumour} of {store.path} was added as a density: what it has made of the tissue is not known",
                hint="leave it out, or ‹deformed›",
            )

    def deform(folder: Path, progress: Callable[[int, int], None]) -> None:
        for done, (tumour, parameters) in enumerate(grown.items(), 1):
            found = solver.deform(parameters)
            for name in ("white", "grey", "csf"):
                path = folder / f"tumour_{tumour}_{name}.nii.gz"
                save_image(path, getattr(found, name), store.frame, f"gliodex tumour {tumour}, fraction of {name}")
            path = folder / f"tumour_{tumour}_displacement.nii.gz"
            save_image(path, found.displacement_mm, store.frame, f"gliodex tumour {tumour}, displacement, RAS mm")
            progress(done, len(grown))

    return deform
