"""A service in a process of its own, as a user would start it, on a store with real anatomy."""

import os
import re
import selectors
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import numpy as np
import pytest

from gliodex.service.viewer_files import MAPS
from gliodex.store import open_store

from ..retrieval.anatomy import RESULT_FILES, brats_labels, shared_store, tumour_on_the_right, write_nifti

SERVED_FILES = RESULT_FILES | {f"view-{name}.nii.gz" for name in ("scan", "patient", *MAPS)}


@contextmanager
def serving(stores, folder, *options):
    """Start `gliodex serve`, wait until it is ready, and end it; yields the process and its address."""
    command = [sys.executable, "-m", "gliodex.cli.main", "serve", *stores, "--port", "0", "--state-dir", str(folder)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, env=environment)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(60), "it is not ready after a minute"
        line = process.stdout.readline().decode()
        yield process, re.search(r"http://\S+?(?=;)", line).group()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            process.kill()
            process.stdout.close()


def follow(client, job, until=("done", "failed", "cancelled"), seconds=240):
    """Poll a job until it is in one of these states."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        told = client.get(f"/v1/queries/{job}").json()
        if told["status"] in until:
            return told
        time.sleep(0.05)
    raise AssertionError(f"after {seconds} s: {told}")


@pytest.fixture(scope="session")
def brain_store(tmp_path_factory):
    """Snapshot of 24 tumours in icbm152; not to be changed."""
    return open_store(shared_store(tmp_path_factory))


@pytest.fixture(scope="session")
def segmentation(brain_store, tmp_path_factory):
    """Labels of a tumour of the store, on a part of the atlas's grid."""
    density = brain_store.density(tumour_on_the_right(brain_store))
    inside = np.argwhere(density >= 0.2)
    low, high = inside.min(0) - 6, inside.max(0) + 7
    labels = brats_labels(density)[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    folder = tmp_path_factory.mktemp("seg")
    return write_nifti(folder / "seg.nii.gz", labels, brain_store.frame.crop(low, high).affine)


@pytest.fixture(scope="session")
def service(brain_store, tmp_path_factory):
    """Client of a running service with one store, called brain."""
    pytest.importorskip("fastapi", reason="pip install 'gliodex[serve]'")
    with (
        serving([f"brain={brain_store.path}"], tmp_path_factory.mktemp("service")) as (_, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield client


@pytest.fixture
def ask(segmentation):
    """Send a query about the segmentation; keyword arguments are options."""

    def send(client, **options):
        with segmentation.open("rb") as file:
            return client.post("/v1/queries", files={"seg": file}, data={"space": "atlas"} | options)

    return send
