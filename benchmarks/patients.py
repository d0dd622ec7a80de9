"""How well retrieval explains real patients, and how long `gliodex query` takes for one.

    python benchmarks/patients.py STORE FOLDER [--registration fast] [--with-t1-only] [--thresholds fixed]
        [--refine none] [--refine-in patient] [--name patients]

FOLDER holds a folder a patient with seg.nii.gz (BraTS labels; core is everything but oedema, 2) and perhaps
t1.nii.gz, which is then registered; the others are taken to be in SRI24 space. Dice is recomputed from the files
that the query wrote.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from record import interval, keep

import gliodex

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("folder", type=Path)
parser.add_argument("--registration", default="fast")
parser.add_argument("--with-t1-only", action="store_true")
parser.add_argument("--without-t1", action="store_true", help="never register: all in SRI24 space")
parser.add_argument("--thresholds", help="fixed or search; the command's own default without")
parser.add_argument("--refine", default="none")
parser.add_argument("--refine-in", default="patient")
parser.add_argument("--name", default="patients")
arguments = parser.parse_args()


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * int((a & b).sum()) / max(int(a.sum()) + int(b.sum()), 1)


rows = []
for case in sorted(arguments.folder.iterdir()):
    seg, t1 = case / "seg.nii.gz", case / "t1.nii.gz"
    if not seg.exists() or (arguments.with_t1_only and not t1.exists()):
        continue
    labels = np.asanyarray(nib.load(seg).dataobj)
    present = sorted(int(v) for v in np.unique(labels) if v)
    core = [v for v in present if v != 2]
    registered = t1.exists() and not arguments.without_t1
    where = ["--t1", str(t1), "--registration", arguments.registration] if registered else ["--space", "sri24"]
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable,
            "-m",
            "gliodex.cli.main",
            "query",
            arguments.store,
            "--seg",
            str(seg),
            "--out",
            out,
        ]
        command += ["--core", ",".join(map(str, core)), "--whole", ",".join(map(str, present)), *where]
        command += ["--refine", arguments.refine]
        if arguments.refine != "none":
            command += ["--simulation-space", arguments.refine_in]
        command += ["--thresholds", arguments.thresholds] if arguments.thresholds else []
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took = time.perf_counter() - begun
        record = json.loads((Path(out) / "matches.json").read_text())
        masks = {n: np.asanyarray(nib.load(Path(out) / f"{n}.nii.gz").dataobj) > 0 for n in ("core", "whole")}
    there = dice(masks["whole"], labels > 0) + dice(masks["core"], np.isin(labels, core))
    volumes = record["volumes_ml"]
    rows.append(
        {
            "patient": there,
            "atlas": record["matches"][0]["score"],
            "registered": registered,
            "seconds": took,
            "refinement_seconds": record["seconds"].get("refinement"),
            "registration_seconds": record["seconds"]["registration"],
            "atlas_over_patient_volume": volumes["atlas"]["whole"] / volumes["patient"]["whole"],
            "correlation": record["transform"].get("correlation"),
        }
    )
    print(case.name, {k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)

scores = np.array([row["patient"] for row in rows])
with_t1 = [row for row in rows if row["registered"]]
without = [row for row in rows if not row["registered"]]


def median(name: str, chosen: list[dict[str, float]]) -> float | None:
    return round(float(np.median([row[name] for row in chosen])), 3) if chosen else None


keep(
    arguments.name,
    {
        "tumours": len(gliodex.open_store(arguments.store)),
        "patients": len(rows),
        "thresholds": arguments.thresholds,
        "refine": arguments.refine,
        "refine_in": arguments.refine_in if arguments.refine != "none" else None,
        "of_these_refinement": median("refinement_seconds", rows) if arguments.refine != "none" else None,
        "registered": len(with_t1),
        "registration": arguments.registration if with_t1 else None,
        "mean_dice_sum_patient_space": round(float(scores.mean()), 4),
        "interval_95": interval(scores),
        "mean_dice_sum_atlas_space": round(float(np.mean([row["atlas"] for row in rows])), 4),
        "seconds_with_t1": median("seconds", with_t1),
        "of_these_registration": median("registration_seconds", with_t1),
        "seconds_without_mri": median("seconds", without),
        "median_correlation": median("correlation", with_t1),
        "volume_factor_registered": median("atlas_over_patient_volume", with_t1),
    },
    f"python benchmarks/patients.py STORE FOLDER --registration {arguments.registration}"
    + (" --with-t1-only" if arguments.with_t1_only else "")
    + (" --without-t1" if arguments.without_t1 else "")
    + (f" --thresholds {arguments.thresholds}" if arguments.thresholds else "")
    + (f" --refine {arguments.refine} --refine-in {arguments.refine_in}" if arguments.refine != "none" else "")
    + f" --name {arguments.name}",
)
