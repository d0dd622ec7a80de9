"""Bytes of image files that a user brings: reached, decompressed and read within bounds, whatever they promise.

A header is a claim. Nothing is allocated before the claim was compared with the limits here, and no compressed stream
is read further than the header needs, but for a short rest that holds its checksum.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

MAX_VOXELS = 2**29
"""Values of one file; a head at 0.5 mm has 7e7 of them."""

MAX_BYTES = 3 * 2**29
"""Bytes of the values of one file; they and a scaled copy of this size together stay below 4 GB."""

_MAX_REST = 1 << 26
"""Bytes that may stand before or after the values: extensions, padding, a footer."""

_PIECE = 1 << 22
_GZIP_HEADER = 1 << 17
_GZIP = b"\x1f\x8b\x08"


def is_folder(path: Path) -> bool:
    """Tell a folder from a file.

    Raises:
        InputError: neither is there, or it cannot be reached, or it is a device, a pipe or a socket.
    """
    with reading(path):
        mode = os.stat(path).st_mode
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        raise InputError(
            f"{path} is neither a file nor a folder (a device, a pipe or a socket)", hint="give an image file"
        )
    return stat.S_ISDIR(mode)


def open_file(path: Path, *, decompressed: bool = True) -> IO[bytes]:
    """Open a file for reading.

    Args:
        path: of the file.
        decompressed: where its first bytes are those of gzip, whatever its name says.

    Raises:
        InputError: it cannot be opened.
    """
    if is_folder(path):
        raise InputError(f"{path} is a folder", hint="give a file")
    with reading(path):
        raw = open(path, "rb")  # noqa: SIM115
        start = raw.read(_GZIP_HEADER)
        raw.seek(0)
        compressed = decompressed and start.startswith(_GZIP)
        if compressed and not _gzip_header_ends(start):
            raw.close()
            raise InputError(f"{path} is damaged: its gzip header does not end, copy it again")
        return cast(IO[bytes], _Gunzipped(raw)) if compressed else raw


def _gzip_header_ends(start: bytes) -> bool:
    """Whether the name and the comment in a gzip header end soon: they are read byte by byte (RFC 1952, 2.3)."""
    flags, at = start[3:4], 10
    if not flags:
        return True
    if flags[0] & 4:
        at += 2 + int.from_bytes(start[10:12], "little")
    for flag in (8, 16):
        if flags[0] & flag:
            at = start.find(b"\0", at) + 1
            if not at:
                return len(start) < _GZIP_HEADER
    return True


class _Gunzipped(gzip.GzipFile):
    """A gzip stream that closes the file below it."""

    def __init__(self, raw: io.BufferedReader) -> None:
        super().__init__(fileobj=raw, mode="rb")
        self._below = raw

    def close(self) -> None:
        super().close()
        self._below.close()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what can go wrong between a path and its bytes into one line that names the path.

    Raises:
        InputError: of any OSError, a name that no file can have, or a stream that is damaged or cut short.
    """
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(_words(path, error)) from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read ({first_line(error)})") from error


def _words(path: Path, error: Exception) -> str:
    if not isinstance(error, OSError) or error.errno is None:  # of a decompressor
        return f"{path} is damaged or cut short ({first_line(error)}): copy it again"
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return f"{path}{_missing(path)}"
    if error.errno == errno.ENAMETOOLONG:
        return f"{str(path)[:80]}... is a name of {len(str(path))} letters, too long for a file: is it a path?"
    return f"{path} {_WORDS.get(error.errno, f'cannot be read ({error.strerror or first_line(error)})')}"


_DENIED = "may not be read (permission denied): ask its owner, or copy it to a folder of your own"
_WORDS = {
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ELOOP: "is a link that leads back to itself: give the file that it should lead to",
}


def _missing(path: Path) -> str:
    target = _link_target(path)
    if target is None:
        return ": no such file"
    fetch = ": fetch it with `git annex get`" if "annex" in target else ""
    return f" is a link to {target}, which does not exist{fetch}"


def _link_target(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except (OSError, ValueError):
        return None


def check_size(path: Path, shape: Sequence[int], dtype: np.dtype[np.generic], copies: int = 1) -> None:
    """Compare what a header promises with the limits.

    Args:
        path: of the file, for the message.
        shape: of its values.
        dtype: of one value.
        copies: of the values that will exist at a time, where they take more than these bytes.

    Raises:
        InputError: an axis has no length, or the values are too many.
    """
    count = 1
    for length in shape:
        count *= int(length)
    if not shape or min(shape) < 1:
        raise InputError(f"{path} has the impossible shape {tuple(shape)}: its header is damaged, copy it again")
    if count > MAX_VOXELS or count * dtype.itemsize * copies > MAX_BYTES:
        raise InputError(
            f"{path} says that it holds {count:,} values of {dtype.itemsize} bytes (shape {tuple(shape)}): "
            f"at most {MAX_VOXELS:,} values and {MAX_BYTES:,} bytes are read, so crop or resample it first"
        )


def read_exactly(file: IO[bytes], count: int, path: Path) -> bytes:
    """Read `count` bytes of a header.

    Raises:
        InputError: the file ends before.
    """
    with reading(path):
        content = file.read(count)
        while len(content) < count:
            piece = file.read(count - len(content))
            if not piece:
                raise InputError(f"{path} is cut short: it ends within its header, copy it again")
            content += piece
    return content


def skip(file: IO[bytes], count: int, path: Path) -> None:
    """Pass over `count` bytes between a header and its values.

    Raises:
        InputError: the file ends before, or the header wants to skip more than any file needs.
    """
    if not 0 <= count <= _MAX_REST:
        raise InputError(f"{path} says that its values begin after {count:,} bytes: its header is damaged")
    while count > 0:
        count -= len(read_exactly(file, min(count, _PIECE), path))


def seek_last(file: IO[bytes], count: int, path: Path) -> None:
    """Go to the last `count` bytes of a file that is not compressed.

    Raises:
        InputError: the file is compressed or shorter.
    """
    with reading(path):
        if not isinstance(file, io.BufferedReader):
            raise InputError(
                f"{path} is compressed, and its values cannot be found from its end", hint="unpack it first"
            )
        if file.seek(0, os.SEEK_END) < count:
            raise InputError(f"{path} is cut short: it is shorter than its {count:,} bytes of values, copy it again")
        file.seek(-count, os.SEEK_END)


def read_values(file: IO[bytes], shape: Sequence[int], dtype: np.dtype[np.generic], path: Path) -> NDArray[np.generic]:
    """Read an array whose first axis varies fastest, as every format of medical images has it.

    Returns:
        array of `shape` in the native byte order.

    Raises:
        InputError: too large, cut short, or damaged.
    """
    check_size(path, shape, dtype)
    values = np.empty(int(np.prod(shape, dtype=np.int64)), dtype)
    view = memoryview(values.view(np.uint8))  # type: ignore[arg-type]
    done = 0
    with reading(path):
        while done < len(view):
            count = _read_into(file, view[done : done + _PIECE])
            if not count:
                raise InputError(
                    f"{path} is cut short: it holds {done:,} of {len(view):,} bytes of values, copy it again"
                )
            done += count
    native = values.byteswap(inplace=True).view(dtype.newbyteorder("=")) if not dtype.isnative else values
    return native.reshape(tuple(shape), order="F")


def _read_into(file: IO[bytes], view: memoryview) -> int:
    if isinstance(file, io.BufferedIOBase | io.RawIOBase):
        return file.readinto(view) or 0
    piece = file.read(len(view))
    view[: len(piece)] = piece
    return len(piece)


def check_rest(file: IO[bytes], path: Path) -> None:
    """Read a compressed stream to its end, where its checksum is.

    Raises:
        InputError: the checksum is wrong, or much more follows than a file of this size needs.
    """
    if isinstance(file, io.BufferedReader):
        return
    rest = 0
    with reading(path):
        while piece := file.read(_PIECE):
            rest += len(piece)
            if rest > _MAX_REST:
                raise InputError(
                    f"{path} goes on for more than {_MAX_REST:,} bytes after the values that its header names: "
                    "it is damaged or not what it says"
                )


def first_line(error: Exception) -> str:
    """Shorten the text of an exception to what fits in a message."""
    lines = str(error).strip().splitlines()
    return printable(lines[0], 120) if lines else type(error).__name__


def printable(text: str, longest: int = 80) -> str:
    """Bring text out of a file to one line without control characters, which could do harm on a terminal."""
    return "".join(c if c.isprintable() else " " for c in text[:longest]).strip()
