"""Files that clients send: taken in small pieces, and looked at before anything of them is unpacked."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from .problems import RefusedError, unusable
from .settings import Limits

_PIECE = 1 << 20
_GZIP = b"\x1f\x8b"
_HEADER_BYTES = {348: 348, 540: 540}  # NIfTI-1 and NIfTI-2


def save_upload(source: BinaryIO, field: str, path: Path, limits: Limits) -> None:
    """Copy what a client sent to a file, and refuse what could not be read safely.

    Args:
        source: the bytes.
        field: of the request, for what is said of it.
        path: of the new file; the name that the client gave it is not used.
        limits: of sizes.

    Raises:
        RefusedError: it is no NIfTI image, damaged, or too large once it is unpacked.
    """
    with path.open("wb") as out:
        while piece := source.read(_PIECE):
            out.write(piece)
    check_image(path, field, limits)


def suffix_of(head: bytes) -> str:
    """Suffix of a NIfTI file that begins with these bytes."""
    return ".nii.gz" if head[:2] == _GZIP else ".nii"


def check_image(path: Path, field: str, limits: Limits) -> None:
    """Refuse a file that is no NIfTI image of a bearable size; nothing is held in memory.

    Raises:
        RefusedError: see `save_upload`.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        try:
            stream = gzip.GzipFile(fileobj=raw) if packed else raw
            head = stream.read(540)
            _check_header(head, field, limits)
            unpacked = len(head)
            while piece := stream.read(_PIECE):
                unpacked += len(piece)
                if unpacked > limits.unpacked_bytes:
                    raise RefusedError(
                        413,
                        "too large",
                        f"{field} unpacks to more than {limits.unpacked_bytes >> 20} MiB: send a smaller image",
                        field,
                    )
        except (OSError, EOFError, zlib.error) as error:
            raise unusable(f"{field} is damaged or cut short: send it again", field) from error


def _check_header(head: bytes, field: str, limits: Limits) -> None:
    for order in "<>":
        if len(head) >= 4 and (size := struct.unpack(f"{order}i", head[:4])[0]) in _HEADER_BYTES:
            break
    else:
        size = 0
    if not size or len(head) < size:
        raise unusable(f"{field} is no NIfTI image: send a .nii or .nii.gz file", field)
    dims = struct.unpack(f"{order}8h", head[40:56]) if size == 348 else struct.unpack(f"{order}8q", head[16:80])
    voxels = 1
    for n in dims[1 : 1 + max(0, min(dims[0], 7))]:
        voxels *= max(n, 1)
    if voxels > limits.voxels:
        raise RefusedError(
            413,
            "too large",
            f"{field} has {voxels:,} voxels, more than {limits.voxels:,}: send a smaller image",
            field,
        )
