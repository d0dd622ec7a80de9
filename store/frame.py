"""The grid that an array lives on: a shape and the affine from voxel indices to millimetres.

World coordinates are RAS+ (x to the right, y to the front, z to the head), in mm. No array travels without its frame.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from nibabel.orientations import aff2axcodes
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ..errors import InputError

FloatArray = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Frame:
    """A voxel grid in world space.

    Args:
        shape: voxels along (i, j, k).
        affine: (4, 4), voxel indices to RAS+ mm; voxel centres sit on integer indices.

    Raises:
        InputError: the affine is not finite or not invertible, or the shape is not three positive numbers.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        affine = np.array(self.affine, dtype=np.float64)
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(f"a frame needs three positive sizes, not {self.shape}")
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-9:
            raise InputError(f"a frame needs a finite, invertible 4 x 4 affine, not {affine.tolist()}")
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @classmethod
    def centred(cls, centre: ArrayLike, size: int = 128, spacing: float = 2.0) -> Frame:
        """Build the cubic RAS frame of `size`³ voxels of `spacing` mm whose middle is `centre` (mm)."""
        affine = np.diag([spacing, spacing, spacing, 1.0])
        affine[:3, 3] = np.asarray(centre, dtype=np.float64) - spacing * (size - 1) / 2
        return cls((size, size, size), affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel edge lengths in mm."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in ml."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def axis_codes(self) -> str:
        """Direction that each voxel axis runs in, nearest world axis first named: 'RAS', 'LPS', ..."""
        return "".join(aff2axcodes(self.affine))

    @property
    def shears(self) -> bool:
        """Whether the voxel axes are not perpendicular (no scanner grid; a resliced affine may be so)."""
        axes = self.affine[:3, :3] / np.asarray(self.spacing)
        return not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3)

    def world(self, voxels: ArrayLike) -> NDArray[np.float64]:
        """Millimetres of voxel indices; both (..., 3), indices may be fractional."""
        return np.asarray(np.asarray(voxels, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3])

    def voxel(self, world: ArrayLike) -> NDArray[np.float64]:
        """Fractional voxel indices of world points in mm; both (..., 3)."""
        inverse = np.linalg.inv(self.affine)
        return np.asarray(np.asarray(world, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3])

    def from_fraction(self, fraction: ArrayLike) -> NDArray[np.float64]:
        """World mm of positions written as fractions of the longest edge, as Ezhov et al. (2022, 2023) write seeds.

        GliomaSolver puts voxel i at floor(fraction * longest axis) on every axis, so fraction 0 is the outer
        corner of the first voxel and 1 is the longest edge away from it.
        """
        return self.world(np.asarray(fraction, dtype=np.float64) * max(self.shape) - 0.5)

    def to_fraction(self, world: ArrayLike) -> NDArray[np.float64]:
        """Inverse of `from_fraction`."""
        return (self.voxel(world) + 0.5) / max(self.shape)

    def same_as(self, other: Frame, tolerance_mm: float = 1e-3) -> bool:
        """Whether both grids have the same shape and the same voxel centres to `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        corners = np.array(list(np.ndindex(2, 2, 2))) * (np.asarray(self.shape) - 1)
        return bool(np.abs(self.world(corners) - other.world(corners)).max() <= tolerance_mm)

    def voxel_map_from(self, source: Frame, world_map: FloatArray | None = None) -> NDArray[np.float64]:
        """Affine (4, 4) from voxels of this frame to voxels of `source`, through `world_map` in world mm."""
        middle = np.eye(4) if world_map is None else world_map
        return np.asarray(np.linalg.inv(source.affine) @ middle @ self.affine, dtype=np.float64)

    def resample(
        self,
        data: NDArray[np.generic],
        source: Frame,
        *,
        order: int = 1,
        world_map: FloatArray | None = None,
        oversample: int = 1,
    ) -> NDArray[np.float32]:
        """Sample `data`, which lives on `source`, at this frame's voxels; zero outside.

        Args:
            data: array of `source.shape`.
            source: where `data` lives.
            order: spline order, 0 is nearest neighbour.
            world_map: affine (4, 4) from world mm of this frame to world mm of `source`; identity by default.
            oversample: average over this many points along each axis of a voxel, so that going to a coarser
                grid keeps volume instead of picking points.

        Returns:
            float32 array of this frame's shape.
        """
        if data.shape != source.shape:
            raise InputError(f"array of shape {data.shape} does not live on a frame of shape {source.shape}")
        matrix = self.voxel_map_from(source, world_map)
        values = np.ascontiguousarray(data, dtype=np.float32)  # NIfTI files are in Fortran order: 2.5 times as slow
        total = np.zeros(self.shape, np.float32)
        # a tumour is small, and all around it is 0; tissue is averaged over all voxels, so that an atlas keeps its bits
        box = _reached(values, matrix, self.shape) if order == oversample == 1 else (slice(None),) * 3
        part, low = total[box], np.array([side.start or 0 for side in box])
        for shift in _sub_voxel_shifts(oversample):
            part += ndimage.affine_transform(
                values,
                matrix[:3, :3],
                matrix[:3, :3] @ (low + shift) + matrix[:3, 3],
                output_shape=part.shape,
                output=np.float32,
                order=order,
                mode="grid-constant",
            )
        return total / np.float32(oversample**3)

    def in_world(self, world_map: FloatArray) -> Frame:
        """Frame of the same voxels in another world, through an affine (4, 4) from this world's mm to that one's."""
        return Frame(self.shape, world_map @ self.affine)

    def turn_to(self, codes: str) -> NDArray[np.float64]:
        """Affine (4, 4) that turns the world about the middle of the grid so that its axes run as `codes` say.

        Args:
            codes: directions of the voxel axes, such as LPS. A mirror image is one of the turns.

        Raises:
            InputError: they are not three letters of R or L, A or P, and S or I.
        """
        wanted = codes.upper()
        if sorted(wanted.translate(str.maketrans("LPI", "RAS"))) != ["A", "R", "S"]:
            raise InputError(
                f"an orientation is three letters, one of R and L, one of A and P, one of S and I (such as LPS), not "
                f"`{codes}`"
            )
        now, then = (_directions(c) for c in (self.axis_codes, wanted))
        turn = np.eye(4)
        turn[:3, :3] = then @ now.T
        middle = self.world((np.asarray(self.shape) - 1) / 2)
        turn[:3, 3] = middle - turn[:3, :3] @ middle
        return turn

    def crop(self, low: ArrayLike, high: ArrayLike) -> Frame:
        """Frame of the voxels from `low` up to, not including, `high`; both (3,) indices."""
        start, stop = np.asarray(low, dtype=int), np.asarray(high, dtype=int)
        affine = self.affine.copy()
        affine[:3, 3] = self.world(start)
        i, j, k = (int(n) for n in stop - start)
        return Frame((i, j, k), affine)

    def coarsened(self, factors: tuple[int, int, int]) -> Frame:
        """Frame whose voxels are blocks of `factors` voxels of this one; a rest at the far ends is dropped."""
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, :3] * np.asarray(factors)
        affine[:3, 3] = self.world((np.asarray(factors) - 1) / 2)
        i, j, k = (max(1, n // f) for n, f in zip(self.shape, factors, strict=True))
        return Frame((i, j, k), affine)

    def refined(self, factor: int) -> Frame:
        """Frame of the same box with every voxel cut into `factor`³."""
        affine = self.affine.copy()
        affine[:3, :3] /= factor
        affine[:3, 3] = self.world(np.full(3, 0.5 / factor - 0.5))
        i, j, k = (n * factor for n in self.shape)
        return Frame((i, j, k), affine)

    def as_record(self) -> dict[str, object]:
        """Plain values for JSON; `from_record` reads them back exactly."""
        return {"shape": list(self.shape), "affine": self.affine.tolist(), "world": "RAS+ mm"}

    @classmethod
    def from_record(cls, record: dict[str, object]) -> Frame:
        """Build a frame from what `as_record` wrote."""
        return cls(tuple(record["shape"]), np.array(record["affine"]))  # type: ignore[arg-type]


def _directions(codes: str) -> NDArray[np.float64]:
    """Give unit vectors (3, 3) of the world, a column for each letter."""
    axes = np.zeros((3, 3))
    for column, code in enumerate(codes):
        place = "RASLPI".index(code)
        axes[place % 3, column] = 1.0 if place < 3 else -1.0
    return axes


def _reached(
    values: NDArray[np.float32], matrix: NDArray[np.float64], shape: tuple[int, int, int]
) -> tuple[slice, slice, slice]:
    """Box of a grid outside of which linear interpolation gives 0.

    Args:
        values: to be interpolated.
        matrix: (4, 4), voxels of the grid to voxels of `values`.
        shape: of the grid.
    """
    filled = values != 0
    ends = []
    for axis in range(3):
        along = np.flatnonzero(filled.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(along):
            return slice(0, 0), slice(0, 0), slice(0, 0)
        ends.append((along[0] - 1.0, along[-1] + 1.0))
    corners = np.array(list(itertools.product(*ends)))
    inverse = np.linalg.inv(matrix)
    there = corners @ inverse[:3, :3].T + inverse[:3, 3]
    low = np.clip(np.floor(there.min(axis=0)), 0, shape).astype(int)
    high = np.clip(np.ceil(there.max(axis=0)) + 1, low, shape).astype(int)
    i, j, k = (slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
    return i, j, k


def _sub_voxel_shifts(count: int) -> Iterator[NDArray[np.float64]]:
    offsets = (np.arange(count) + 0.5) / count - 0.5
    for index in np.ndindex(count, count, count):
        yield offsets[list(index)]
