"""Files of a store in an object store: Amazon S3 and what speaks its language, Google Cloud Storage, Azure.

On obstore, the library that zarr's own `ObjectStore` is made of, so any Zarr reader opens a segment there. Credentials,
region and endpoint come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from ..errors import DamagedStoreError, InputError, OutputError
from .storage import StoreFiles

_ANSWER_SECONDS, _PATIENCE_SECONDS = 30, 60  # for one answer; for all tries together
_GRACE = timedelta(days=1)


class ObjectFiles(StoreFiles):
    """Files below a URL.

    No lock can be held there that a dead process would not leave behind. Two committers cannot both publish a version:
    the second one's conditional put fails, and it is told. What no version names is left alone for a day.
    """

    shared = False

    def __init__(self, url: str) -> None:
        self.root: str = url.rstrip("/")
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.derived = caches / "gliodex" / hashlib.sha256(self.root.encode()).hexdigest()[:16]
        allow_http = os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"}
        try:
            self._store = from_url(
                self.root,
                retry_config={"max_retries": 8, "retry_timeout": timedelta(seconds=_PATIENCE_SECONDS)},
                client_options={"timeout": f"{_ANSWER_SECONDS}s", "connect_timeout": "5s", "allow_http": allow_http},
            )
        except (BaseError, ValueError) as error:
            raise InputError(f"{url} cannot be used: {_first_line(error)}") from error

    def path(self, key: str) -> str:
        """See `StoreFiles`."""
        return f"{self.root}/{key}"

    def sizes(self, below: str = "") -> dict[str, int]:
        """See `StoreFiles`."""
        return {str(found["path"]): int(found["size"]) for found in self._listed(below)}

    def sizes_of(self, keys: Sequence[str]) -> list[int | None]:
        """See `StoreFiles`."""
        folders = {key.split("/")[0] for key in keys}
        present = {key: size for folder in folders for key, size in self.sizes(folder).items()}
        return [present.get(key) for key in keys]

    def read(self, key: str, start: int = 0, count: int = -1) -> bytes:
        """See `StoreFiles`."""
        try:
            if count < 0:
                data = bytes(obstore.get(self._store, key).bytes())[start:]
            elif count == 0:
                data = b""
            else:
                data = bytes(obstore.get_range(self._store, key, start=start, length=count))
        except FileNotFoundError:
            raise DamagedStoreError(
                f"{self.path(key)} is missing", hint="restore it, or build the store anew"
            ) from None
        except BaseError as error:
            raise OutputError(f"cannot read {self.path(key)}: {_first_line(error)}") from error
        if 0 <= count != len(data):
            raise DamagedStoreError(
                f"{self.path(key)} is cut short: {len(data)} of {count} bytes at {start}", hint="restore it from a copy"
            )
        return data

    def create(self, key: str, data: bytes) -> str:
        """See `StoreFiles`."""
        try:
            obstore.put(self._store, key, data, mode="create")
        except AlreadyExistsError as error:
            # a put that was repeated because its answer got lost finds itself there
            if self.read(key) != data:
                raise FileExistsError(self.path(key)) from error
        except (BaseError, OSError) as error:
            raise OutputError(
                f"cannot write {self.path(key)}: {_first_line(error)}", hint="run the same command again"
            ) from error
        return hashlib.sha256(data).hexdigest()

    def remove(self, key: str) -> int:
        """See `StoreFiles`."""
        try:
            freed = int(obstore.head(self._store, key)["size"])
            obstore.delete(self._store, key)
        except (BaseError, OSError) as error:
            raise OutputError(f"cannot delete {self.path(key)}: {_first_line(error)}") from error
        return freed

    def tidy(self) -> None:
        """Do nothing: there are no folders in an object store."""

    def committer(self, purpose: str) -> AbstractContextManager[None]:
        """See `StoreFiles`."""
        del purpose
        return nullcontext()

    def may_be_in_progress(self, key: str) -> bool:
        """See `StoreFiles`."""
        try:
            modified: datetime = obstore.head(self._store, key)["last_modified"]
        except FileNotFoundError:  # someone else has taken it away
            return True
        except BaseError as error:
            raise OutputError(f"cannot reach {self.path(key)}: {_first_line(error)}") from error
        return datetime.now(UTC) - modified < _GRACE

    def _listed(self, below: str) -> list[obstore.ObjectMeta]:
        try:
            found = [meta for page in obstore.list(self._store, prefix=below or None) for meta in page]
        except (BaseError, OSError) as error:
            raise OutputError(f"cannot reach {self.root}: {_first_line(error)}") from error
        return sorted(found, key=lambda meta: meta["path"])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
