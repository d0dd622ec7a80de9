import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gliodex.service.jobs import Jobs, State
from gliodex.service.problems import RefusedError


@pytest.fixture
def jobs(tmp_path):
    return Jobs(tmp_path)


@pytest.fixture
def job(jobs):
    with jobs.making() as made:
        (made.uploads / "segmentation.nii").write_bytes(b"sent")
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


def test_one_of_many_claims_a_job(job):
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: job.claim(), range(24)))
    (state,) = [claim for claim in claims if claim is not None]
    assert (state.status, state.attempt) == ("running", 1)
    assert job.read() == state


def test_a_job_that_was_put_back_is_claimed_again(job):
    job.claim()
    assert job.claim() is None
    job.result.mkdir()
    job.requeue()
    assert not job.result.exists()
    assert job.claim().attempt == 2


def test_what_was_sent_is_deleted_when_it_ends(job):
    job.claim()
    job.end("failed", {"title": "why"})
    assert not job.uploads.exists()
    assert (job.read().status, job.read().problem) == ("failed", {"title": "why"})
    assert job.claim() is None


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_is_asked_to_stop(jobs, job):
    job.cancel()
    assert job.read().status == "cancelled"
    with jobs.making() as other:
        other.ask({})
    other.claim()
    other.cancel()
    assert other.read().status == "running"
    assert other.cancelled


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
    job.claim()
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
    state = State("running", "search", [("read", 1.0), ("search", 2.0)], 2, 0.5, 1.0, None, 2.5)
    job.write(state)
    assert job.read() == state
    assert json.loads((job.folder / "state.json").read_text())["stage"] == "search"
