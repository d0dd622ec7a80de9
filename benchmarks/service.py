"""What a service bears: searches a second, how long each takes, and ten jobs at once.

    python benchmarks/service.py STORE [SEG T1] [--seconds 60] [--rate 200]

Starts `gliodex serve` on this machine and asks it from another process of it, so that both share the cores. Searches
are of tumours of the store, moved by a voxel or two, sent with deflate, at a steady rate; none is asked twice in a row.
With a patient, ten queries with registration are queued at once.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import httpx
import numpy as np
import psutil
from record import keep

import gliodex

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("patient", nargs="*", type=Path, help="segmentation and T1")
parser.add_argument("--seconds", type=float, default=60.0)
parser.add_argument("--rate", type=float, default=200.0)
parser.add_argument("--jobs", type=int, default=10)
arguments = parser.parse_args()


def bodies(store: gliodex.TumorStore, number: int) -> list[bytes]:
    rng = np.random.default_rng(5)
    found = []
    for tumour in rng.choice(store.ids, number, replace=False).tolist():
        density = np.roll(store.density(tumour), rng.integers(-2, 3, 3), axis=(0, 1, 2))
        masks = [np.packbits(density >= np.float32(level)).tobytes() for level in (0.6, 0.2)]
        found.append(zlib.compress(b"".join(masks), 1))
    return found


class Connection:
    """One connection to the service, kept open: little more than sockets, so that most of the time is the service's."""

    def __init__(self, host: str, port: int) -> None:
        self._address, self._streams = (host, port), None

    async def search(self, body: bytes) -> bool:
        """Ask, and tell whether it was answered."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        head = (
            f"POST /v1/search?k=15 HTTP/1.1\r\nhost: {self._address[0]}\r\ncontent-encoding: deflate\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        told = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", told)
        assert length, told
        await reader.readexactly(int(length.group(1)))
        return told.startswith(b"HTTP/1.1 200")


async def searches(url: str, sent: list[bytes]) -> tuple[list[float], int]:
    """Ask at a steady rate, whatever comes back; how long each took from when it was due, and how many failed."""
    took: list[float] = []
    failed = 0
    host, port = url.removeprefix("http://").split(":")
    free = [Connection(host, int(port)) for _ in range(64)]
    waiting = asyncio.Semaphore(len(free))

    async def one(number: int, due: float) -> None:
        nonlocal failed
        async with waiting:
            connection = free.pop()
            try:
                failed += not await asyncio.wait_for(connection.search(sent[number % len(sent)]), 10)
            except (OSError, TimeoutError, asyncio.IncompleteReadError):
                failed += 1
                connection = Connection(host, int(port))
            free.append(connection)
        took.append(time.perf_counter() - due)

    for number in range(len(sent)):  # each once: what is asked again and again lies in memory
        await one(number, time.perf_counter())
    took.clear()
    begun, tasks = time.perf_counter(), set()
    for number in range(int(arguments.rate * arguments.seconds)):
        due = begun + number / arguments.rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(one(number, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return took, failed


def jobs(url: str, service: psutil.Process) -> dict[str, object]:
    """Queue queries with registration, all at once; how many ended well, and what memory the service held."""
    segmentation, t1 = (path.read_bytes() for path in arguments.patient)
    begun, largest = time.perf_counter(), 0
    with httpx.Client(base_url=url, timeout=60) as client:
        names = []
        for _ in range(arguments.jobs):
            answer = client.post("/v1/queries", files={"segmentation": segmentation, "t1": t1})
            names.append(answer.raise_for_status().json()["id"])
        while True:
            states = [client.get(f"/v1/queries/{name}").json()["status"] for name in names]
            tree = [service, *service.children(recursive=True)]
            held = 0
            for process in tree:
                try:
                    held += process.memory_full_info().uss
                except psutil.NoSuchProcess:
                    continue
            largest = max(largest, held)
            if all(state in {"done", "failed", "cancelled"} for state in states):
                break
            time.sleep(0.5)
    seconds = time.perf_counter() - begun
    return {
        "jobs": len(names),
        "jobs_done": states.count("done"),
        "jobs_s": round(seconds),
        "memory_gb": round(largest / 1e9, 2),
    }


with tempfile.TemporaryDirectory() as folder:
    command = [sys.executable, "-m", "gliodex.cli.main", "serve", arguments.store, "--port", "0", "--folder", folder]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    found = re.search(r"http://\S+?(?=;)", process.stdout.readline().decode())
    assert found, "the service did not start"
    ready_s, url = time.perf_counter() - begun, found.group()
    try:
        store = gliodex.open_store(arguments.store)
        took, failed = asyncio.run(searches(url, bodies(store, 200)))
        figures = {
            "tumours": len(store),
            "ready_s": round(ready_s, 2),
            "searches": len(took),
            "per_second": arguments.rate,
            "seconds": arguments.seconds,
            "failed": failed,
            "median_ms": round(1e3 * float(np.median(took)), 1),
            "p99_ms": round(1e3 * float(np.quantile(took, 0.99)), 1),
            "largest_ms": round(1e3 * max(took), 1),
        }
        if arguments.patient:
            figures |= jobs(url, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()
keep(
    "service",
    figures,
    f"python benchmarks/service.py STORE SEG T1 --seconds {arguments.seconds:g} --rate {arguments.rate:g}",
)
