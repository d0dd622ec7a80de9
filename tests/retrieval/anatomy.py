"""A store with real anatomy, shared by the tests of retrieval and of the command line, and patients made from it."""

import fcntl
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from gliodex.index import build_index
from gliodex.simulate import build, builder, load_atlas
from gliodex.store import Frame, open_store
from gliodex.store.atlas import MAPS, Atlas

STORE_TUMOURS, STORE_SEED = 24, 3

POSTERIOR_MAPS = {f"{name}{where}.nii.gz" for name in ("mean", "deviation", "exceedance") for where in ("", "_atlas")}

RESULT_FILES = POSTERIOR_MAPS | {
    "matches.json",
    "posterior.json",
    "posterior.png",
    "uncertainty.png",
    "density.nii.gz",
    "core.nii.gz",
    "whole.nii.gz",
    "density_atlas.nii.gz",
    "report.png",
    "report.html",
}


def shared_store(tmp_path_factory):
    """Path of a store of 24 tumours in icbm152, with its index; made once a test run. Tests must not change it."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    path = base / "brain-store"
    with (base / "brain-store.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (path / "derived").exists():
            with pytest.MonkeyPatch.context() as patch:  # one segment, however long numba takes to compile
                patch.setattr(builder, "COMMIT_SECONDS", 1e9)
                build(path, STORE_TUMOURS, STORE_SEED, load_atlas("icbm152"), workers=1)
            build_index(open_store(path))
    return path


def tumour_on_the_right(store):
    """Id of the tumour of ordinary size that lies farthest to the right."""
    middles = {}
    for tumour in store.ids:
        whole = store.density(tumour) >= 0.2
        if 20 < whole.sum() * store.frame.voxel_ml < 120:
            middles[int(tumour)] = store.frame.world(np.argwhere(whole)).mean(0)[0]
    return max(middles, key=middles.get)


def brats_labels(density):
    """Oedema 2 from 0.2, enhancing 4 from 0.6."""
    return np.where(density >= np.float32(0.6), 4, np.where(density >= np.float32(0.2), 2, 0)).astype(np.uint8)


def write_nifti(path, data, affine):
    """Write an image with nibabel alone, so that the package's own writer is not trusted to test itself."""
    image = nib.Nifti1Image(np.asarray(data), affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nib.save(image, path)
    return Path(path)


def sampled(data, affine, points):
    """Linear interpolation of an image at world points (..., 3), 0 outside; independent of `Frame`."""
    inverse = np.linalg.inv(affine)
    voxels = points @ inverse[:3, :3].T + inverse[:3, 3]
    return ndimage.map_coordinates(np.asarray(data, np.float64), np.moveaxis(voxels, -1, 0), order=1, cval=0.0)


def points_of(shape, affine):
    """World mm of every voxel, (i, j, k, 3)."""
    voxels = np.moveaxis(np.indices(shape), 0, -1)
    return voxels @ affine[:3, :3].T + affine[:3, 3]


def centre_of_mass(data, affine):
    """World mm of the centre of mass of an image."""
    return affine[:3, :3] @ np.array(ndimage.center_of_mass(np.asarray(data, np.float64))) + affine[:3, 3]


def around(centre, axes, spacing, extent):
    """Frame whose middle is `centre`; columns of `axes` are its unit directions; `extent` in mm along each."""
    shape = tuple(int(n) for n in np.ceil(np.asarray(extent) / spacing))
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(axes) * np.asarray(spacing)
    affine[:3, 3] = np.asarray(centre) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Frame(shape, affine)


def flipped_and_permuted(frame, order, signs):
    """The same voxels counted along other axes: axis a of the result is axis `order[a]`, backwards where negative."""
    affine = np.eye(4)
    affine[:3, :3] = frame.affine[:3, order] * signs
    start = np.zeros(3)
    for axis, sign in zip(order, signs, strict=True):
        start[axis] = frame.shape[axis] - 1 if sign < 0 else 0
    affine[:3, 3] = frame.world(start)
    return Frame(tuple(frame.shape[a] for a in order), affine)


LPS_AXES = np.diag([-1.0, -1.0, 1.0])
OBLIQUE_AXES = Rotation.from_euler("xyz", [20, -15, 25], degrees=True).as_matrix() @ LPS_AXES


def grids_around(frame, centre):
    """Grids on which one tumour at `centre` is drawn in turn; those of the first group hold the atlas's voxels."""
    return {
        "RAS": frame,
        "LPS": flipped_and_permuted(frame, [0, 1, 2], [-1, -1, 1]),
        "PIR": flipped_and_permuted(frame, [1, 2, 0], [-1, -1, 1]),
        "oblique": around(centre, OBLIQUE_AXES, (1.5, 1.5, 1.5), (130, 130, 130)),
        "anisotropic": around(centre, LPS_AXES, (1.0, 1.0, 4.0), (110, 120, 120)),
    }


SAME_VOXELS = {"RAS", "LPS", "PIR"}
GRID_NAMES = ("RAS", "LPS", "PIR", "oblique", "anisotropic")


def files_below(folder):
    """Every path below a folder with its bytes; empty where there is no folder."""
    folder = Path(folder)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def flip_byte(path, position):
    """Change one bit of a file in place."""
    data = bytearray(Path(path).read_bytes())
    data[position] ^= 1
    Path(path).write_bytes(bytes(data))


def shard_of(store, tumour):
    """File that holds a tumour's density, and the first byte and length of its chunk (Zarr's sharding index)."""
    record = next(s for s in store.segments if tumour in s.ids)
    path = store.path / "segments" / record.name / "density" / "c" / "0" / "0" / "0" / "0"
    index = np.frombuffer(path.read_bytes()[-4 - 16 * record.count : -4], "<u8").reshape(-1, 2)
    start, length = (int(v) for v in index[tumour - record.first_id])
    return path, start, length


PATIENT_FROM_ATLAS = np.eye(4)
PATIENT_FROM_ATLAS[:3, :3] = Rotation.from_euler("xyz", [6, -4, 8], degrees=True).as_matrix() @ np.diag(
    [0.95, 1.03, 0.9]
)
PATIENT_FROM_ATLAS[:3, 3] = (5.0, -12.0, 20.0)
LANDMARKS = np.array([[30.0, -20, 10], [-32, 22, 30], [2, -60, 6], [12, 30, 20], [-40, -30, -10]])


def in_patient(points, matrix=PATIENT_FROM_ATLAS):
    """Atlas mm to patient mm."""
    return np.asarray(points) @ matrix[:3, :3].T + matrix[:3, 3]


def coarse_atlas(store):
    """The store's atlas on a frame of 64³ voxels of 4 mm: real anatomy that registers in a second."""
    fine = store.atlas
    frame = Frame.centred(fine.frame.world((np.array(fine.frame.shape) - 1) / 2), size=64, spacing=4.0)
    maps = (np.clip(frame.resample(getattr(fine, m), fine.frame, oversample=2), 0, None) for m in MAPS)
    return Atlas("coarse", frame, *maps)


def affine_patient(store, tumour):
    """The atlas under a known affine: a T1 on an LPS grid of 2.5 mm, nonsense in the tumour, and labels on 1.7 mm.

    Returns:
        T1 and its frame, labels and their frame.
    """
    atlas = store.atlas
    back = np.linalg.inv(PATIENT_FROM_ATLAS)
    middle = in_patient(store.frame.world((np.array(store.frame.shape) - 1) / 2))
    t1_frame = around(middle, LPS_AXES, (2.5, 2.5, 2.5), (230, 230, 220))
    points = in_patient(points_of(t1_frame.shape, t1_frame.affine), back)
    t1 = sampled(atlas.t1, store.frame.affine, points)
    density = store.density(tumour)
    noise = np.random.default_rng(0).uniform(0, 2, t1.shape)
    t1 = np.where(sampled(density, store.frame.affine, points) >= 0.2, noise, t1).astype(np.float32)
    centre = in_patient(centre_of_mass(density, store.frame.affine))
    seg_frame = around(centre, np.eye(3), (1.7, 1.7, 1.7), (120, 120, 120))
    points = in_patient(points_of(seg_frame.shape, seg_frame.affine), back)
    return t1, t1_frame, brats_labels(sampled(density, store.frame.affine, points)), seg_frame
