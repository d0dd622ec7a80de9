import time
from dataclasses import replace

import pytest

pytest.importorskip("huey", reason="pip install 'gliodex[serve]'")

from gliodex.service.jobs import Jobs
from gliodex.service.settings import ServiceSettings
from gliodex.service.worker import Worker


@pytest.fixture
def worker(tmp_path):
    return Worker(ServiceSettings({"brain": str(tmp_path / "nothing")}, tmp_path))


@pytest.fixture
def job(tmp_path):
    """Queued a minute ago, of a store that is not served."""
    with Jobs(tmp_path).making() as made:
        made.ask({"store": "other", "options": {}, "files": {}})
    made.write(replace(made.read(), queued_at=time.time() - 60))
    return made


def test_a_job_that_someone_holds_is_left_alone_however_long_it_says_nothing(worker, job):
    with job.held():
        job.begin()
        before = job.read()
        worker.look_around()
        worker.work(job.name)
        assert worker.queue.waiting() == set()
        assert job.read() == before
    worker.look_around()
    assert worker.queue.waiting() == {job.name}
    worker.work(job.name)
    assert (job.read().status, job.read().deaths) == ("failed", 1)


def test_what_a_queue_has_lost_is_put_there_once(worker, job):
    for _ in range(2):
        worker.look_around()
        assert len(worker.queue._huey.pending()) == 1


def test_a_job_that_makes_the_worker_fail_ends_and_says_so(worker, job):
    (job.folder / "request.json").write_text("{")
    worker.work(job.name)
    state = job.read()
    assert (state.status, state.problem["status"]) == ("failed", 500)
    assert "JSONDecodeError" in state.problem["detail"]
    worker.look_around()
    assert worker.queue.waiting() == set()


def test_one_that_killed_its_workers_is_given_up(worker, job):
    job.write(replace(job.read(), status="running", deaths=2))
    worker.work(job.name)
    assert job.read().problem["title"] == "given up"
