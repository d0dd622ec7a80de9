"""Jobs as folders: what was asked, how far it has come, and what came out, for any process to read.

A state is a small file that is replaced whole, so that a reader never sees half of it, and a job that is killed at any
moment is found as it was. Who works on a job holds its lock, and so do the processes that it starts: a lock that is
free is one whose holders are gone, and entries of a queue may be lost or doubled.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from .problems import RefusedError

Status = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class State:
    """How far a job has come.

    Args:
        status: of the job.
        stage: that is worked on.
        stages: that have begun, each with the seconds since the epoch when it did.
        attempt: how often it has been begun.
        deaths: how often who worked on it died.
        queued_at, started_at, ended_at: seconds since the epoch.
        problem: why it failed, a problem document.
    """

    status: Status = "queued"
    stage: str = ""
    stages: list[tuple[str, float]] = field(default_factory=list)
    attempt: int = 0
    deaths: int = 0
    queued_at: float = field(default_factory=time.time)
    started_at: float | None = None
    ended_at: float | None = None
    problem: dict[str, Any] | None = None


class Jobs:
    """All jobs of a service.

    Args:
        folder: of the service.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "jobs"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def clear(self) -> None:
        """Delete what interrupted requests have left; nobody may be at one."""
        for left in self._folder.glob(".*"):
            shutil.rmtree(left, ignore_errors=True)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Make a folder that is gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix=".scratch-", dir=self._folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextlib.contextmanager
    def making(self) -> Iterator[Job]:
        """Make a job whose files are complete when it becomes visible; nothing is left where this fails."""
        name = secrets.token_urlsafe(16)
        staged = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
        try:
            job = Job(name, staged)
            job.uploads.mkdir()
            (staged / _LOCK).touch()
            yield job
            job.write(State())
            staged.rename(self._folder / name)
            job.folder = self._folder / name
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise

    def __getitem__(self, name: str) -> Job:
        """Find a job.

        Raises:
            RefusedError: there is none of that name.
        """
        job = Job(name, self._folder / name)
        if not re.fullmatch(r"[A-Za-z0-9_-]{16,64}", name) or not job.there:
            raise RefusedError(404, "no such job", "no job has this id: it may have been deleted after its time")
        return job

    def __iter__(self) -> Iterator[Job]:
        for folder in sorted(self._folder.iterdir()):
            if not folder.name.startswith(".") and (job := Job(folder.name, folder)).there:
                yield job

    def sweep(self, kept_s: float) -> int:
        """Delete jobs that ended longer ago than this, and what interrupted requests left; tells how many."""
        now, count = time.time(), 0
        for job in self:
            with contextlib.suppress(RefusedError):  # deleted meanwhile
                ended = job.read().ended_at
                if ended is not None and now - ended > kept_s:
                    job.delete()
                    count += 1
        for left in self._folder.glob(".*"):
            with contextlib.suppress(OSError):
                if now - left.stat().st_mtime > _ABANDONED_S:
                    shutil.rmtree(left, ignore_errors=True)
        return count


class Job:
    """One job; see `Jobs`.

    Args:
        name: its id.
        folder: where it lies.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder

    @property
    def there(self) -> bool:
        """Whether there is such a job."""
        return (self.folder / "state.json").is_file()

    @property
    def uploads(self) -> Path:
        """Folder of the files that were sent."""
        return self.folder / "uploads"

    @property
    def result(self) -> Path:
        """Folder of the answer; there when the job is done."""
        return self.folder / "result"

    def ask(self, request: dict[str, Any]) -> None:
        """Keep what is asked."""
        (self.folder / "request.json").write_text(json.dumps(request))

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked."""
        found: dict[str, Any] = json.loads((self.folder / "request.json").read_text())
        return found

    def read(self) -> State:
        """Tell how far it has come.

        Raises:
            RefusedError: it has just been deleted, or its state is damaged.
        """
        try:
            record = json.loads((self.folder / "state.json").read_text())
            known = {one.name: record[one.name] for one in fields(State) if one.name in record}
            return State(**known | {"stages": [(name, at) for name, at in record["stages"]]})
        except FileNotFoundError:
            raise RefusedError(404, "no such job", "the job has been deleted") from None
        except (ValueError, KeyError, TypeError) as error:
            raise RefusedError(
                500, "a fault of the service", "the job's record is damaged", hint="ask again"
            ) from error

    def write(self, state: State) -> None:
        """Replace the state."""
        handle, path = tempfile.mkstemp(prefix=".state-", dir=self.folder)
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(asdict(state), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(path, self.folder / "state.json")
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise

    @contextlib.contextmanager
    def held(self) -> Iterator[int | None]:
        """Hold its lock, for as long as this is entered or a process lives that was given the handle.

        Yields:
            The handle; None where someone else holds the lock, or the job has gone.
        """
        try:
            handle = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            yield None
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            yield None
            return
        try:
            yield handle
        finally:
            os.close(handle)

    def begin(self) -> None:
        """Begin an attempt; for who holds the lock."""
        shutil.rmtree(self.result, ignore_errors=True)
        state = self.read()
        self.write(
            replace(state, status="running", stage="", stages=[], attempt=state.attempt + 1, started_at=time.time())
        )

    def end(self, status: Status, problem: dict[str, Any] | None = None) -> None:
        """Say that it has ended, and delete what was sent; for who holds the lock."""
        self.write(replace(self.read(), status=status, stage="", ended_at=time.time(), problem=problem))
        shutil.rmtree(self.uploads, ignore_errors=True)

    def put_back(self, *, died: bool = False) -> None:
        """Say that it waits to be begun anew; for who holds the lock."""
        state = self.read()
        self.write(replace(state, status="queued", stage="", stages=[], deaths=state.deaths + died))

    def cancel(self) -> None:
        """Ask for it to be stopped; at once where nobody works on it."""
        (self.folder / "cancel").touch()
        with self.held() as handle:
            if handle is not None and self.read().status not in ENDED:
                self.end("cancelled")

    @property
    def cancelled(self) -> bool:
        """Whether it is to be stopped."""
        return (self.folder / "cancel").exists()

    def delete(self) -> None:
        """Delete it with all its files."""
        with contextlib.suppress(FileNotFoundError):
            self.folder.rename(self._away)
        self.clear_away()

    def clear_away(self) -> None:
        """Delete what is left of it; who worked on it may have written while it was deleted."""
        shutil.rmtree(self._away, ignore_errors=True)

    @property
    def _away(self) -> Path:
        return self.folder.with_name(f".gone-{self.name}")


_LOCK = "lock"
_ABANDONED_S = 3600.0
