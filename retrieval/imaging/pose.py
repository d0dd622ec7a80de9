"""How a head lies in its image: searched over all orientations at low resolution, before any registration.

An optimiser that begins from the header's orientation alone ends 20 mm off where a head nods by 25 degrees, and 60 mm
off where axes are exchanged, and its correlation does not tell (0.38 to 0.62 against 0.45 to 0.71 where it is right).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ...store.atlas import Atlas
from ...store.frame import Frame

Numbers = NDArray[np.float64]
Floats = NDArray[np.floating]
Volume = NDArray[np.float32]

COARSE_MM, FINE_MM = 10.0, 7.0
_MOVING_MM = 3.0  # voxels that the patient's image is averaged to
_AROUND_MM = 15.0  # of the brain that is compared, so that its outline counts
_FWHM = 1.0  # of the smoothing, in voxels of the level
_ROTATIONS = 500  # over all orientations: no rotation is farther than some 25 degrees from one of them
_TILTS, _LARGEST_TILT = 4000, 50.0  # and closer around the header's own
_APART_DEGREES = 25.0
_KEPT, _POLISHED = 6, 2  # starts of each kind that are optimised, and of these once more, finer
_UPRIGHT_PITCH = (
    13.0  # degrees that heads in scanners and in SRI24 are pitched against ICBM152 (five patients: 8 to 21)
)
UPRIGHT_DEGREES = 65.0
"""Rotation up to which a head may be tilted: exchanged axes turn it by 90 degrees and more, patients by at most 45."""

_CLEARLY = 0.03
"""Of the similarity, by which another orientation must be better than the header's: where the header was right it was
better by 0.05 to 0.16 than all others, and where it was wrong worse by as much (15 images); a head that lacks its lower
40 % or upper 30 % looks as much like one upside down (-0.01 to 0.03)."""

_RESEMBLES = 0.8  # least similarity that is believed against the header; whole brains reach 0.93, half a brain 0.78


@dataclass(frozen=True)
class Pose:
    """A head's place in the world of its image, roughly.

    Args:
        patient_from_atlas: (4, 4), mm of the atlas world to mm of the patient's, without shear.
        similarity: normalised cross-correlation with the atlas's T1 around the brain, at `FINE_MM`.
    """

    patient_from_atlas: Numbers
    similarity: float

    @property
    def rotation(self) -> Rotation:
        """Turn of the head against the atlas."""
        axes = self.patient_from_atlas[:3, :3]
        return Rotation.from_matrix(axes / np.linalg.norm(axes, axis=0))

    @property
    def tilt_degrees(self) -> float:
        """Angle between the head and an upright one."""
        return float(np.rad2deg((self.rotation * _upright().inv()).magnitude()))

    @property
    def turned(self) -> NDArray[np.int64]:
        """The exchange of axes, a (3, 3) rotation by right angles, that the head is nearest to."""
        group = Rotation.create_group("O")
        nearest = int(np.argmin((group * _upright() * self.rotation.inv()).magnitude()))
        return np.asarray(np.rint(group[nearest].as_matrix()), dtype=np.int64)


@dataclass(frozen=True)
class Poses:
    """What a search over all orientations finds.

    Args:
        upright: the best pose that is a tilt of the header's orientation.
        other: the best of all others.
    """

    upright: Pose
    other: Pose

    @property
    def header_fits(self) -> bool:
        """Whether no other orientation resembles the atlas clearly more than the header's."""
        return self.other.similarity < max(self.upright.similarity + _CLEARLY, _RESEMBLES)

    @property
    def certain(self) -> bool:
        """Whether the better of both is clearly better."""
        ahead = abs(self.upright.similarity - self.other.similarity)
        return ahead >= _CLEARLY and self.best.similarity == max(self.upright.similarity, self.other.similarity)

    @property
    def best(self) -> Pose:
        """The pose that fits, the header's if in doubt."""
        return self.upright if self.header_fits else self.other

    def fitting_axes(self, frame: Frame) -> tuple[str, str]:
        """Name the directions of an image's voxel axes with which it would fit: as they are, and mirrored.

        Args:
            frame: of the image.

        Returns:
            Codes such as LPS. A mirror image cannot be told from the image: left and right are much alike.
        """
        axes = np.eye(4)
        axes[:3, :3] = self.best.turned.T @ frame.affine[:3, :3]
        fitting = "".join(aff2axcodes(axes))
        return fitting, fitting.translate(str.maketrans("LR", "RL"))


def search_poses(image: Volume, frame: Frame, atlas: Atlas, ignored: NDArray[np.bool_] | None = None) -> Poses:
    """Find how a head lies in its image.

    Some 700 rotations about the middle of the head are compared at `COARSE_MM`; the best, of tilts of the header's
    orientation and of all others, are optimised in position, rotation and size (Levenberg-Marquardt).

    Args:
        image: intensities of the brain or head, 0 outside, on `frame`.
        frame: of the image.
        atlas: whose T1 is compared.
        ignored: voxels of the image that say nothing, such as the tumour's.

    Returns:
        The best pose near the header's orientation, and the best of all others.
    """
    moving, fixed = _Moving.of(image, frame, ignored), _Fixed(atlas)
    comparison = _Comparison(moving, fixed)
    rotations = Rotation.concatenate([Rotation.create_group("O"), _spread(_ROTATIONS), _tilts()])
    size = float(np.clip(np.log(moving.volume_ml / fixed.volume_ml) / 3, *_STARTING_SIZE))
    starts = [_Place(turn, np.zeros(3), np.full(3, size)) for turn in rotations.as_matrix()]
    scores = np.array([comparison.score(start, COARSE_MM) for start in starts])
    tilts = np.rad2deg((rotations * _upright().inv()).magnitude())
    near, far = np.flatnonzero(tilts <= UPRIGHT_DEGREES), np.flatnonzero(tilts > UPRIGHT_DEGREES)
    found = [pose for chosen in (near, far) for pose in _best(comparison, [starts[n] for n in chosen], scores[chosen])]
    # an optimum may lie on the other side of the border than its start
    upright = [pose for pose in found if pose.tilt_degrees <= UPRIGHT_DEGREES]
    other = [pose for pose in found if pose.tilt_degrees > UPRIGHT_DEGREES]
    return Poses(
        *(
            max(poses or [comparison.pose(starts[chosen[np.argmax(scores[chosen])]])], key=lambda pose: pose.similarity)
            for poses, chosen in ((upright, near), (other, far))
        )
    )


def _best(comparison: _Comparison, starts: list[_Place], scores: Numbers) -> list[Pose]:
    """Optimise the best of starts that are apart."""
    rotations = Rotation.from_matrix([start.turn for start in starts])
    chosen: list[int] = []
    for n in np.argsort(-scores, kind="stable"):
        if all((rotations[n] * rotations[m].inv()).magnitude() > np.deg2rad(_APART_DEGREES) for m in chosen):
            chosen.append(int(n))
        if len(chosen) == _KEPT:
            break
    coarse = [comparison.optimised(starts[n], COARSE_MM) for n in chosen]
    coarse.sort(key=lambda place: -comparison.score(place, COARSE_MM))
    return [comparison.pose(comparison.optimised(place, FINE_MM)) for place in coarse[:_POLISHED]]


@dataclass(frozen=True)
class _Moving:
    """The patient's image, averaged down."""

    frame: Frame
    values: Volume
    roots: Volume
    middle: Numbers
    volume_ml: float

    @classmethod
    def of(cls, image: Volume, frame: Frame, ignored: NDArray[np.bool_] | None) -> _Moving:
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
        sigma = [_FWHM * level_mm / 2.355 / h for h in self.frame.spacing]
        return np.asarray(ndimage.gaussian_filter(self.values, sigma, mode="constant"), np.float32)

    def roots_at(self, voxels: Floats) -> Volume:
        """Square roots of the weights of voxels (3, n), 1 outside of the image."""
        nearest = np.rint(voxels).astype(np.int32)
        i, j, k = (np.clip(n, 0, size - 1) for n, size in zip(nearest, self.roots.shape, strict=True))
        inside = ((nearest >= 0) & (nearest < np.array(self.roots.shape)[:, None])).all(axis=0)
        return np.where(inside, self.roots[i, j, k], np.float32(1))


class _Fixed:
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
class _Place:
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

    def moved(self, step: Numbers) -> _Place:
        """Turn by a rotation vector, shift by mm, and enlarge by logarithms."""
        turn = Rotation.from_rotvec(step[:3]).as_matrix() @ self.turn
        return _Place(turn, self.shift + step[3:6], np.clip(self.size + step[6:], *_LOG_SIZE))


class _Comparison:
    """The patient's image against the atlas's at places."""

    def __init__(self, moving: _Moving, fixed: _Fixed) -> None:
        self._moving, self._fixed = moving, fixed
        self._to_voxels = np.linalg.inv(moving.frame.affine[:3, :3])
        self._smoothed = {mm: moving.smoothed(mm) for mm in fixed.levels}
        self._slopes = {mm: np.gradient(values) for mm, values in self._smoothed.items()}

    def pose(self, place: _Place) -> Pose:
        """Affine from mm of the atlas to mm of the patient, and how well it fits."""
        matrix = np.eye(4)
        matrix[:3, :3] = place.axes
        matrix[:3, 3] = self._moving.middle + place.shift - place.axes @ self._fixed.middle
        return Pose(matrix, self.score(place, FINE_MM))

    def score(self, place: _Place, level_mm: float) -> float:
        """Normalised cross-correlation."""
        difference, _, _ = self._difference(place, level_mm)
        return 1 - float(difference @ difference) / 2

    def optimised(self, place: _Place, level_mm: float) -> _Place:
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

    def _difference(self, place: _Place, level_mm: float) -> tuple[Floats, Floats, tuple[Volume, Volume, float]]:
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

    def _slopes_of(
        self, place: _Place, level_mm: float, voxels: Floats, scaled: tuple[Volume, Volume, float]
    ) -> Floats:
        """Differentiate the difference by a step of `_Place.moved`: (n, 9)."""
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


def _upright() -> Rotation:
    return Rotation.from_euler("x", _UPRIGHT_PITCH, degrees=True)


def _tilts() -> Rotation:
    spread = _spread(_TILTS)
    return (spread[spread.magnitude() <= np.deg2rad(_LARGEST_TILT)]) * _upright()


def _spread(count: int) -> Rotation:
    """Rotations spread evenly over all orientations (super-Fibonacci spirals, Alexa 2022, CVPR)."""
    golden, other = np.sqrt(2.0), 1.533751168755204288118041
    n = np.arange(count) + 0.5
    inner, outer = np.sqrt(n / count), np.sqrt(1 - n / count)
    alpha, beta = 2 * np.pi * n / golden, 2 * np.pi * n / other
    return Rotation.from_quat(
        np.c_[inner * np.sin(alpha), inner * np.cos(alpha), outer * np.sin(beta), outer * np.cos(beta)]
    )


_LOG_SIZE, _STARTING_SIZE = (-0.4, 0.3), (-0.25, 0.15)
_AIR = 0.1  # of the brightest, below which there is noise around a head, or nothing
_ITERATIONS, _LITTLE = 8, 1e-5
_LONGEST = np.repeat([0.4, 25.0, 0.15], 3)  # step: rotation, mm, logarithm of size
