"""How often the convention of a label map is found out rightly from how its labels lie.

    python benchmarks/labels.py PATIENTS

PATIENTS holds a folder a patient with seg.nii.gz in BraTS labels (1, 2 and 4, or 3 for 4; of BraTS 2013 also 3, which
is joined to 1). Each map is cropped and relabelled into every convention, into maps that lack a label, and in all 48
ways to number the three tissues by 1 to 4: the necrosis labelled, joined to the enhancing tumor, or left unlabelled. A
reading is wrong where a mask differs from the true one by more than 3 % of the true volume.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from record import keep

from gliodex.errors import InputError
from gliodex.retrieval import from_labels

NECROSIS, OEDEMA, ENHANCING = "necrosis", "oedema", "enhancing"
BRATS = {NECROSIS: 1, OEDEMA: 2, ENHANCING: 4}
# Values by tissue; a tissue that is not named is left unlabelled. A cavity is no tumor.
MAPS: dict[str, dict[str, int]] = {
    "BraTS 2017-2021 {1, 2, 4}": BRATS,
    "BraTS 2023 {1, 2, 3}": {NECROSIS: 1, OEDEMA: 2, ENHANCING: 3},
    "MSD {1, 2, 3}": {OEDEMA: 1, NECROSIS: 2, ENHANCING: 3},
    "DeepBraTumIA {1, 2, 3}": {ENHANCING: 1, NECROSIS: 2, OEDEMA: 3},
    "paediatric {1, 2, 4}": {ENHANCING: 1, NECROSIS: 2, OEDEMA: 4},
    "GliODIL {1, 3, 4}": {NECROSIS: 1, OEDEMA: 3, ENHANCING: 4},
    "HD-GLIO {1, 2}, necrosis in 2": {OEDEMA: 1, ENHANCING: 2, NECROSIS: 2},
    "HD-GLIO {1, 2}, necrosis unlabelled": {OEDEMA: 1, ENHANCING: 2},
    "BraTS {2, 4}, necrosis in 4": {OEDEMA: 2, ENHANCING: 4, NECROSIS: 4},
    "BraTS {2, 4}, necrosis unlabelled": {OEDEMA: 2, ENHANCING: 4},
    "BraTS 2023 {2, 3}, necrosis in 3": {OEDEMA: 2, ENHANCING: 3, NECROSIS: 3},
    "BraTS {1, 2}, all core in 1": {NECROSIS: 1, ENHANCING: 1, OEDEMA: 2},
    "BraTS {1, 4}, no oedema": {NECROSIS: 1, ENHANCING: 4},
    "BraTS 2023 {1, 3}, no oedema": {NECROSIS: 1, ENHANCING: 3},
    "MSD {1, 3}, necrosis unlabelled": {OEDEMA: 1, ENHANCING: 3},
    "DeepBraTumIA {1, 3}, necrosis unlabelled": {ENHANCING: 1, OEDEMA: 3},
    "paediatric {1, 2}, an enhancing rim, no oedema": {ENHANCING: 1, NECROSIS: 2},
    "paediatric {2, 4}, all core in 2": {NECROSIS: 2, ENHANCING: 2, OEDEMA: 4},
    "paediatric {1, 4}, all core in 1": {NECROSIS: 1, ENHANCING: 1, OEDEMA: 4},
    "BraTS 2024 {2, 3, 4}, necrosis as 4": {OEDEMA: 2, ENHANCING: 3, "cavity": 4},
    "GliODIL {3, 4}, all core in 4": {OEDEMA: 3, ENHANCING: 4, NECROSIS: 4},
}
TOLERANCE = 0.03


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patients", type=Path)
    arguments = parser.parse_args()
    patients = [tissues_of(path) for path in sorted(arguments.patients.glob("*/seg.nii.gz"))]
    maps = {name: counted(patients, [values]) for name, values in MAPS.items()}
    for name, counts in maps.items():
        print(f"{name}: {counts}", flush=True)
    figures = {"patients": len(patients), "maps": maps, "all numberings": counted(patients, numberings())}
    keep("labels", figures, "python benchmarks/labels.py PATIENTS")


def tissues_of(path: Path) -> tuple[dict[str, NDArray[np.bool_]], NDArray[np.float64]]:
    """Masks by tissue, cropped, and their affine."""
    image = nib.load(path)
    labels = np.asarray(image.dataobj).astype(np.uint8)
    if 4 not in labels:
        labels[labels == 3] = 4
    labels[labels == 3] = 1
    cropped = labels[tuple(slice(max(a.min() - 3, 0), a.max() + 4) for a in np.nonzero(labels))]
    masks = {tissue: cropped == value for tissue, value in BRATS.items()}
    return masks | {"cavity": masks[NECROSIS]}, image.affine


def numberings() -> list[dict[str, int]]:
    """All ways to number three tissues, or two with the necrosis joined or unlabelled, by 1 to 4."""
    three = [dict(zip(BRATS, values, strict=True)) for values in itertools.permutations(range(1, 5), 3)]
    two = list(itertools.permutations(range(1, 5), 2))
    joined = [{OEDEMA: a, ENHANCING: b, NECROSIS: b} for a, b in two]
    return three + joined + [{OEDEMA: a, ENHANCING: b} for a, b in two]


def counted(
    patients: list[tuple[dict[str, NDArray[np.bool_]], NDArray[np.float64]]], maps: list[dict[str, int]]
) -> dict[str, int]:
    """Count how maps are read."""
    counts = dict.fromkeys(("right", "right, warned", "refused", "wrong, warned", "wrong"), 0)
    for (masks, affine), values in itertools.product(patients, maps):
        counts[read(masks, affine, values)] += 1
    return counts


def read(masks: dict[str, NDArray[np.bool_]], affine: NDArray[np.float64], values: dict[str, int]) -> str:
    """Relabel one patient, read the map, and say how that went."""
    labels = np.zeros(masks[NECROSIS].shape, np.uint8)
    for tissue, value in values.items():
        labels[masks[tissue]] = value
    core = np.any([masks[tissue] for tissue in values if tissue in (NECROSIS, ENHANCING)], axis=0)
    whole = core | masks[OEDEMA] if OEDEMA in values else core
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "seg.nii.gz"
        nib.save(nib.Nifti1Image(labels, affine), path)
        try:
            found = from_labels(path)
        except InputError:
            return "refused"
    right = all(
        np.count_nonzero(mine != true) <= TOLERANCE * np.count_nonzero(true)
        for mine, true in ((found.core, core), (found.whole, whole))
    )
    return ("right" if right else "wrong") + (", warned" if found.warnings else "")


if __name__ == "__main__":
    main()
