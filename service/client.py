"""A client of the service, with the standard library and numpy alone.

>>> import gliodex
>>> service = gliodex.connect("http://127.0.0.1:8080")
>>> answer = service.query(seg="seg.nii.gz", t1="t1.nii.gz", refine="local")
>>> answer.record["patient_space"], answer.save("result")
"""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
import zipfile
import zlib
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GliodexError

Mask = NDArray[np.bool_]
Files = Mapping[str, str | Path | None]

_ENDED = ("done", "failed", "cancelled")
_POLL_S = 0.5
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ServiceError(GliodexError):
    """What a service refused, or failed at.

    Args:
        problem: its problem document.
    """

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title")))
        self.problem = problem


def connect(url: str, token: str | None = None, timeout_s: float = 60.0) -> Client:
    """Connect to a service.

    Args:
        url: such as http://127.0.0.1:8080.
        token: that it asks for.
        timeout_s: how long to wait for an answer; jobs are waited for as long as they take.

    Raises:
        ServiceError: nobody answers there, or the token is wrong.
    """
    client = Client(url.rstrip("/"), token, timeout_s)
    client.stores()
    return client


class Client:
    """A service; get it from `connect`."""

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        self._url, self._timeout_s = url, timeout_s
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        own = urllib.parse.urlsplit(url).hostname in _LOOPBACK  # no proxy is to see what stays on this machine
        self._opener = urllib.request.build_opener(*[urllib.request.ProxyHandler({})] * own)

    def stores(self) -> list[dict[str, Any]]:
        """Tell what each store is: name, version, tumours, shape and affine of its frame, methods."""
        found: list[dict[str, Any]] = json.loads(self._ask("GET", "/v1/stores"))
        return found

    def search(self, core: Mask, whole: Mask, k: int = 15, store: str | None = None) -> dict[str, Any]:
        """Search for two masks on a store's frame, exactly.

        Args:
            core: (x, y, z) boolean.
            whole: likewise.
            k: matches to tell.
            store: name of the store, where there are several.
        """
        body = zlib.compress(np.packbits(core).tobytes() + np.packbits(whole).tobytes(), 1)
        headers = {"content-type": "application/octet-stream", "content-encoding": "deflate"}
        found: dict[str, Any] = json.loads(self._ask("POST", f"/v1/search{_query(k=k, store=store)}", body, headers))
        return found

    def tumour(self, number: int, store: str | None = None) -> dict[str, Any]:
        """Tell what is known of a tumour."""
        found: dict[str, Any] = json.loads(self._ask("GET", f"/v1/tumors/{number}{_query(store=store)}"))
        return found

    def save_density(self, number: int, path: str | Path, store: str | None = None) -> None:
        """Write the density of a tumour as .nii.gz."""
        Path(path).write_bytes(self._ask("GET", f"/v1/tumors/{number}/density{_query(store=store)}"))

    def query(
        self,
        *,
        announce: Callable[[str], None] = lambda stage: None,
        **options: Any,
    ) -> RemoteAnswer:
        """Ask about a patient, and wait for the answer.

        Each file may be NIfTI, NRRD (.seg.nrrd, too), MetaImage (.mha), MGH, one file of DICOM, a zip archive of a
        DICOM series, or the folder of one, which is sent as such an archive.

        Args:
            announce: told of each stage as it begins.
            options: Files and options of a query, those of `gliodex query` with _ for -, such as seg="seg.nii.gz",
                t1="t1.nii.gz", labels="brats" or n4=True (see `retrieval.options`); and store, a name.

        Raises:
            ServiceError: it was refused, or failed; `problem` names the field.
        """
        from ..retrieval.options import FILES

        files: Files = {name: path for name, path in options.items() if name in FILES}
        options = {name: value for name, value in options.items() if name not in FILES}
        body, kind = _multipart({name: str(value) for name, value in options.items() if value is not None}, files)
        told = json.loads(self._ask("POST", "/v1/queries", body, {"content-type": kind}))
        return self.answer(told["id"], announce)

    def answer(self, job: str, announce: Callable[[str], None] = lambda stage: None) -> RemoteAnswer:
        """Wait for a query that was asked before.

        Args:
            job: its id.
            announce: told of each stage as it begins.

        Raises:
            ServiceError: it failed, has been deleted, or nobody has answered for as long as `timeout_s`.
        """
        stage, heard = "", time.monotonic()
        while True:
            try:
                told = json.loads(self._ask("GET", f"/v1/queries/{job}"))
                heard = time.monotonic()
            except ServiceError as error:  # a service that is started again still has the job
                if "status" in error.problem or time.monotonic() - heard > self._timeout_s:
                    raise
                told = {"status": "queued", "stage": ""}
            if told["status"] in _ENDED:
                break
            if told["stage"] not in {"", stage}:
                stage = told["stage"]
                announce(stage)
            time.sleep(_POLL_S)
        if told["status"] != "done":
            raise ServiceError(told["problem"] or {"title": f"the query was {told['status']}"})
        found = RemoteAnswer(self, job)
        found.files = told["files"]
        return found

    def fetch(self, path: str) -> bytes:
        """Fetch what lies at a path of the service."""
        return self._ask("GET", path)

    def delete(self, job: str) -> None:
        """Delete a query with its files."""
        self._ask("DELETE", f"/v1/queries/{job}")

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        try:
            request = urllib.request.Request(
                f"{self._url}{path}", body, dict(headers or {}) | self._headers, method=method
            )
            with self._opener.open(request, timeout=self._timeout_s) as response:
                content: bytes = response.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                raise ServiceError(_problem(error)) from error
        except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            told = f"{self._url} does not answer ({reason}): is `gliodex serve` running there?"
            if body is not None and isinstance(reason, (BrokenPipeError, ConnectionResetError)):
                told = f"{self._url} stopped reading ({reason}): what was sent may be larger than it takes"
            raise ServiceError({"title": "no answer", "detail": told}) from error


class RemoteAnswer:
    """The answer to a query, on the service.

    Args:
        client: of the service.
        job: id of the query.
    """

    def __init__(self, client: Client, job: str) -> None:
        self._client, self.id = client, job
        self.files: list[str] = []
        """Names of its files."""

    @property
    def record(self) -> dict[str, Any]:
        """The content of matches.json: `summary` tells how the files were read, `warnings` what speaks against it."""
        found: dict[str, Any] = json.loads(self._client.fetch(f"/v1/queries/{self.id}/result"))
        return found

    def save(self, folder: str | Path) -> Path:
        """Write all of its files into a folder, which is made; returns it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in self.files:
            (folder / name).write_bytes(self._client.fetch(f"/v1/queries/{self.id}/files/{name}"))
        return folder

    def delete(self) -> None:
        """Delete it from the service."""
        self._client.delete(self.id)


def _query(**values: object) -> str:
    given = {name: value for name, value in values.items() if value is not None}
    return f"?{urllib.parse.urlencode(given)}" if given else ""


def _multipart(fields: Mapping[str, str], files: Files) -> tuple[bytes, str]:
    """Encode a form; names of files stay here, but for what the segmentation's tells of its data set."""
    from .file_names import data_set_in  # what reads images takes a second to import

    boundary = uuid.uuid4().hex
    parts = []
    for name, value in fields.items():
        parts.append(f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for name, path in files.items():
        if path is None:
            continue
        try:
            content = _zipped(Path(path)) if Path(path).is_dir() else Path(path).read_bytes()
        except OSError as error:
            told = f"{path} cannot be read ({error.strerror}): give an image file, or the folder of a DICOM series"
            raise ServiceError({"title": "no such file", "detail": told, "field": name}) from error
        called = (name == "seg" and data_set_in(Path(path).absolute())) or name
        head = (
            f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"; filename="{called}"\r\n'
            "content-type: application/octet-stream\r\n\r\n"
        )
        parts += [head.encode(), content, b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def _zipped(folder: Path) -> bytes:
    """Pack the files of a folder, under numbers for names."""
    packed = io.BytesIO()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, path in enumerate(files):
            archive.writestr(f"{number:06d}{path.suffix}", path.read_bytes())
    return packed.getvalue()


def _problem(error: urllib.error.HTTPError) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(error.read())
    except ValueError:
        return {"title": f"the service answered {error.code}", "status": error.code}
    return found
