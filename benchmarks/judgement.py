"""How often an answer has a warning: of real patients, and of simulations that the store does not hold.

    python benchmarks/judgement.py STORE PATIENTS [--held-out 270] [--seed 7]

PATIENTS holds a folder a patient with seg.nii.gz in SRI24 space; core is everything but oedema, 2. The figure of each
kind of warning is the number of answers that have it. For the levels themselves, the extremes of what each is compared
with are recorded over all answers.
"""

import argparse
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
from record import interval, keep
from unseen import unseen_masks

import gliodex
from gliodex.index import open_retriever
from gliodex.retrieval.imaging.lesions import lesions
from gliodex.retrieval.imaging.patient import Patient
from gliodex.retrieval.imaging.segmentation import Segmentation
from gliodex.retrieval.personalization import personalize_with
from gliodex.retrieval.result import Answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("patients", type=Path)
    parser.add_argument("--held-out", type=int, default=270)
    parser.add_argument("--seed", type=int, default=7, help="of the campaign that held-out simulations come from")
    arguments = parser.parse_args()
    store = gliodex.open_store(arguments.store)
    retriever = open_retriever(store)
    real = [
        personalize_with(store, retriever, patient_of(path).in_space("sri24", store.atlas))
        for path in sorted(arguments.patients.glob("*/seg.nii.gz"))
    ]
    simulated = [
        personalize_with(
            store, retriever, Patient(Segmentation(core, whole, store.frame)).in_space("atlas", store.atlas)
        )
        for core, whole in unseen_masks(store, arguments.held_out, arguments.seed)
    ]
    scores = np.array([found.dice["score"] for found in real])
    figures = {
        "tumours": len(store),
        "patients": warned(real) | {"mean_dice_sum": round(float(scores.mean()), 4), "interval_95": interval(scores)},
        "simulations": warned(simulated),
    }
    keep("judgement", figures, f"python benchmarks/judgement.py STORE PATIENTS --held-out {arguments.held_out}")


def patient_of(path: Path) -> Patient:
    """Read a BraTS patient; oedema is 2 in all of its conventions."""
    present = [int(value) for value in np.unique(np.asanyarray(nib.load(path).dataobj)) if value]
    return Patient.from_files(seg=path, core=[value for value in present if value != 2], whole=present)


def warned(answers: list[Answer]) -> dict[str, object]:
    """Count answers by the kind of their doubts, and give the extremes of what these are held against."""
    kinds = Counter(kind for found in answers for kind in {doubt.kind for doubt in found.doubts})
    atlas = [found.volumes_ml["atlas"]["whole"] / found.volumes_ml["patient"]["whole"] for found in answers]
    model = [found.volumes_ml["model"]["whole"] / found.volumes_ml["patient"]["whole"] for found in answers]
    empty = [float((found.density[found.segmentation.whole] < 0.01).mean()) for found in answers]
    missed = [float(1 - found.whole[found.segmentation.whole].mean()) for found in answers]
    one_piece = [len(lesions(found.segmentation).whole) == 1 for found in answers]
    matches = np.array([float(found.hits.dice_core[0] + found.hits.dice_whole[0]) for found in answers])
    return {
        "answers": len(answers),
        "warned": sum(bool(found.doubts) for found in answers),
        "kinds": dict(kinds),
        "in_one_piece": sum(one_piece),
        "volume_in_atlas_over_patient": extremes(atlas),
        "model_volume_over_patient": extremes(model),
        "share_without_density": extremes(empty),
        "share_outside_model": extremes(missed),
        "best_match_below_1.1": int((matches < 1.1).sum()),
    }


def extremes(values: list[float]) -> list[float]:
    return [round(min(values), 3), round(max(values), 3)]


if __name__ == "__main__":
    main()
