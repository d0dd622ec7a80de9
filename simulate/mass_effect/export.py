"""What tumours of a store have made of the brain, as files: simulated again, kept they would take 30 times the room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ...errors import InputError
from ...store.nifti import save_image
from ...store.reader import TumorStore
from .settings import MASS_EFFECT, MassEffectSettings
from .solver import MassEffect

Deformer = Callable[[Sequence[int], Path, Callable[[int, int], None]], None]
"""Writes what the tumours of these ids have made of the brain to a folder, and tells how many are done."""


def deformer(store: TumorStore) -> Deformer:
    """Prepare to deform a store's atlas as its tumours have.

    `tumour_{id}_white.nii.gz`, `_grey` and `_csf` are tissue fractions; `_displacement` says how far what is there now
    has come, RAS mm along the last axis.

    Raises:
        InputError: the store was built without mass effect, or with another version of it.
    """
    if not str(store.manifest.model.get("model")).startswith(MASS_EFFECT):
        raise InputError(
            f"{store.path} was built without mass effect: its tumours leave the tissue as it is; leave out --deformed"
        )
    settings = MassEffectSettings.from_record(store.manifest.model, store.path, "leave out --deformed")
    solver = MassEffect(store.atlas, settings)

    def deform(ids: Sequence[int], folder: Path, progress: Callable[[int, int], None]) -> None:
        for done, tumour in enumerate(ids, 1):
            found = solver.deform(store.parameters(tumour))
            for name in ("white", "grey", "csf"):
                path = folder / f"tumour_{tumour}_{name}.nii.gz"
                save_image(path, getattr(found, name), store.frame, f"gliodex tumour {tumour}, fraction of {name}")
            path = folder / f"tumour_{tumour}_displacement.nii.gz"
            save_image(path, found.displacement_mm, store.frame, f"gliodex tumour {tumour}, displacement, RAS mm")
            progress(done, len(ids))

    return deform
