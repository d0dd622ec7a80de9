"""Reading what clients send, in a process of its own: no file takes the service's memory, holds it up, or ends it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .problems import UNUSABLE, RefusedError
from .settings import Limits


class Reading:
    """A process that reads files, one request at a time; another one where it ends.

    Args:
        limits: of one image, and of the process.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Start the process, so that the first client does not wait for it."""
        with self._lock:
            self._started()

    def read(
        self, options: dict[str, Any], fields: Sequence[str], folder: Path, *, preview: bool = False
    ) -> dict[str, Any]:
        """Read the files of a request that `save_upload` has saved.

        Args:
            options: of the request.
            fields: that are files.
            folder: of the files.
            preview: whether to tell what was understood.

        Returns:
            "files": name of each field's file in the folder; "preview": see `preview_of`, or None.

        Raises:
            RefusedError: a file cannot be used, or reading it takes too long or too much memory.
        """
        asked = {"options": options, "fields": list(fields), "folder": str(folder), "preview": preview}
        at = ""
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            try:
                process.stdin.write(json.dumps(asked).encode() + b"\n")
                process.stdin.flush()
                for told in self._lines(process):
                    if "at" not in told:
                        break
                    at = told["at"]
                else:
                    raise BrokenPipeError
            except BrokenPipeError:
                self._end()
                raise _refused(f"{at or 'a file'} ended the process that read it", at) from None
            except TimeoutError:
                self._end()
                raise _refused(f"{at or 'a file'} was not read within {self._limits.reading_s:g} s", at) from None
        if "problem" in told:
            problem = told["problem"]
            raise RefusedError(
                problem["status"], problem["title"], problem["cause"], problem["field"], hint=problem["remedy"]
            )
        return dict(told)

    def close(self) -> None:
        """End the process, and what it reads; nothing is read any more."""
        self._closed = True
        if self._process is not None:
            _kill(self._process)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise RefusedError(503, "stopping", "the service stops", hint="ask again in a minute")
        if self._process is None or self._process.poll() is not None:
            limits = json.dumps(asdict(self._limits))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gliodex.service.reading_process", limits],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # converters that it starts end with it
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
        return self._process

    def _lines(self, process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
        """Yield what the process tells, until it ends.

        Raises:
            TimeoutError: it takes too long.
        """
        assert process.stdout is not None
        end, rest = time.monotonic() + self._limits.reading_s, b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise TimeoutError
                piece = os.read(process.stdout.fileno(), 1 << 16)
                if not piece:
                    return
                *lines, rest = (rest + piece).split(b"\n")
                yield from map(json.loads, lines)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:  # otherwise its number may be another's
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _refused(what: str, field: str) -> RefusedError:
    return RefusedError(422, UNUSABLE, f"{what}: it may be damaged or too large, send it in another format", field)
