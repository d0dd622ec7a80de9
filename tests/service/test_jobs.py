import errno
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from gliodex.service.jobs import Jobs, State
from gliodex.service.problems import RefusedError


@pytest.fixture
def jobs(tmp_path):
    return Jobs(tmp_path)


@pytest.fixture
def job(jobs):
    with jobs.making() as made:
        (made.uploads / "seg.nii").write_bytes(b"sent")
        made.ask({"options": {}})
    return jobs[made.name]


def test_a_job_is_visible_once_it_is_complete(jobs):
    with jobs.making() as made:
        assert list(jobs) == []
        with pytest.raises(RefusedError):
            jobs[made.name]
    assert [one.name for one in jobs] == [made.name]
    assert jobs[made.name].read().status == "queued"


def make_and_fail(jobs):
    with jobs.making() as made:
        (made.uploads / "half").write_bytes(b"x")
        raise OSError("full")


def test_nothing_is_left_of_a_job_that_could_not_be_made(jobs, tmp_path):
    with pytest.raises(OSError, match="full"):
        make_and_fail(jobs)
    assert list((tmp_path / "jobs").iterdir()) == []


def test_names_cannot_be_guessed_or_lead_elsewhere(jobs, job, tmp_path):
    assert len(job.name) >= 22
    (tmp_path / "state.json").write_text("{}")
    for name in ("..", ".", "", f"../jobs/{job.name}", "a" * 22, job.name + "/", "x\0y"):
        with pytest.raises(RefusedError) as caught:
            jobs[name]
        assert caught.value.problem.status == 404


def test_one_of_many_holds_a_job(job):
    together = Barrier(8)

    def hold(_):
        with job.held() as handle:
            together.wait()  # all have tried while the first still holds it
            return handle is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(hold, range(8))) == 1
    with job.held() as handle:
        assert handle is not None


def test_a_process_that_was_given_the_lock_holds_it_when_its_giver_is_gone(job):
    with job.held() as handle:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(handle,))
    with job.held() as handle:
        assert handle is None
    child.communicate(b"\n")
    with job.held() as handle:
        assert handle is not None


def test_a_job_that_was_put_back_begins_anew_and_what_it_had_made_is_gone(job):
    job.begin()
    job.result.mkdir()
    job.put_back()
    assert (job.read().status, job.read().attempt, job.read().deaths) == ("queued", 1, 0)
    job.begin()
    assert not job.result.exists()
    job.put_back(died=True)
    assert (job.read().attempt, job.read().deaths) == (2, 1)


def test_what_was_sent_is_deleted_when_it_ends(job):
    job.begin()
    job.end("failed", {"title": "why"})
    assert not job.uploads.exists()
    assert (job.read().status, job.read().problem) == ("failed", {"title": "why"})


def test_a_job_that_nobody_works_on_is_cancelled_at_once_and_another_is_asked_to_stop(job, jobs):
    job.begin()
    job.cancel()  # whoever began it has died
    assert job.read().status == "cancelled"
    with jobs.making() as other:
        other.ask({})
    with other.held():
        other.begin()
        other.cancel()
        assert other.read().status == "running"
        assert other.cancelled


def test_a_job_that_has_ended_stays_as_it_is_when_it_is_cancelled(job):
    job.begin()
    job.end("done")
    job.cancel()
    assert job.read().status == "done"


def test_a_state_that_cannot_be_written_leaves_the_last_one(job, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        job.begin()
    assert job.read().status == "queued"
    assert not list(job.folder.glob(".state-*"))


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"stages": 3}'])
def test_a_damaged_state_is_said(job, content):
    (job.folder / "state.json").write_text(content)
    with pytest.raises(RefusedError) as caught:
        job.read()
    assert caught.value.problem.status == 500


def test_a_state_of_another_version_is_read_as_far_as_it_is_known(job):
    record = json.loads((job.folder / "state.json").read_text())
    record["mood"] = record.pop("deaths")
    (job.folder / "state.json").write_text(json.dumps(record))
    assert job.read().deaths == 0


def test_a_reader_never_sees_half_a_state(job):
    def write(n):
        job.write(State(stage=str(n) * 1000))

    def read(_):
        return len(job.read().stage) % 1000

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, n) for n in range(1, 10) for _ in range(10)]
        assert set(pool.map(read, range(300))) == {0}
        for one in writing:
            one.result()
    assert not list(job.folder.glob(".state-*"))


def test_old_jobs_and_what_was_abandoned_are_swept(jobs, job, tmp_path):
    assert jobs.sweep(0) == 0, "it has not ended"
    job.begin()
    job.end("done")
    job.write(replace(job.read(), ended_at=time.time() - 100))
    left = tmp_path / "jobs" / ".new-abc"
    left.mkdir()
    assert jobs.sweep(200) == 0
    assert left.exists(), "someone may be at it"
    os.utime(left, (0, 0))
    assert jobs.sweep(50) == 1
    assert list((tmp_path / "jobs").iterdir()) == []


def test_a_state_survives_as_json(job):
    state = State("running", "search", [("read", 1.0), ("search", 2.0)], 2, 1, 0.5, 1.0, None)
    job.write(state)
    assert job.read() == state
    assert json.loads((job.folder / "state.json").read_text())["stage"] == "search"


def test_scratch_and_what_interrupted_requests_left_are_gone_afterwards(jobs, job, tmp_path):
    with jobs.scratch() as folder:
        (folder / "seg").touch()
    left = tmp_path / "jobs" / ".scratch-abc"
    left.mkdir()
    jobs.clear()
    assert list((tmp_path / "jobs").iterdir()) == [job.folder]


def test_what_is_written_while_a_job_is_deleted_is_cleared_away(job, tmp_path):
    away = tmp_path / "jobs" / f".gone-{job.name}"
    job.delete()
    away.mkdir()
    (away / "late").touch()
    job.clear_away()
    assert not away.exists()
