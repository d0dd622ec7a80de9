"""Accuracy of brain extraction in whole heads, and the margin by which heads and extracted brains are distinguished.

    python benchmarks/whole_head.py WHOLE_HEAD [--patients PATIENTS]

WHOLE_HEAD holds t1_native, t1c_native and flair_native with the skull, and t1_sri24_stripped and brain_mask_sri24 (by
HD-BET) on the BraTS grid. A rigid registration of each native brain to the stripped T1 carries the masks over. PATIENTS
holds a folder a patient with skull-stripped t1, t1c and flair.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from record import keep

from gliodex.retrieval.imaging.ants_transform import ants_module, to_ants
from gliodex.retrieval.imaging.head import has_skull
from gliodex.retrieval.imaging.head.deepbet import deepbet_brain
from gliodex.retrieval.imaging.head.template import registered_brain
from gliodex.store.nifti import Image, load_image

Mask = NDArray[np.bool_]

SEQUENCES = ("t1", "t1c", "flair")
WAYS = {
    "deepbet": deepbet_brain,
    "registration": lambda image, threads: registered_brain(image, None, threads=threads),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("whole_head", type=Path)
    parser.add_argument("--patients", type=Path)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    figures: dict[str, object] = {"threads": arguments.threads}
    expected = load_image(arguments.whole_head / "brain_mask_sri24.nii.gz")
    brain_t1 = load_image(arguments.whole_head / "t1_sri24_stripped.nii.gz")
    fixed = Image(np.where(expected.data > 0, brain_t1.data, 0), brain_t1.frame, brain_t1.path)
    rows: dict[str, dict[str, object]] = {}
    for sequence in SEQUENCES:
        image = load_image(arguments.whole_head / f"{sequence}_native.nii.gz")
        found = {}
        for way, find in WAYS.items():
            start = time.perf_counter()
            found[way] = find(image, arguments.threads)
            rows[f"{sequence}, {way}"] = {"seconds": round(time.perf_counter() - start, 1)}
        with tempfile.TemporaryDirectory() as scratch:
            rigid = _rigid(image, found["deepbet"], fixed, arguments.threads, scratch)
            for way, mask in found.items():
                rows[f"{sequence}, {way}"] |= _agreement(_carried(mask, image, fixed, rigid), expected)
            if sequence == "t1":
                figures["t1 on the BraTS grid"] = _on_brats_grid(image, fixed, rigid, expected, arguments.threads)
    figures["native"] = rows
    figures["peak_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    images = {f"head, {s}": arguments.whole_head / f"{s}_native.nii.gz" for s in SEQUENCES}
    if arguments.patients:
        images |= {
            f"{p.parent.name}, {p.name[:-7]}": p for s in SEQUENCES for p in arguments.patients.glob(f"*/{s}.nii.gz")
        }
    figures["has_skull"] = {name: _detection(load_image(path)) for name, path in images.items()}
    keep("whole_head", figures, "python benchmarks/whole_head.py WHOLE_HEAD --patients PATIENTS")


def _rigid(image: Image, brain: Mask, fixed: Image, threads: int, scratch: str) -> list[str]:
    """Transform files from a native image to the BraTS grid."""
    ants = ants_module(1, threads)
    moving = to_ants(np.where(brain, image.data, 0).astype(np.float32), image.frame)
    grid = fixed.frame.coarsened((2, 2, 2))
    target = to_ants(grid.resample(fixed.data, fixed.frame, oversample=2), grid)
    result = ants.registration(target, moving, "Rigid", outprefix=f"{scratch}/rigid")
    return list(result["fwdtransforms"])


def _carried(data: NDArray[np.generic], image: Image, fixed: Image, rigid: list[str]) -> NDArray[np.float32]:
    import ants

    grid = to_ants(np.zeros(fixed.frame.shape, np.float32), fixed.frame)
    moved = ants.apply_transforms(grid, to_ants(data.astype(np.float32), image.frame), transformlist=rigid)
    return np.asarray(moved.numpy())


def _agreement(found: NDArray[np.float32], expected: Image) -> dict[str, object]:
    mine, theirs = found > 0.5, np.asarray(expected.data) > 0
    both = np.count_nonzero(mine & theirs)
    return {
        "dice": round(2 * both / (np.count_nonzero(mine) + np.count_nonzero(theirs)), 4),
        "too_much_ml": round(np.count_nonzero(mine & ~theirs) * expected.frame.voxel_ml, 1),
        "missing_ml": round(np.count_nonzero(theirs & ~mine) * expected.frame.voxel_ml, 1),
    }


def _on_brats_grid(image: Image, fixed: Image, rigid: list[str], expected: Image, threads: int) -> dict[str, object]:
    """Strip the T1 with its head, after it was brought to the BraTS grid."""
    head = Image(_carried(image.data, image, fixed, rigid), fixed.frame, image.path)
    out: dict[str, object] = {"has_skull": _detection(head)}
    for way, find in WAYS.items():
        start = time.perf_counter()
        mask = find(head, threads)
        seconds = round(time.perf_counter() - start, 1)
        out[way] = {"seconds": seconds} | _agreement(mask.astype(np.float32), expected)
    return out


def _detection(image: Image) -> dict[str, object]:
    start = time.perf_counter()
    evidence = has_skull(image)
    seconds = round(time.perf_counter() - start, 2)
    return {"skull": evidence.skull, "share": round(evidence.share, 3), "seconds": seconds, "doubts": evidence.doubts}


if __name__ == "__main__":
    main()
