"""A head compared with the atlas's brain at low resolution, in any place, and moved to where both are most alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ...store.atlas import Atlas
from ...store.frame import Frame

Numbers = NDArray[np.float64]
Floats = NDArray[np.floating]
Volume = NDArray[np.float32]

COARSE_MM, FINE_MM = 10.0, 7.0
"""Distances of the points that are compared."""

_MOVING_MM = 3.0  # voxels that both images are averaged to
_AROUND_MM = 15.0  # of the brain that is compared, so that its outline counts
_FWHM = 1.0  # of the smoothing, in distances of points
_LOG_SIZE = (-0.4, 0.3)
_AIR = 0.1  # of the brightest, below which there is noise around a head, or nothing
_ITERATIONS, _LITTLE = 8, 1e-5
_LONGEST = np.repeat([0.4, 25.0, 0.15], 3)  # step: rotation, mm, logarithm of size


@dataclass(frozen=True)
class MovingHead:
    """The patient's image, averaged down.

    Args:
        frame: its grid now.
        values: intensities, 0 around the head, the brightest cut off.
        roots: square roots of the voxels' weights.
        middle: of the head, mm.
        volume_ml: of the head.
    """

    frame: Frame
    values: Volume
    roots: Volume
    middle: Numbers
    volume_ml: float

    @classmethod
    def of(cls, image: Volume, frame: Frame, ignored: NDArray[np.bool_] | None) -> MovingHead:
        """Average an image down; voxels to be ignored weigh nothing."""
        i, j, k = (max(1, min(int(_MOVING_MM / h), n)) for h, n in zip(frame.spacing, frame.shape, strict=True))
        cap = np.percentile(image[image > 0], 95) if (image > 0).any() else np.float32(0)
        values, there = np.minimum(image, cap), image > _AIR * cap
        coarse = frame.coarsened((i, j, k))
        head = _averaged(there, (i, j, k))
        roots = np.ones_like(head) if ignored is None else np.sqrt(1 - _averaged(ignored, (i, j, k)))
        middle = coarse.world(np.argwhere(head > 0.5)).mean(axis=0) if (head > 0.5).any() else coarse.world([0, 0, 0])
        volume = max(float(head.sum(dtype=np.float64)) * coarse.voxel_ml, 1.0)
        return cls(coarse, _averaged(values, (i, j, k)), roots, middle, volume)

    def smoothed(self, level_mm: float) -> Volume:
        """Smooth it for points that are so far apart."""
        sigma = [_FWHM * level_mm / 2.355 / h for h in self.frame.spacing]
        return np.asarray(ndimage.gaussian_filter(self.values, sigma, mode="constant"), np.float32)

    def roots_at(self, voxels: Floats) -> Volume:
        """Square roots of the weights of voxels (3, n), 1 outside of the image."""
        nearest = np.rint(voxels).astype(np.int32)
        i, j, k = (np.clip(n, 0, size - 1) for n, size in zip(nearest, self.roots.shape, strict=True))
        inside = ((nearest >= 0) & (nearest < np.array(self.roots.shape)[:, None])).all(axis=0)
        return np.where(inside, self.roots[i, j, k], np.float32(1))


class FixedBrain:
    """The atlas's T1 at the points that are compared, by level: mm from the brain's middle (3, n), and values."""

    def __init__(self, atlas: Atlas) -> None:
        self._atlas = atlas
        self.middle = atlas.frame.world(np.argwhere(atlas.brain)).mean(axis=0)
        self.volume_ml = float(np.count_nonzero(atlas.brain)) * atlas.frame.voxel_ml
        self.levels = {mm: self._sampled(mm) for mm in (COARSE_MM, FINE_MM)}

    @cached_property
    def _coarse(self) -> tuple[Frame, Volume, Volume]:
        frame = self._atlas.frame
        i, j, k = (max(1, round(_MOVING_MM / h)) for h in frame.spacing)
        brain = _averaged(self._atlas.brain, (i, j, k))
        return frame.coarsened((i, j, k)), _averaged(self._atlas.t1 * self._atlas.brain, (i, j, k)), brain

    def _sampled(self, level_mm: float) -> tuple[Numbers, Volume]:
        frame, t1, brain = self._coarse
        smooth = ndimage.gaussian_filter(t1, [_FWHM * level_mm / 2.355 / h for h in frame.spacing], mode="constant")
        far = ndimage.distance_transform_edt(brain < 0.5, sampling=frame.spacing)
        extent = np.asarray(frame.shape) * frame.spacing + 2 * _AROUND_MM
        grid = Frame.centred(self.middle, int(max(extent) / level_mm), level_mm)
        points = grid.world(np.argwhere(grid.resample(far < _AROUND_MM, frame, order=0) > 0.5))
        values = ndimage.map_coordinates(smooth, frame.voxel(points).T, order=1, mode="constant")
        return np.ascontiguousarray((points - self.middle).T, np.float32), values.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Place:
    """A pose while it is searched.

    Args:
        turn: (3, 3), rotation from the atlas's axes to the patient's.
        shift: mm from the middle of the head to where the middle of the atlas's brain is put.
        size: logarithms of the size along the atlas's axes.
    """

    turn: Numbers
    shift: Numbers
    size: Numbers

    @property
    def axes(self) -> Numbers:
        """(3, 3), mm of the atlas to mm of the patient."""
        return np.asarray(self.turn * np.exp(self.size))

    def moved(self, step: Numbers) -> Place:
        """Turn by a rotation vector, shift by mm, and enlarge by logarithms."""
        turn = Rotation.from_rotvec(step[:3]).as_matrix() @ self.turn
        return Place(turn, self.shift + step[3:6], np.clip(self.size + step[6:], *_LOG_SIZE))


class Comparison:
    """The patient's image against the atlas's at places."""

    def __init__(self, moving: MovingHead, fixed: FixedBrain) -> None:
        self._moving, self._fixed = moving, fixed
        self._to_voxels = np.linalg.inv(moving.frame.affine[:3, :3])
        self._smoothed = {mm: moving.smoothed(mm) for mm in fixed.levels}
        self._slopes = {mm: np.gradient(values) for mm, values in self._smoothed.items()}

    def matrix(self, place: Place) -> Numbers:
        """Affine (4, 4) from mm of the atlas to mm of the patient."""
        matrix = np.eye(4)
        matrix[:3, :3] = place.axes
        matrix[:3, 3] = self._moving.middle + place.shift - place.axes @ self._fixed.middle
        return matrix

    def score(self, place: Place, level_mm: float) -> float:
        """Normalised cross-correlation."""
        difference, _, _ = self._difference(place, level_mm)
        return 1 - float(difference @ difference) / 2

    def optimised(self, place: Place, level_mm: float) -> Place:
        """Find a better place nearby (Levenberg-Marquardt): one size at the coarse level, three at the fine one."""
        free = np.eye(9)
        if level_mm == COARSE_MM:
            free = np.concatenate([np.eye(9)[:, :6], np.repeat([[0.0], [1.0]], [6, 3], axis=0)], axis=1)
        damping = 1e-2
        now, voxels, scaled = self._difference(place, level_mm)
        for _ in range(_ITERATIONS):
            slopes = self._slopes_of(place, level_mm, voxels, scaled) @ free
            normal, gradient, before = slopes.T @ slopes, slopes.T @ now, float(now @ now)
            for _ in range(4):
                step = free @ np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), -gradient)
                ahead = place.moved(np.clip(step, -_LONGEST, _LONGEST))
                there = self._difference(ahead, level_mm)
                if there[0] @ there[0] < before:
                    break
                damping *= 6
            else:
                break
            place, (now, voxels, scaled), damping = ahead, there, max(damping / 6, 1e-5)
            if before - float(now @ now) < _LITTLE:
                break
        return place

    def _difference(self, place: Place, level_mm: float) -> tuple[Floats, Floats, tuple[Volume, Volume, float]]:
        """Compare at the level's points.

        Returns:
            Difference of both images, each with mean 0 and norm 1 (half its square sum is 1 - correlation); the
            points' voxels (3, n); and the weights' roots, the patient's values so normalised, and their norm.
        """
        points, fixed = self._fixed.levels[level_mm]
        to_voxels = (self._to_voxels @ place.axes).astype(np.float32)
        start = self._moving.frame.voxel(self._moving.middle + place.shift).astype(np.float32)
        voxels = to_voxels @ points + start[:, None]
        moving = ndimage.map_coordinates(self._smoothed[level_mm], voxels, order=1, mode="constant")
        roots = self._moving.roots_at(voxels)
        one, norm = _normalised(moving, roots)
        two, _ = _normalised(fixed, roots)
        return one - two, voxels, (roots, one, norm)

    def _slopes_of(self, place: Place, level_mm: float, voxels: Floats, scaled: tuple[Volume, Volume, float]) -> Floats:
        """Differentiate the difference by a step of `Place.moved`: (n, 9)."""
        roots, one, norm = scaled
        by_voxel = [ndimage.map_coordinates(s, voxels, order=1, mode="constant") for s in self._slopes[level_mm]]
        by_mm = self._to_voxels.T.astype(np.float32) @ np.stack(by_voxel)
        points = self._fixed.levels[level_mm][0]
        there = place.axes.astype(np.float32) @ points
        along = (place.axes.T.astype(np.float32) @ by_mm) * points
        slopes = np.concatenate([np.cross(there, by_mm, axis=0), by_mm, along]).T * roots[:, None]
        slopes -= np.outer(roots, roots @ slopes) / max(float(roots @ roots), 1e-6)
        return np.asarray((slopes - np.outer(one, one @ slopes)) / norm)


def _normalised(values: Volume, roots: Volume) -> tuple[Volume, float]:
    """Weight values by the squares of roots: times the roots, with weighted mean 0 and norm 1; and their norm."""
    weighted = values * roots
    weighted -= roots * (float(roots @ weighted) / max(float(roots @ roots), 1e-6))
    norm = float(np.sqrt(weighted @ weighted)) + 1e-6
    return weighted / np.float32(norm), norm


def _averaged(values: NDArray[np.generic], factors: tuple[int, int, int]) -> Volume:
    """Mean over blocks of voxels, as `Frame.coarsened` cuts them."""
    i, j, k = (n // f for n, f in zip(values.shape, factors, strict=True))
    a, b, c = factors
    cut = values[: i * a, : j * b, : k * c].reshape(i, a, j, b, k, c)
    return np.asarray(cut.mean(axis=(1, 3, 5), dtype=np.float32))
