"""A patient whose truth is known: the atlas smoothly deformed, a tumour grown in it, its T1 and segmentation.

The tumour is simulated in the patient's own anatomy, so retrieval from the atlas has to bridge what it has to bridge
for a real patient: another anatomy, registration there and back, parameters that are not in the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..simulate import FisherKolmogorov, Prior
from ..simulate.prior import tissue_voxels
from ..store.atlas import MAPS, Atlas
from ..store.frame import Frame
from ..store.manifest import THRESHOLDS
from ..store.nifti import save_image
from ..store.parameters import GrowthParameters

BRATS_FRAME = Frame((240, 240, 155), np.array([[-1.0, 0, 0, 119.5], [0, -1, 0, 102.5], [0, 0, 1, -72], [0, 0, 0, 1]]))
"""Grid of the patient: that of BraTS, 1 mm, x to the left and y to the back, around the ICBM152 brain."""

_SMOOTHNESS_MM = 25.0
_NOISE = 0.02
_WHOLE_ML, _CORE_ML = (30.0, 120.0), (8.0, 60.0)  # of the tumour shown: of ordinary size


@dataclass(frozen=True)
class SyntheticPatient:
    """What a scanner and a radiologist would give, and what they cannot: the truth.

    Args:
        t1: skull-stripped image, float32 on `frame`.
        labels: BraTS labels 1 (necrosis), 2 (oedema), 4 (enhancing).
        density: the true cell density.
        brain: white, grey or CSF.
        frame: of all of them.
        parameters: the true growth parameters; the seed in the patient's world.
        displacement_mm: mean and largest displacement of the anatomy from the atlas, inside the brain.
    """

    t1: NDArray[np.float32]
    labels: NDArray[np.uint8]
    density: NDArray[np.float32]
    brain: NDArray[np.bool_]
    frame: Frame
    parameters: GrowthParameters
    displacement_mm: tuple[float, float]

    def save(self, folder: Path) -> dict[str, Path]:
        """Write t1, seg and the true density as NIfTI; returns their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = {name: folder / f"{name}.nii.gz" for name in ("t1", "seg", "truth")}
        save_image(paths["t1"], self.t1, self.frame, "synthetic patient: T1")
        save_image(paths["seg"], self.labels, self.frame, "synthetic patient: BraTS labels")
        save_image(paths["truth"], self.density, self.frame, "synthetic patient: true density")
        return paths


def make_patient(atlas: Atlas, seed: int = 0, largest_mm: float = 8.0) -> SyntheticPatient:
    """Make a patient.

    Args:
        atlas: whose anatomy is deformed.
        seed: of everything random.
        largest_mm: largest displacement of the anatomy.
    """
    rng = np.random.default_rng(seed)
    coarse = atlas.frame
    displacement = _smooth_displacement(coarse, rng, largest_mm)
    anatomy = _deformed(atlas, coarse, displacement)
    parameters, density = _tumour(anatomy, rng)
    frame = BRATS_FRAME
    fine = _deformed_maps(atlas, frame, coarse, displacement)
    u = np.clip(frame.resample(density, coarse), 0, 1)
    lengths = np.linalg.norm(displacement, axis=0)[anatomy.brain]
    return SyntheticPatient(
        _scan(fine["t1"], u, rng),
        _labels(u),
        u,
        fine["white"] + fine["grey"] + fine["csf"] >= 0.5,
        frame,
        parameters,
        (float(lengths.mean()), float(lengths.max())),
    )


def _smooth_displacement(frame: Frame, rng: np.random.Generator, largest_mm: float) -> NDArray[np.float64]:
    """Gaussian-filtered noise, (3, i, j, k) mm: where a point of the patient lies in the atlas, minus the point."""
    sigma = [_SMOOTHNESS_MM / h for h in frame.spacing]
    field = np.stack([ndimage.gaussian_filter(rng.standard_normal(frame.shape), sigma) for _ in range(3)])
    return np.asarray(field * (largest_mm / np.linalg.norm(field, axis=0).max()))


def _deformed_maps(
    atlas: Atlas, target: Frame, coarse: Frame, displacement: NDArray[np.float64]
) -> dict[str, NDArray[np.float32]]:
    """Atlas maps seen through the displacement, on `target`."""
    shift = np.stack([target.resample(component, coarse) for component in displacement])
    voxels = np.stack(np.meshgrid(*(np.arange(n) for n in target.shape), indexing="ij"), axis=-1)
    points = target.world(voxels) + np.moveaxis(shift, 0, -1)
    coordinates = np.moveaxis(atlas.frame.voxel(points), -1, 0)
    return {
        name: ndimage.map_coordinates(getattr(atlas, name), coordinates, order=1, output=np.float32) for name in MAPS
    }


def _deformed(atlas: Atlas, coarse: Frame, displacement: NDArray[np.float64]) -> Atlas:
    return Atlas("synthetic patient", coarse, **_deformed_maps(atlas, coarse, coarse, displacement))


def _tumour(anatomy: Atlas, rng: np.random.Generator) -> tuple[GrowthParameters, NDArray[np.float32]]:
    """Draw from the prior until the tumour has an ordinary size."""
    solver, prior, tissue = (
        FisherKolmogorov(anatomy),
        Prior(whole_ml=_WHOLE_ML, core_ml=_CORE_ML),
        tissue_voxels(anatomy),
    )
    stream = int(rng.integers(2**32))
    index = 0
    while True:
        parameters = prior.draw(anatomy, tissue, stream, index)
        index += 1
        if 2 * parameters.mu1 * parameters.mu2 > 150 or parameters.mu1 > 25:  # too large, or slow to simulate
            continue
        run = solver.grow(parameters, stop_above_ml=_WHOLE_ML[1])
        volumes = [float((run.density >= level).sum()) * anatomy.frame.voxel_ml for level in THRESHOLDS.values()]
        if not run.outgrew and prior.keeps(*volumes):
            return parameters, run.full()


def _scan(t1: NDArray[np.float32], density: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Darken the tumour, as T1 does, and add noise."""
    image = t1 * (1 - 0.35 * density) + _NOISE * rng.standard_normal(t1.shape, dtype=np.float32)
    return np.asarray(np.where(t1 > 0.05, np.maximum(image, 0.01), 0) * 1000, dtype=np.float32)


def _labels(density: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Oedema 2 from 0.2, enhancing 4 from 0.6, necrosis 1 in the middle."""
    labels = np.zeros(density.shape, np.uint8)
    labels[density >= np.float32(THRESHOLDS["whole"])] = 2
    labels[density >= np.float32(THRESHOLDS["core"])] = 4
    labels[density >= 0.9] = 1
    return labels
