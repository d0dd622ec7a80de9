"""Tumours from elsewhere into a store, and tumours of a store out as NIfTI files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, OutputError
from .density import EncodedTumour
from .frame import Frame
from .nifti import Image, save_image
from .parameters import UNITS, GrowthParameters
from .reader import TumorStore
from .writer import writing

LARGEST_LOSS = 0.01
"""Share of an added density that may lie outside the store's frame."""


def add_density(
    path: str | Path, image: Image, parameters: GrowthParameters | None, provenance: dict[str, object]
) -> int:
    """Put a density computed elsewhere into a store, as a new version; returns its id.

    Args:
        path: folder of the store.
        image: density in [0, 1] in the world of the store's atlas; another grid is resampled linearly.
        parameters: what it was grown with, None where they are not known.
        provenance: where it comes from, kept with it.

    Raises:
        InputError: it is no density, shows no tumour, or lies outside the store's frame.
        NotAStoreError, StoreLockedError, OutputError, DamagedStoreError: see each.
    """
    with writing(path, "gliodex add") as writer:
        density = _on_frame(image, writer.frame)
        tumour = EncodedTumour.from_density(density, writer.frame, parameters, writer.manifest.thresholds)
        if not tumour.whole_ml:
            level = writer.manifest.thresholds["whole"]
            raise InputError(f"{image.path} shows no tumour: its density stays below {level}, up to {tumour.peak:.3f}")
        tumour_id = writer.manifest.next_id
        writer.commit_tumours([tumour], provenance, note=f"added {image.path.name}")
    return tumour_id


def export(
    store: TumorStore, ids: Sequence[int], folder: str | Path, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write tumours as `tumour_{id}.nii.gz` (float32 density on the store's frame), and `tumours.json` about them.

    Raises:
        UnknownTumourError, DamagedStoreError: see each; nothing is written then.
        InputError: the folder is a store.
        OutputError: the folder cannot be written to.
    """
    folder = Path(folder)
    if (folder / "manifests").is_dir():
        raise InputError(f"{folder} is a store", hint="give another folder with ‹out›")
    for tumour in ids:  # one that cannot be had is to be said before anything is written
        store.integers(tumour)
    facts, folded = [], set(store.folded.tolist())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for done, tumour in enumerate(ids, 1):
            parameters, name = store.known_parameters(tumour), f"tumour_{tumour}.nii.gz"
            save_image(folder / name, store.density(tumour), store.frame, f"gliodex tumour {tumour}, density 0 to 1")
            about = {"id": int(tumour), "file": name, "provenance": store.provenance(tumour)}
            about["folded"] = tumour in folded
            facts.append(about | {"parameters": parameters.as_record() if parameters else None})
            if progress:
                progress(done, len(ids))
        record = {
            "store": str(store.path),
            "version": store.version,
            "atlas": store.atlas.name,
            "thresholds": store.thresholds,
            "units": UNITS | {"mu1_mm": "mm", "mu2": "1"},
            "tumours": facts,
        }
        (folder / "tumours.json").write_text(json.dumps(record, indent=2))
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write to {folder}: {error.strerror or error}", hint="choose another folder"
        ) from error


def _on_frame(image: Image, frame: Frame) -> NDArray[np.float32]:
    data = image.data.astype(np.float32)
    if data.size and not (data.min() >= 0 and data.max() <= 1 + 1e-6):
        raise InputError(f"{image.path} holds values from {data.min():g} to {data.max():g}: a density lies in [0, 1]")
    if frame.same_as(image.frame):
        return data
    present = np.argwhere(data)
    place = frame.voxel(image.frame.world(present))
    inside = ((place > -0.5) & (place < np.array(frame.shape) - 0.5)).all(axis=-1)
    amounts = data[tuple(present.T)].astype(np.float64)
    if (lost := float(amounts[~inside].sum() / amounts.sum()) if len(present) else 0.0) > LARGEST_LOSS:
        raise InputError(
            f"{image.path}: {lost:.0%} of the tumour lies outside the store's frame",
            hint="is it in the space of the store's atlas?",
        )
    return np.clip(frame.resample(data, image.frame), 0, 1)
