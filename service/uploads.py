"""Files that clients send: stored under names of the service's own, and read alone before anything is done with them.

A file may name another as that of its values, and a slice of a DICOM series stands for its neighbours. Each file is
therefore read first where nothing else lies, and only what holds a whole image is put beside the others.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

from ..errors import GliodexError, InputError
from ..retrieval.imaging.readers import read_image, read_volume
from ..store.image_format import Format, find_format, first_bytes
from .file_names import data_set_in
from .problems import RefusedError, problem_of, unusable
from .settings import Limits

_PIECE = 1 << 20
_GZIP = b"\x1f\x8b"

_SUFFIXES: dict[Format, str] = {
    "NIfTI": ".nii",
    "NRRD": ".nrrd",
    "MetaImage": ".mha",
    "MGH": ".mgh",
    "DICOM": ".dcm",
    "zip": ".zip",
}

_VALUES_ELSEWHERE = re.compile(
    rb"^(?:data ?file\s*:|ElementDataFile\s*=(?!\s*LOCAL\s*$))", re.MULTILINE | re.IGNORECASE
)

LABELLED = ("seg", "core_mask", "whole_mask")
"""Fields that hold labels, which may come as channels; the others hold one volume of intensities."""


def save_upload(source: BinaryIO, field: str, folder: Path, sent_as: str = "") -> None:
    """Copy what a client sent to where nothing else lies.

    Args:
        source: the bytes.
        field: of the request.
        folder: of the request's files.
        sent_as: name that the client gave it, of which nothing is kept but that of a data set.
    """
    alone = _alone(folder, field)
    alone.mkdir()
    data_set = data_set_in(Path("/") / sent_as.replace("\0", "")) if field == "seg" and sent_as else ""
    with (alone / (f"{data_set}.{field}" if data_set else field)).open("wb") as out:
        while piece := source.read(_PIECE):
            out.write(piece)


def take_upload(folder: Path, field: str, limits: Limits) -> str:
    """Read a file that was saved, and put it beside the others under a name that tells what it is.

    Args:
        folder: of the request's files.
        field: of the request.
        limits: of one image.

    Returns:
        name of the file in the folder.

    Raises:
        RefusedError: it holds no whole image, is damaged, or too large.
    """
    (sent,) = _alone(folder, field).iterdir()
    try:
        path = sent.rename(sent.with_name(sent.name + _suffix_of(sent, field)))
        sent = path
        volume = read_volume(path) if field in LABELLED else read_image(path)
    except RefusedError:
        raise
    except GliodexError as error:
        problem = problem_of(error, {field: sent}, {"what was sent": str(folder)})
        raise RefusedError(problem.status, problem.title, problem.cause, field, hint=problem.remedy) from error
    if volume.data.size > limits.voxels:
        raise RefusedError(
            413,
            "too large",
            f"{field} has {volume.data.size:,} voxels, more than {limits.voxels:,}",
            field,
            hint="send a smaller image",
        )
    path.rename(folder / path.name)
    path.parent.rmdir()
    return path.name


def _alone(folder: Path, field: str) -> Path:
    return folder / f".{field}"


def _suffix_of(path: Path, field: str) -> str:
    """Suffix that fits a file, by its first bytes.

    Raises:
        RefusedError: it is one of several files.
        InputError: it is no image.
    """
    found = find_format(path)
    if found == "NIfTI pair":
        raise unusable(
            f"{field} is one of the two files of a NIfTI pair", field, hint="send one file (.nii or .nii.gz)"
        )
    if found in {"NRRD", "MetaImage"} and _VALUES_ELSEWHERE.search(_header(first_bytes(path))):
        raise unusable(
            f"{field} is a header whose values are in another file",
            field,
            hint="send one file that holds both (.nrrd or .mha)",
        )
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    if not packed:
        return _SUFFIXES[found]
    if found in {"DICOM", "zip"}:
        raise InputError(f"{path} is {found} compressed with gzip", hint="send it unpacked")
    return ".mgz" if found == "MGH" else f"{_SUFFIXES[found]}.gz"


def _header(head: bytes) -> bytes:
    """Lines before the values: up to the first empty one in NRRD."""
    return re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
