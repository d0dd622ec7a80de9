"""A zip archive of a DICOM series, as a browser can send it: unpacked under limits, then read as a folder."""

from __future__ import annotations

import io
import os
import re
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO

from ....errors import InputError
from ....store import image_bytes
from ....store.image_format import find_format
from ....store.scratch import scratch_folder
from .dicom import read_dicom
from .volume import Volume

MAX_ENTRIES = 20_000
"""Files in one archive; a study of a head has hundreds to a few thousand."""

MAX_RATIO = 200
"""Unpacked bytes for one packed byte; MR series with a black background reach 20."""

_MAX_DIRECTORY = 1 << 23
"""Bytes read in one piece: the directory of 20,000 entries with long names."""

_PIECE = 1 << 20
_FREE_BYTES = 1 << 24
"""Unpacked bytes before the ratio counts, since small files may well be nearly empty."""


def read_zip(path: Path) -> Volume:
    """Read the DICOM series, or the DICOM segmentation, in a zip archive.

    Raises:
        InputError: damaged, encrypted, beyond a limit, with names that leave its folder, with an archive inside, or
            without exactly one image in DICOM.
    """
    with scratch_folder() as folder:
        with image_bytes.reading(path), _BoundedReads(path) as file:
            _unpack(path, file, folder)
        if not any(_is_dicom(unpacked) for unpacked in folder.iterdir()):
            raise InputError(
                f"{path} holds no DICOM files: pack the folder of one series, or give the image file itself"
            )
        try:
            volume = read_dicom(folder)
        except InputError as error:
            raise InputError(str(error).replace(str(folder), str(path))) from error
    return replace(volume, path=path, format=f"{volume.format} (zip)")


def _is_dicom(path: Path) -> bool:
    try:
        return find_format(path) == "DICOM"
    except InputError:
        return False


class _BoundedReads(io.FileIO):
    """A file that refuses what an archive with a hostile directory asks for: huge pieces, places before its start."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if whence == os.SEEK_SET and offset < 0:
            raise zipfile.BadZipFile("a file of it begins before the archive")
        return super().seek(offset, whence)

    def read(self, size: int | None = -1, /) -> bytes:
        whole = size is None or size < 0
        wanted = os.fstat(self.fileno()).st_size - self.tell() if whole else size
        if wanted is not None and wanted > _MAX_DIRECTORY:
            raise InputError(f"{self.name!s} is a zip archive with a directory for more than {MAX_ENTRIES:,} files")
        return super().read(size)


def _unpack(path: Path, file: IO[bytes], folder: Path) -> None:
    """Write every file under a number of its own, with its ending: no name from the archive becomes a path."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check_entries(path, entries)
            entries = [entry for entry in entries if not _is_hidden(entry.filename)]
            total = 0
            for number, entry in enumerate(entries):
                with (
                    archive.open(entry) as packed,
                    open(folder / f"{number:06d}{_ending(entry.filename)}", "wb") as unpacked,
                ):
                    total = _copy(path, packed, unpacked, total, entry)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError) as error:
        raise InputError(f"{path} is a damaged or encrypted zip archive ({image_bytes.first_line(error)})") from error


def _is_hidden(name: str) -> bool:
    return any(part == "__MACOSX" or part.startswith(".") for part in PurePosixPath(name).parts)


def _ending(name: str) -> str:
    found = re.search(r"\.[A-Za-z0-9]{1,8}$", name)
    return found[0] if found else ""


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise InputError(f"{path} holds {len(entries):,} files: at most {MAX_ENTRIES:,} are unpacked, send one series")
    for entry in entries:
        parts = PurePosixPath(entry.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts:
            raise InputError(
                f"{path} holds a file named {entry.filename[:80]!r}, which leads out of its folder: refused"
            )
        if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise InputError(f"{path} is compressed by a rare method: pack it anew as a common zip archive")
    promised = sum(entry.file_size for entry in entries)
    if promised > image_bytes.MAX_BYTES:
        raise InputError(
            f"{path} unpacks to {promised:,} bytes: at most {image_bytes.MAX_BYTES:,} are, send one series"
        )


def _copy(path: Path, packed: IO[bytes], unpacked: IO[bytes], total: int, entry: zipfile.ZipInfo) -> int:
    """Copy one file, counting what really comes out: the sizes in a directory are claims."""
    done = 0
    while piece := packed.read(_PIECE):
        if not done and piece.startswith(b"PK\x03\x04"):
            raise InputError(
                f"{path} holds another zip archive ({image_bytes.printable(entry.filename)})",
                hint="send one series unpacked",
            )
        done += len(piece)
        too_dense = done > _FREE_BYTES and done > MAX_RATIO * max(1, entry.compress_size)
        if too_dense or total + done > image_bytes.MAX_BYTES:
            raise InputError(
                f"{path} unpacks to far more than a DICOM series has ({image_bytes.printable(entry.filename)}): refused"
            )
        unpacked.write(piece)
    return total + done
