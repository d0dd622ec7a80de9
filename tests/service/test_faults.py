"""What happens to a service, and it goes on: killed workers, a stop in the middle of a job, a store that is gone."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from .conftest import SERVED_FILES, follow, serving


def children(process, module):
    """Processes below a service that run a module of it."""
    found = psutil.Process(process.pid).children(recursive=True)
    return [one for one in found if module in one.cmdline()]


@pytest.fixture(scope="module")
def running(brain_store, tmp_path_factory):
    """A service, a client for it, and its folder."""
    folder = tmp_path_factory.mktemp("running") / "folder"
    with (
        serving([f"brain={brain_store.path}"], folder) as (process, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield process, client, folder


def reaches(client, job, stage):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        told = client.get(f"/v1/queries/{job}").json()
        if stage in {name for name, _ in told["stages"]} or told["status"] == "done":
            return
        time.sleep(0.02)
    raise AssertionError(told)


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param("starting", marks=pytest.mark.slow),
        "search",
        pytest.param("write images", marks=pytest.mark.slow),
    ],
)
def test_a_job_whose_process_is_killed_is_begun_anew(running, ask, stage):
    process, client, _ = running
    job = ask(client).json()["id"]
    reaches(client, job, stage)
    (worked,) = children(process, "gliodex.service.job_process")
    worked.kill()
    told = follow(client, job)
    assert (told["status"], told["attempt"]) == ("done", 2)
    assert set(told["files"]) >= SERVED_FILES


@pytest.mark.slow
def test_a_job_that_kills_its_process_each_time_is_given_up(running, ask):
    process, client, _ = running
    job = ask(client, refine="local", max_simulations=100000).json()["id"]
    for attempt in (1, 2, 3):
        end = time.monotonic() + 60
        while client.get(f"/v1/queries/{job}").json()["attempt"] < attempt:
            assert time.monotonic() < end
            time.sleep(0.02)
        while not (found := children(process, "gliodex.service.job_process")):
            time.sleep(0.02)
        found[0].kill()
    told = follow(client, job)
    assert told["status"] == "failed"
    assert told["problem"]["title"] == "given up"
    assert "3 times" in told["problem"]["detail"]


def test_a_worker_that_is_killed_is_replaced_and_loses_nothing(running, ask):
    process, client, _ = running
    first = ask(client, refine="local", max_simulations=50).json()["id"]
    second = ask(client).json()["id"]
    follow(client, first, {"running"})
    (worker,) = children(process, "gliodex.service.worker")
    worker.kill()
    assert follow(client, second)["status"] == "done"
    told = follow(client, first)
    assert (told["status"], told["attempt"]) == ("done", 2)


@pytest.mark.slow
def test_a_job_whose_worker_dies_is_cancelled_by_another(running, ask):
    process, client, folder = running
    job = ask(client, refine="local", max_simulations=100000).json()["id"]
    follow(client, job, {"running"})
    (worker,) = children(process, "gliodex.service.worker")
    worker.kill()
    client.post(f"/v1/queries/{job}/cancel")
    assert follow(client, job)["status"] == "cancelled"
    assert not (folder / "jobs" / job / "uploads").exists()


def test_damaged_records_hold_nobody_up(running, ask):
    _, client, folder = running
    name = "D" * 22
    (folder / "jobs" / name).mkdir()
    (folder / "jobs" / name / "state.json").write_text("{")
    try:
        assert client.get(f"/v1/queries/{name}").status_code == 500
        assert client.get("/metrics").status_code == 200
        assert follow(client, ask(client).json()["id"])["status"] == "done"
    finally:
        assert client.delete(f"/v1/queries/{name}").status_code == 204


def test_one_folder_has_one_service(running, brain_store, tmp_path):
    process, _, folder = running
    command = [sys.executable, "-m", "gliodex.cli.main", "serve", str(brain_store.path), "--port", "0", "--state-dir"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    for place, said in ((folder, "another service works in"), (tmp_path / "full", "holds other things")):
        done = subprocess.run([*command, str(place)], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, said in done.stderr) == (2, True)
    assert process.poll() is None


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 40 MB, where this user may make one."""
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", path], check=False).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill(path):
    with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))
    assert shutil.disk_usage(path).free == 0


@pytest.mark.slow
def test_a_full_disk_is_said_and_loses_nothing(brain_store, ask, small_disk, capfd):
    with (
        serving([f"brain={brain_store.path}"], small_disk / "folder") as (process, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        first = ask(client, refine="local", max_simulations=50).json()["id"]
        follow(client, first, {"running"})
        second = ask(client).json()["id"]
        fill(small_disk / "filler")
        refusal = ask(client)
        assert (refusal.status_code, refusal.json()["title"]) == (507, "no room")
        assert client.get("/v1/stores").status_code == 200
        time.sleep(8)
        assert client.get(f"/v1/queries/{first}").json()["status"] in {"running", "queued", "failed"}
        (small_disk / "filler").unlink()
        told = follow(client, first)
        assert told["status"] == "done" or told["problem"]["status"] == 507
        assert follow(client, second)["status"] == "done"
        assert process.poll() is None
    assert "Traceback" not in capfd.readouterr().err


def test_a_full_disk_of_temporary_files_is_said(brain_store, small_disk, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(small_disk))
    with (
        serving([f"brain={brain_store.path}"], tmp_path / "folder") as (_, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        large = {"seg": bytes(4_000_000)}  # kept on the disk while it comes
        assert client.post("/v1/previews", files=large).status_code == 422
        fill(small_disk / "filler")
        answer = client.post("/v1/previews", files=large)
        assert (answer.status_code, answer.json()["title"]) == (507, "no room")


def test_what_was_accepted_is_worked_on_after_a_stop(brain_store, ask, tmp_path):
    stores, folder = [f"brain={brain_store.path}"], tmp_path / "folder"
    with serving(stores, folder) as (process, url), httpx.Client(base_url=url, timeout=60) as client:
        jobs = [ask(client, refine="local", max_simulations=50).json()["id"], ask(client).json()["id"]]
        follow(client, jobs[0], {"running"})
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - began < 15
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(folder) in (p.info["cmdline"] or [])]
    with serving(stores, folder) as (_, url), httpx.Client(base_url=url, timeout=60) as client:
        assert [follow(client, job)["status"] for job in jobs] == ["done", "done"]


@pytest.mark.slow
def test_a_stop_ends_what_is_being_answered_and_says_so(brain_store, ask, tmp_path, capfd):
    with (
        serving([f"brain={brain_store.path}"], tmp_path) as (process, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        job = ask(client, refine="local", max_simulations=100000).json()["id"]
        reaches(client, job, "search")
        with client.stream("GET", f"/v1/queries/{job}/events") as followed:
            events = followed.iter_lines()
            next(events)
            with socket.create_connection((client.base_url.host, client.base_url.port)) as slow:
                slow.sendall(b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500000\r\n\r\nabc")
                process.send_signal(signal.SIGTERM)
                assert list(events)[-1] == ""  # the stream is complete
                told = slow.makefile("rb").read()
                assert told.startswith(b"HTTP/1.1 503")
                assert b"the service stops" in told
        assert process.wait(30) == 0
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_a_job_of_a_store_that_is_not_served_any_more_fails_and_says_so(brain_store, ask, tmp_path):
    folder = tmp_path / "folder"
    with (
        serving([f"old={brain_store.path}"], folder) as (process, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        job = ask(client, refine="local", max_simulations=100000).json()["id"]
        follow(client, job, {"running"})
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    with serving([f"new={brain_store.path}"], folder) as (_, url), httpx.Client(base_url=url, timeout=60) as client:
        told = follow(client, job)
        assert (told["status"], told["problem"]["status"], told["problem"]["field"]) == ("failed", 404, "store")


def test_a_running_job_that_is_deleted_is_stopped(running, ask):
    process, client, folder = running
    job = ask(client, refine="local", max_simulations=100000).json()["id"]
    follow(client, job, {"running"})
    wait_for(lambda: children(process, "gliodex.service.job_process"))
    assert client.delete(f"/v1/queries/{job}").status_code == 204
    wait_for(lambda: not children(process, "gliodex.service.job_process"))
    assert not (folder / "jobs" / job).exists()


def test_a_store_that_is_gone_is_said_and_comes_back(brain_store, ask, tmp_path):
    path = tmp_path / "store"
    shutil.copytree(brain_store.path, path)
    with serving([str(path)], tmp_path / "folder") as (_, url), httpx.Client(base_url=url, timeout=60) as client:
        path.rename(tmp_path / "away")
        wait_for(lambda: client.get("/healthz").status_code == 503)
        for answer in (client.get("/v1/stores/store"), client.post("/v1/search", content=b""), ask(client)):
            assert answer.status_code == 503
            assert answer.json()["detail"] == "the store store cannot be read at the moment: ask again later"
        (tmp_path / "away").rename(path)
        wait_for(lambda: client.get("/healthz").status_code == 200)
        assert follow(client, ask(client).json()["id"])["status"] == "done"


def wait_for(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_store_that_grows_is_followed_and_jobs_keep_their_version(brain_store, ask, tmp_path, make_tumour):
    from gliodex.store import writing

    path = tmp_path / "store"
    shutil.copytree(brain_store.path, path)
    with serving([str(path)], tmp_path / "folder") as (_, url), httpx.Client(base_url=url, timeout=60) as client:
        before = client.get("/v1/stores/store").json()
        job = ask(client, refine="local", max_simulations=50).json()["id"]
        with writing(path, "a test") as writer:
            writer.commit_tumours([make_tumour(brain_store.frame)], {"prior": "test"})
        wait_for(lambda: client.get("/v1/stores/store").json()["version"] > before["version"])
        assert client.get("/v1/stores/store").json()["tumours"] == before["tumours"] + 1
        follow(client, job)
        record = client.get(f"/v1/queries/{job}/result").json()
        assert (record["store"]["version"], record["store"]["tumours"]) == (before["version"], before["tumours"])


def test_a_thousand_slow_clients_hold_nobody_up(running):
    process, client, _ = running
    host, port = client.base_url.host, client.base_url.port
    slow = [socket.create_connection((host, port)) for _ in range(1000)]
    try:
        for one in slow:
            one.sendall(b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500000\r\n\r\nabc")
        began = time.monotonic()
        assert client.get("/v1/stores").status_code == 200
        assert time.monotonic() - began < 5
        assert process.poll() is None
    finally:
        for one in slow:
            one.close()


def test_an_upload_that_breaks_off_leaves_nothing(running):
    process, client, folder = running
    before, at_rest = set((folder / "jobs").iterdir()), spooled(process)
    with socket.create_connection((client.base_url.host, client.base_url.port)) as one:
        one.sendall(
            b"POST /v1/queries HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=x\r\n"
            b"content-length: 9000000\r\n\r\n--x\r\n"
            b"content-disposition: form-data; name=segmentation; filename=a\r\n\r\n" + bytes(2_000_000)
        )
        wait_for(lambda: spooled(process) > at_rest)  # it is on its way
    wait_for(lambda: spooled(process) <= at_rest)
    assert client.get("/healthz").status_code == 200
    assert set((folder / "jobs").iterdir()) == before


def spooled(process):
    """Temporary files that a service holds."""
    links = Path(f"/proc/{process.pid}/fd").iterdir()
    count = 0
    for link in links:
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            count += "(deleted)" in os.readlink(link)
    return count


def test_a_job_that_takes_too_long_is_stopped(brain_store, ask, tmp_path):
    with (
        serving([f"brain={brain_store.path}"], tmp_path, "--job-timeout-min", "0.1") as (_, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        job = ask(client, refine="local", max_simulations=100000).json()["id"]
        told = follow(client, job)
        assert (told["status"], told["problem"]["status"]) == ("failed", 504)
        assert "6 s" in told["problem"]["detail"]


def test_its_folder_is_its_owners_alone(running):
    assert running[2].stat().st_mode & 0o077 == 0
