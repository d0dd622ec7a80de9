"""How a head lies in its image: searched over all orientations at low resolution, before any registration.

An optimiser that begins from the header's orientation alone ends 20 mm off where a head nods by 25 degrees, and 60 mm
off where axes are exchanged, and its correlation does not tell (0.38 to 0.62 against 0.45 to 0.71 where it is right).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ...store.atlas import Atlas
from ...store.frame import Frame
from .pose_comparison import COARSE_MM, FINE_MM, Comparison, FixedBrain, MovingHead, Numbers, Place, Volume

_ROTATIONS = 500  # over all orientations: no rotation is farther than some 25 degrees from one of them
_TILTS, _LARGEST_TILT = 4000, 50.0  # and closer around the header's own
_APART_DEGREES = 25.0
_KEPT, _POLISHED = 6, 2  # starts of each kind that are optimised, and of these once more, finer
_UPRIGHT_PITCH = 13.0  # degrees that heads are pitched against ICBM152 in scanners and SRI24 (five patients: 8 to 21)
_STARTING_SIZE = (-0.25, 0.15)  # logarithms
UPRIGHT_DEGREES = 65.0
"""Rotation up to which a head may be tilted: exchanged axes turn it by 90 degrees and more, patients by at most 45."""

_CLEARLY = 0.03
"""Of the similarity, by which another orientation must be better than the header's: where the header was right it was
better by 0.05 to 0.16 than all others, and where it was wrong worse by as much (15 images); a head that lacks its lower
40 % or upper 30 % looks as much like one upside down (-0.01 to 0.03)."""

_AS_GOOD = 0.003  # of the similarity: a head as round as a phantom looks alike however it is turned

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
    moving, fixed = MovingHead.of(image, frame, ignored), FixedBrain(atlas)
    comparison = Comparison(moving, fixed)
    rotations = Rotation.concatenate([Rotation.create_group("O"), _spread(_ROTATIONS), _tilts()])
    size = float(np.clip(np.log(moving.volume_ml / fixed.volume_ml) / 3, *_STARTING_SIZE))
    starts = [Place(turn, np.zeros(3), np.full(3, size)) for turn in rotations.as_matrix()]
    scores = np.array([comparison.score(start, COARSE_MM) for start in starts])
    tilts = np.rad2deg((rotations * _upright().inv()).magnitude())
    near, far = np.flatnonzero(tilts <= UPRIGHT_DEGREES), np.flatnonzero(tilts > UPRIGHT_DEGREES)
    as_filed = comparison.optimised(Place(np.eye(3), np.zeros(3), np.full(3, size)), COARSE_MM)
    found = [_pose(comparison, comparison.optimised(as_filed, FINE_MM))]
    for chosen in (near, far):
        found += _best(comparison, [starts[n] for n in chosen], scores[chosen])
    # an optimum may lie on the other side of the border than its start
    upright = [pose for pose in found if pose.tilt_degrees <= UPRIGHT_DEGREES]
    other = [pose for pose in found if pose.tilt_degrees > UPRIGHT_DEGREES]
    upright_pose, other_pose = (
        _least_turned(poses) if poses else _pose(comparison, starts[int(chosen[np.argmax(scores[chosen])])])
        for poses, chosen in ((upright, near), (other, far))
    )
    return Poses(upright_pose, other_pose)


def _least_turned(poses: list[Pose]) -> Pose:
    """Choose the pose that is most alike; of those as good as it, the one that is turned least against the header."""
    best = max(pose.similarity for pose in poses)
    alike = [pose for pose in poses if pose.similarity >= best - _AS_GOOD]
    return min(alike, key=lambda pose: float(pose.rotation.magnitude()))


def _best(comparison: Comparison, starts: list[Place], scores: Numbers) -> list[Pose]:
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
    return [_pose(comparison, comparison.optimised(place, FINE_MM)) for place in coarse[:_POLISHED]]


def _pose(comparison: Comparison, place: Place) -> Pose:
    return Pose(comparison.matrix(place), comparison.score(place, FINE_MM))


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
