"""A correspondence that ANTs made: kept in a folder, applied to images, read back for reuse.

The one place that knows how ITK sees the world: x to the left, y to the back.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...store.atlas import Atlas
from ...store.cores import available_cores
from ...store.frame import Frame
from ...store.image_bytes import first_line
from ...store.scratch import scratch_folder
from ...store.stopping import stopping_at_once
from .choices import Method

RECORD_FILE = "transform.json"


@dataclass(frozen=True)
class RegistrationRecord:
    """How a transform was made, for the record and for reuse.

    Args:
        method: fast, syn or affine.
        moving: the patient image.
        atlas: name and digest of the fixed image's atlas.
        seed, threads: of ANTs. One thread repeats a result; several move it by a few tenths of a millimetre.
        correlation: of ranks (Spearman), of the warped patient with the atlas inside the brain, tumour excluded.
        versions: of the software.
        pose: how the head lay in the image before: its tilt, and how much it resembles the atlas at low resolution,
            and would in the next best orientation.
        doubts: for the reader of the report.
        made_for: the tumour that it was made for, see `reuse_doubts`.
    """

    method: Method
    moving: str
    atlas: dict[str, str]
    seed: int
    threads: int
    correlation: float
    versions: dict[str, str]
    pose: dict[str, float] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    made_for: dict[str, object] = field(default_factory=dict)


class AntsMap:
    """A correspondence made by ANTs: an affine file and, unless affine only, a warp and its inverse.

    Args:
        folder: holds affine.mat, warp.nii.gz, inverse_warp.nii.gz and transform.json.
    """

    def __init__(self, folder: Path, record: RegistrationRecord) -> None:
        self.folder = folder
        self.record = record
        self.keeper: object = None
        """What removes a temporary folder when the map is no longer used."""

    def to_atlas(self, data: NDArray[np.float32], source: Frame, target: Frame) -> NDArray[np.float32]:
        """See `SpatialMap`."""
        steps = ["warp.nii.gz"] if self._deforms else []
        return self._apply(data, source, target, [*steps, "affine.mat"], [False] * (len(steps) + 1))

    def to_patient(self, data: NDArray[np.float32], source: Frame, target: Frame) -> NDArray[np.float32]:
        """See `SpatialMap`."""
        steps = ["inverse_warp.nii.gz"] if self._deforms else []
        return self._apply(data, source, target, ["affine.mat", *steps], [True, *[False] * len(steps)])

    def describe(self) -> dict[str, object]:
        """See `SpatialMap`."""
        told = asdict(self.record)
        del told["made_for"]  # long, and of use to the next query alone
        return {"kind": "ants"} | told

    def _apply(
        self, data: NDArray[np.float32], source: Frame, target: Frame, names: list[str], invert: list[bool]
    ) -> NDArray[np.float32]:
        import ants

        try:
            with _within_reach(self.folder) as folder, quietly():
                warped = ants.apply_transforms(
                    to_ants(np.zeros(target.shape, np.float32), target),
                    to_ants(data, source),
                    transformlist=[str(folder / name) for name in names],
                    whichtoinvert=invert,
                    interpolator="linear",
                )
        except RuntimeError as error:
            files = " or ".join(str(self.folder / name) for name in names)
            raise InputError(f"{files} is damaged ({first_line(error)})", hint="register anew with ‹t1›") from error
        return np.asarray(warped.numpy(), dtype=np.float32)

    @property
    def _deforms(self) -> bool:
        return self.record.method != "affine"


def load_transform(folder: Path, atlas: Atlas) -> AntsMap:
    """Reuse the transform that an earlier query left in `folder`.

    Raises:
        InputError: there is none, a file is missing, or it leads to another atlas.
    """
    path = folder / RECORD_FILE
    try:
        record = RegistrationRecord(**json.loads(path.read_text()))
        record = replace(record, doubts=tuple(record.doubts))
        leads_to = record.atlas["digest"]
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{folder} holds no transform", hint="give the `transform` folder of an earlier query"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged ({error})", hint="register anew with ‹t1›") from error
    if leads_to != atlas.digest:
        raise InputError(
            f"{folder} leads to the atlas {record.atlas['name']}, not to this store's", hint="register anew"
        )
    needed = ["affine.mat"] + ([] if record.method == "affine" else ["warp.nii.gz", "inverse_warp.nii.gz"])
    for name in needed:
        if not (folder / name).is_file():
            raise InputError(f"{folder / name} is missing", hint="register anew with ‹t1›")
    ants_module(record.seed, record.threads)
    return AntsMap(folder, record)


def affine_matrix(found: AntsMap) -> NDArray[np.float64]:
    """Read the affine part as a (4, 4) map from mm of the atlas world to mm of the patient's, RAS+."""
    with _within_reach(found.folder) as folder:
        return read_affine(folder / "affine.mat")


def read_affine(path: Path) -> NDArray[np.float64]:
    """Read an affine (4, 4) that ITK wrote, mm of the fixed world to mm of the moving one, RAS+."""
    import ants

    transform = ants.read_transform(str(path))
    origin = np.array(transform.apply_to_point((0.0, 0.0, 0.0)))
    axes = np.array([transform.apply_to_point(tuple(e)) for e in np.eye(3)])
    matrix = np.eye(4)
    matrix[:3, :3] = (axes - origin).T
    matrix[:3, 3] = origin
    return np.asarray(_LPS @ matrix @ _LPS)


def write_affine(patient_from_atlas: NDArray[np.float64], path: Path) -> None:
    """Write an affine (4, 4), mm of the atlas world to mm of the patient's, RAS+, as a file that ITK reads."""
    import ants

    matrix = _LPS @ patient_from_atlas @ _LPS
    made = ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, matrix=matrix[:3, :3], translation=matrix[:3, 3]
    )
    ants.write_transform(made, str(path))


@contextmanager
def quietly() -> Iterator[None]:
    """Run native code of ITK: what it prints, dozens of lines when it fails, does not reach the user's terminal.

    It holds the interpreter, so that a signal which ends the command ends it at once.
    """
    sys.stderr.flush()
    sys.stdout.flush()
    kept = [(number, os.dup(number)) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number, _ in kept:
            os.dup2(nowhere, number)
        with stopping_at_once():
            yield
    finally:
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


THREADS = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"
"""Environment variable that ITK takes its threads from."""


def ants_module(seed: int, threads: int | None) -> Any:
    """Import ANTs, which takes a second, with its seed and threads set; all available cores by default."""
    import ants
    from ants import config

    config.set_ants_deterministic(True, seed)  # also asks for one thread
    os.environ[THREADS] = str(threads or available_cores())
    return ants


def to_ants(data: NDArray[np.float32], frame: Frame) -> Any:
    """Hand an array to ANTs with its place in the world, RAS+ turned into ITK's LPS+."""
    import ants

    affine = _LPS @ frame.affine
    spacing = np.asarray(frame.spacing)
    return ants.from_numpy(
        np.ascontiguousarray(data, dtype=np.float32),
        origin=tuple(affine[:3, 3]),
        spacing=tuple(spacing),
        direction=affine[:3, :3] / spacing,
    )


@contextmanager
def _within_reach(folder: Path) -> Iterator[Path]:
    """Give a folder a name that ITK can take: its own, or a link where that is no UTF-8."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        with scratch_folder() as scratch:
            link = scratch / "transform"
            link.symlink_to(folder.absolute())
            yield link
    else:
        yield folder


_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's world has x to the left and y to the back
