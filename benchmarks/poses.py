"""Where a patient ends in the atlas whose head lies in another pose, and what is said of headers that lie.

    python benchmarks/poses.py PATIENTS [--poses 12] [--seed 0]

PATIENTS holds a folder a patient with a skull-stripped t1.nii.gz and seg.nii.gz. A pose is a rotation of up to 40
degrees about any axis and a shift of up to 60 mm along each, with a header that is right; how far the whole tumour's
centre of mass in the atlas lies from the plain answer's is measured. Headers that lie exchange and flip axes, in all 48
ways.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
from record import keep
from scipy.spatial.transform import Rotation

from gliodex.retrieval.imaging.intensities import above_background
from gliodex.retrieval.imaging.patient import Patient
from gliodex.retrieval.imaging.pose import search_poses
from gliodex.retrieval.imaging.registration import register
from gliodex.retrieval.imaging.segmentation import Segmentation
from gliodex.retrieval.imaging.transforms import mask_to_atlas
from gliodex.simulate import load_atlas
from gliodex.store.atlas import Atlas
from gliodex.store.nifti import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patients", type=Path)
    parser.add_argument("--poses", type=int, default=12, help="of each patient")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    atlas, rng = load_atlas("icbm152"), np.random.default_rng(arguments.seed)
    folders = sorted(path.parent for path in arguments.patients.glob("*/t1.nii.gz"))
    rows: dict[str, object] = {}
    off, warned, named = [], 0, 0
    for folder in folders:
        patient = Patient.from_files(seg=folder / "seg.nii.gz", t1=folder / "t1.nii.gz")
        assert patient.image is not None
        plain, _ = placed(patient.image, patient.segmentation, atlas, np.eye(4))
        found = [placed(patient.image, patient.segmentation, atlas, a_pose(rng)) for _ in range(arguments.poses)]
        distances = [float(np.linalg.norm(place - plain)) for place, _ in found]
        said = headers(patient.image, patient.segmentation, atlas)
        rows[folder.name] = {"mm": [round(mm, 2) for mm in distances], "headers": said}
        off, warned, named = off + distances, warned + sum(doubts for _, doubts in found), named + said["right"]
        print(folder.name, rows[folder.name], flush=True)
    summary = {
        "poses": len(off),
        "within_3_mm": sum(mm <= 3 for mm in off),
        "largest_mm": round(max(off), 2),
        "median_mm": round(float(np.median(off)), 2),
        "warned": warned,
        "headers": 48 * len(folders),
        "headers_right": named,
        "search_seconds": round(search_seconds(patient.image, atlas), 2),
    }
    command = f"python benchmarks/poses.py PATIENTS --poses {arguments.poses} --seed {arguments.seed}"
    keep("poses", summary | {"patients": rows}, command)


def a_pose(rng: np.random.Generator) -> np.ndarray:
    """Draw a rigid map of the world, mm."""
    axis = rng.normal(size=3)
    world = np.eye(4)
    turn = np.deg2rad(rng.uniform(-40, 40)) * axis / np.linalg.norm(axis)
    world[:3, :3], world[:3, 3] = Rotation.from_rotvec(turn).as_matrix(), rng.uniform(-60, 60, 3)
    return world


def placed(image: Image, segmentation: Segmentation, atlas: Atlas, world: np.ndarray) -> tuple[np.ndarray, bool]:
    """Register a patient in a moved world: mm of the tumour's middle in the atlas, and whether there was a warning."""
    moved = Image(image.data, image.frame.in_world(world), image.path)
    masks = Segmentation(segmentation.core, segmentation.whole, segmentation.frame.in_world(world))
    with tempfile.TemporaryDirectory() as folder:
        found = register(moved, masks, atlas, Path(folder) / "transform")
        whole = mask_to_atlas(found, masks.whole, masks.frame, atlas.frame)
    return atlas.frame.world(np.argwhere(whole)).mean(axis=0), bool(found.record.doubts)


def headers(image: Image, segmentation: Segmentation, atlas: Atlas) -> dict[str, int]:
    """Count what is said of all orientations that a header can give: a mirror image may be named by its twin."""
    true = image.frame.axis_codes
    twins = {true, true.translate(str.maketrans("LR", "RL"))}
    brain = above_background(image)
    ignored = brain.frame.resample(segmentation.whole, segmentation.frame, order=0) > 0
    counts = {"right": 0, "wrong": 0}
    for axes in itertools.permutations(("RL", "AP", "SI")):
        for codes in map("".join, itertools.product(*axes)):
            frame = image.frame.in_world(image.frame.turn_to(codes))
            poses = search_poses(np.asarray(brain.data, np.float32), frame, atlas, ignored)
            right = codes in twins if poses.header_fits else set(poses.fitting_axes(frame)) == twins
            counts["right" if right else "wrong"] += 1
    return counts


def search_seconds(image: Image, atlas: Atlas) -> float:
    """Seconds that the search over all orientations adds."""
    brain = above_background(image)
    start = time.perf_counter()
    search_poses(np.asarray(brain.data, np.float32), brain.frame, atlas)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
