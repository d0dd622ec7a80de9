"""Files that end in the hash of what they hold: replaced as a whole, and never read when a byte is wrong.

A record, as JSON behind its length, then bytes, then the SHA-256 of both.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DamagedStoreError
from .atomic_io import replace_file

_LENGTH, _DIGEST = 8, 32


class Sealed(NamedTuple):
    """What such a file holds.

    Args:
        record: plain values.
        data: the bytes behind it.
        sha256: of both, hexadecimal.
    """

    record: dict[str, Any]
    data: memoryview
    sha256: str


def write_sealed(path: Path, record: dict[str, Any], data: bytes | memoryview) -> str:
    """Put a file in the place of another, or of none; returns its hash.

    Raises:
        OutputError: it cannot be written; what was there stays.
    """
    text = json.dumps(record).encode()
    parts = len(text).to_bytes(_LENGTH), text, data
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    replace_file(path, *parts, digest.digest())
    return digest.hexdigest()


def read_sealed(path: Path, again: str) -> Sealed:
    """Read a file and hold it against its hash.

    Args:
        path: of the file.
        again: the command that makes it anew.

    Raises:
        DamagedStoreError: it is not what was written, or cannot be read.
    """
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise DamagedStoreError(
            f"{path} cannot be read ({error.strerror})", hint=f"make it anew with {again}"
        ) from error
    body, seal = content[:-_DIGEST], content[-_DIGEST:]
    if hashlib.sha256(body).digest() != seal:
        raise DamagedStoreError(f"{path} is damaged", hint=f"make it anew with {again}")
    behind = _LENGTH + int.from_bytes(body[:_LENGTH])
    return Sealed(json.loads(bytes(body[_LENGTH:behind])), body[behind:], seal.hex())


def seal_of(path: Path) -> str | None:
    """Hash that a file ends in, without reading the rest; None where there is no file.

    Of a file too short for one, all that is there: no hash of anything.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _DIGEST))
            return file.read().hex()
    except OSError:
        return None
