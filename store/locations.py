"""From what a user calls a store's place to its files."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .local_files import LocalFiles
from .storage import StoreFiles


def files_at(location: str | Path) -> StoreFiles:
    """Files of the store at a folder, or at the URL of an object store such as `s3://bucket/store`.

    Raises:
        InputError: the URL cannot be used, or the library for it is not installed.
    """
    text = str(location)
    if "://" not in text:
        return LocalFiles(text)
    try:
        from .object_files import ObjectFiles  # an extra
    except ImportError as error:
        raise InputError(
            f"{text} is in an object store, which needs another package", hint="pip install 'gliodex[cloud]'"
        ) from error
    return ObjectFiles(text)
