"""Workers: they take jobs from the queue, each in a process of its own, and look after it until it ends.

    python -m gliodex.service.worker PARENT

PARENT is the process that started it, with which it ends; settings come on the standard input. A worker that is killed
loses nothing: the locks of its jobs are free then, and they are begun anew by another.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .jobs import ENDED, Job, Jobs
from .problems import Problem, RefusedError
from .queue import Queue
from .settings import ServiceSettings

log = logging.getLogger("gliodex.service")

_LOOK_S = 0.25
_AROUND_S = 2.0
_LOST_S = 10.0
"""After how long a job that waits and is not in the queue is put there."""


class Worker:
    """Works on jobs.

    Args:
        settings: of the service.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings, self._jobs = settings, Jobs(settings.folder)
        self.stopping = threading.Event()
        self.queue = Queue(settings, self.work)

    def work(self, name: str) -> None:
        """Work on a job to its end, unless it is another's or has gone."""
        try:
            job = self._jobs[name]
        except RefusedError:
            return
        with job.held() as handle:
            if handle is None or self.stopping.is_set():
                return
            try:
                ended = self._work_on(job, handle)
            except (FileNotFoundError, RefusedError):
                ended = "deleted"
            except OSError as error:  # its state could not be written: it is as it was, and found again
                ended = f"put off ({error.strerror})"
                self.stopping.wait(_AROUND_S)
            except Exception as error:  # would be met again at each new beginning
                log.error("job %s: a fault (%s)", name, type(error).__name__)
                told = f"a fault of the service ({type(error).__name__}): please report it"
                self._insist(lambda: job.end("failed", Problem("a fault of the service", 500, told).as_record()))
                ended = "failed"
            if ended == "deleted":
                job.clear_away()
        if ended:
            log.info("job %s: %s", name, ended)
        if ended == "its process died":
            self.queue.put(name)

    def look_around(self) -> None:
        """Enqueue what dead workers left and what the queue has lost, and delete what is old."""
        waiting = self.queue.waiting()
        for job in self._jobs:
            with contextlib.suppress(RefusedError, FileNotFoundError):
                if job.name not in waiting and self._is_left(job):
                    self.queue.put(job.name)
        self._jobs.sweep(self._settings.limits.kept_s)

    @staticmethod
    def _is_left(job: Job) -> bool:
        """Whether nobody works on a job, and nobody will."""
        state = job.read()
        if state.status in ENDED or time.time() - state.queued_at < _LOST_S:
            return False
        with job.held() as handle:
            return handle is not None

    def _work_on(self, job: Job, handle: int) -> str:
        state = job.read()
        if state.status in ENDED:
            return ""
        if job.cancelled:
            job.end("cancelled")
            return "cancelled"
        if state.status == "running":  # who worked on it is dead
            job.put_back(died=True)
        if job.read().deaths >= self._settings.limits.attempts:
            said = (
                f"what worked on it died {self._settings.limits.attempts} times: the job may be too large for the "
                "service's memory"
            )
            job.end("failed", Problem("given up", 500, said).as_record())
            return "given up"
        store = self._settings.stores.get(job.asked["store"])
        if store is None:
            said = f"the store {job.asked['store']} is not served any more: ask another"
            job.end("failed", Problem("no such store", 404, said, "store").as_record())
            return "failed"
        job.begin()
        log.info("job %s: begun", job.name)
        process = _started(job, store, handle)
        try:
            return self._watch(job, process)
        finally:
            _kill(process)

    def _watch(self, job: Job, process: subprocess.Popen[bytes]) -> str:
        begun, problem = time.monotonic(), None
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        with selectors.DefaultSelector() as selector, process.stdout:
            selector.register(process.stdout, selectors.EVENT_READ)
            rest, running = b"", True
            while running:
                ready = selector.select(_LOOK_S)
                piece = process.stdout.read(1 << 16) if ready else None
                if piece == b"":
                    running = False
                *lines, rest = (rest + (piece or b"")).split(b"\n")
                for line in lines:
                    told = json.loads(line)
                    problem = told.get("problem", problem)
                    if "stage" in told:
                        _enter(job, told["stage"])
                why = self._why_to_stop(job, time.monotonic() - begun)
                if why:
                    _kill(process)  # before anything is said of it
                    return self._stopped(job, why)
        return self._ended(job, process.wait(), problem)

    def _why_to_stop(self, job: Job, seconds: float) -> str:
        if self.stopping.is_set():
            return "stopping"
        if not job.there:
            return "deleted"
        if job.cancelled:
            return "cancelled"
        return "too long" if seconds > self._settings.limits.job_s else ""

    def _stopped(self, job: Job, why: str) -> str:
        if why == "deleted":
            return why
        if why == "stopping":  # not the job's fault: it is begun anew when the service is back
            job.put_back()
            return "put back"
        if why == "cancelled":
            self._insist(lambda: job.end("cancelled"))
            return why
        limit = self._settings.limits.job_s
        said = f"it took more than {limit:g} s: ask for less, such as fewer evaluations or samples"
        self._insist(lambda: job.end("failed", Problem("too long", 504, said).as_record()))
        return why

    def _ended(self, job: Job, code: int, problem: dict[str, Any] | None) -> str:
        if problem is not None:
            shutil.rmtree(job.result, ignore_errors=True)
            self._insist(lambda: job.end("failed", problem))
            return "failed"
        if code == 0 and (job.result / "matches.json").is_file():
            self._insist(lambda: job.end("done"))
            return "done"
        return "its process died"

    def _insist(self, write: Callable[[], None]) -> None:
        """Say how a job ended even if the disk is full for a while: its work would be done again otherwise."""
        while True:
            try:
                return write()
            except FileNotFoundError:
                raise
            except OSError as error:
                log.error("a job's end cannot be written (%s)", error.strerror)
                if self.stopping.wait(_AROUND_S):
                    raise


def _started(job: Job, store: str, lock: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gliodex.service.job_process", str(os.getpid()), str(job.folder), store]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        pass_fds=(lock,),  # nobody else is to begin while it lives
    )


def _enter(job: Job, stage: str) -> None:
    state = job.read()
    name = stage.split(":", maxsplit=1)[0]
    stages = state.stages if state.stages and state.stages[-1][0] == name else [*state.stages, (name, time.time())]
    try:
        job.write(replace(state, stage=stage, stages=stages))
    except FileNotFoundError:
        raise
    except OSError as error:  # how far it is may be missed
        log.error("a job's progress cannot be written (%s)", error.strerror)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:  # otherwise its number may be another's
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> None:
    """Work until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("huey").setLevel(logging.CRITICAL)  # it would log tracebacks while the disk is full
    parent, settings = int(sys.argv[1]), ServiceSettings.from_json(sys.stdin.read())
    worker = Worker(settings)
    consumer = worker.queue.consumer(settings.workers)
    consumer.start()
    for number in (signal.SIGTERM, signal.SIGINT):  # huey's own would wait for jobs, or forget them
        signal.signal(number, lambda *_: worker.stopping.set())
    looked = 0.0
    while not worker.stopping.wait(_LOOK_S):
        if os.getppid() != parent:
            worker.stopping.set()
        elif time.monotonic() - looked > _AROUND_S:
            looked = time.monotonic()
            try:
                worker.look_around()
            except Exception as error:  # of the disk, or of the queue's database: they may be well again
                log.error("jobs cannot be looked after (%s)", type(error.__cause__ or error).__name__)
    consumer.stop(graceful=True)


if __name__ == "__main__":
    main()
