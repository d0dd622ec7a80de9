"""Workers: they take jobs from the queue, each in a process of its own, and look after it until it ends.

    python -m gliodex.service.worker FOLDER

A worker that is killed loses nothing: its jobs give no sign of life any more, and are begun anew by another.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from .jobs import Job, Jobs
from .problems import Problem, RefusedError
from .queue import Queue
from .settings import ServiceSettings

log = logging.getLogger("gliodex.service")

BEAT_S = 2.0
"""How often a worker gives a sign of life."""

SILENT_S = 10.0
"""After how long without one a worker is taken to be dead."""

_LOOK_S = 0.25


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
        if self.stopping.is_set() or job.claim() is None:
            return
        log.info("job %s: begun", name)
        store = self._settings.stores.get(job.asked["store"])
        if store is None:
            said = f"the store {job.asked['store']} is not served any more: ask another"
            job.end("failed", Problem("no such store", 404, said, "store").as_record())
            return
        process = _started(job, store)
        try:
            ended = self._watch(job, process)
        except (FileNotFoundError, RefusedError):
            ended = "deleted"
        finally:
            _kill(process)
        log.info("job %s: %s", name, ended)

    def look_around(self) -> None:
        """Begin anew what dead workers left, enqueue what the queue has lost, and delete what is old."""
        waiting = self.queue.waiting()
        for job in self._jobs:
            with contextlib.suppress(RefusedError, FileNotFoundError):
                self._look_at(job, waiting)
        self._jobs.sweep(self._settings.limits.kept_s)

    def _look_at(self, job: Job, waiting: set[str]) -> None:
        state, now = job.read(), time.time()
        if state.status == "running" and now - (state.beat_at or 0) > SILENT_S:
            self._begin_anew(job, "its worker died")
        elif state.status == "queued" and job.name not in waiting and now - state.queued_at > SILENT_S:
            self.queue.put(job.name)

    def _begin_anew(self, job: Job, why: str) -> None:
        attempt = job.read().attempt
        if attempt >= self._settings.limits.attempts:
            said = f"{why} {attempt} times: the job may be too large for the service's memory"
            job.end("failed", Problem("given up", 500, said).as_record())
            return
        job.requeue()
        self.queue.put(job.name)

    def _watch(self, job: Job, process: subprocess.Popen[bytes]) -> str:
        begun, beat, problem = time.monotonic(), time.monotonic(), None
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
                if time.monotonic() - beat > BEAT_S:
                    beat = time.monotonic()
                    job.write(replace(job.read(), beat_at=time.time()))
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
            job.requeue()
            return "put back"
        if why == "cancelled":
            job.end("cancelled")
            return why
        limit = self._settings.limits.job_s
        said = f"it took more than {limit:g} s: ask for less, such as fewer --evaluations or --samples"
        job.end("failed", Problem("too long", 504, said.replace("--", "")).as_record())
        return why

    def _ended(self, job: Job, code: int, problem: dict[str, Any] | None) -> str:
        if problem is not None:
            job.end("failed", problem)
            return "failed"
        if code == 0 and (job.result / "matches.json").is_file():
            job.end("done")
            return "done"
        self._begin_anew(job, f"its process ended with {code}")
        return "process died"


def _started(job: Job, store: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gliodex.service.job_process", str(job.folder), store]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True
    )


def _enter(job: Job, stage: str) -> None:
    state = job.read()
    name = stage.split(":", maxsplit=1)[0]
    stages = state.stages if state.stages and state.stages[-1][0] == name else [*state.stages, (name, time.time())]
    job.write(replace(state, stage=stage, stages=stages, beat_at=time.time()))


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:  # otherwise its number may be another's
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main() -> None:
    """Work until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("huey").setLevel(logging.WARNING)
    settings = ServiceSettings.load(Path(sys.argv[1]))
    worker = Worker(settings)
    consumer = worker.queue.consumer(settings.workers)
    consumer.start()
    for number in (signal.SIGTERM, signal.SIGINT):  # huey's own would wait for jobs, or forget them
        signal.signal(number, lambda *_: worker.stopping.set())
    parent, looked = os.getppid(), 0.0
    while not worker.stopping.wait(_LOOK_S):
        if os.getppid() != parent:
            worker.stopping.set()
        elif time.monotonic() - looked > SILENT_S / 4:
            looked = time.monotonic()
            worker.look_around()
    consumer.stop(graceful=True)


if __name__ == "__main__":
    main()
