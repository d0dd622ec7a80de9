"""Values of NRRD and MetaImage files: bare, compressed or written as text, in the header's file or beside it."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ....errors import InputError
from ....store import image_bytes
from ....store.image_format import refuse_placeholder

Encoding = Literal["raw", "gzip", "zlib", "bzip2", "text"]

_LETTERS_PER_NUMBER = 32
"""A number written out as text is shorter than this, blanks included."""

_MAX_NUMBERS = 2**24
"""Numbers of one file written as text; Python needs about 100 bytes for each of them while they are read."""


def beside(path: Path, name: str) -> Path:
    """Find the file of values that a header names.

    Raises:
        InputError: the name leads out of the folder of the header, there is no such file, or only a placeholder.
    """
    parts = PurePosixPath(name.replace("\\", "/"))
    if not name.strip() or parts.is_absolute() or ".." in parts.parts or name[1:2] == ":":
        raise InputError(
            f"{path} names {name!r} as the file of its values",
            hint="put that file beside the header and write its bare name",
        )
    values = path.parent / parts
    try:
        folder = image_bytes.is_folder(values)
    except InputError as error:
        raise InputError(f"{path} needs its file of values beside it: {error}") from error
    if folder:
        raise InputError(f"{path} names a folder, {name!r}, as the file of its values", hint="name the file")
    refuse_placeholder(values)
    return values


def read_payload(
    file: IO[bytes],
    encoding: Encoding,
    shape: Sequence[int],
    dtype: np.dtype[np.generic],
    path: Path,
) -> NDArray[np.generic]:
    """Read values from where a file stands to its end: with more, it was written with another type or shape.

    Args:
        file: open at the first byte of the values.
        encoding: how they are written.
        shape: first axis fastest.
        dtype: of the file, with its byte order.
        path: for the message.

    Raises:
        InputError: too large, damaged, cut short, or longer than it should be.
    """
    image_bytes.check_size(path, shape, dtype)
    if encoding == "text":
        return _numbers(file, shape, dtype, path)
    stream = _decoded(file, encoding)
    values = image_bytes.read_values(stream, shape, dtype, path)
    rest = b""
    with image_bytes.reading(path):  # to the end of a compressed stream, where its checksum is
        while len(rest) < _LINE_BREAK and (piece := stream.read(_LINE_BREAK)):
            rest += piece
    if rest not in (b"", b"\n", b"\r\n"):
        raise InputError(
            f"{path} goes on after the {values.nbytes:,} bytes of values that its header names: one of them is wrong"
        )
    return values


_LINE_BREAK = 3  # bytes that tell a line break from more


def _decoded(file: IO[bytes], encoding: Encoding) -> IO[bytes]:
    if encoding == "gzip":
        return cast(IO[bytes], gzip.GzipFile(fileobj=file, mode="rb"))
    if encoding == "bzip2":
        return cast(IO[bytes], bz2.BZ2File(file))
    if encoding == "zlib":
        return cast(IO[bytes], _Inflated(file))
    return file


class _Inflated(io.RawIOBase):
    """A zlib stream, decompressed no further than it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._inflate = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = b""
        while not piece and not self._inflate.eof:
            fresh = self._inflate.unconsumed_tail or self._file.read(1 << 16)
            if not fresh:
                raise EOFError("the compressed stream ended before its end-of-stream marker")
            piece = self._inflate.decompress(fresh, len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _numbers(file: IO[bytes], shape: Sequence[int], dtype: np.dtype[np.generic], path: Path) -> NDArray[np.generic]:
    count = int(np.prod(shape, dtype=np.int64))
    if count > _MAX_NUMBERS:
        raise InputError(f"{path} holds {count:,} numbers written as text", hint="write them in binary first")
    with image_bytes.reading(path):
        words = file.read(count * _LETTERS_PER_NUMBER).split()
    if len(words) != count:
        raise InputError(f"{path} holds {len(words):,} of {count:,} numbers: it is damaged, copy it again")
    try:
        values = np.array([float(word) for word in words])
    except ValueError as error:
        raise InputError(f"{path} holds what is no number ({image_bytes.first_line(error)})") from error
    native = dtype.newbyteorder("=")
    with np.errstate(all="ignore"):
        numbers = values.astype(native)
    if dtype.kind in "iu" and not np.array_equal(numbers, values):
        raise InputError(f"{path} holds numbers that are no {native}, as its header says", hint="repair its header")
    return numbers.reshape(tuple(shape), order="F")
