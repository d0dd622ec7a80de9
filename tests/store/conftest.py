"""Stores small enough to break hundreds of times."""

import os
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from gliodex.store import creating, writing


@pytest.fixture(scope="module", autouse=True)
def flushes_cost_nothing():
    """Let `os.fsync` only check its argument: these tests flush ten thousand times and cut no power.

    What it does on a real disk the other rooms' tests live through.
    """
    with mock.patch.object(os, "fsync", lambda descriptor: os.fstat(descriptor) and None):
        yield


@pytest.fixture
def tmp_path(tmp_path):
    """Empty folder, in memory where the system has such a place: these tests make and remove many thousand files."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="gliodex-test-", dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def tiny_atlas(make_atlas):
    """Brain on a 9 x 10 x 11 frame."""
    return make_atlas((9, 10, 11), spacing=8.0, name="tiny")


@pytest.fixture(scope="session")
def tiny_tumours(tiny_atlas, make_tumour):
    """Three different tumours in the tiny brain."""
    frame = tiny_atlas.frame
    middle = frame.world((np.array(frame.shape) - 1) / 2)
    return [make_tumour(frame, centre=middle + 8 * n, radius=20 + 6 * n, draw=n) for n in range(3)]


@pytest.fixture
def tiny_store(tmp_path, tiny_atlas, tiny_tumours):
    """Path of a store in version 3: tumours 0 and 1, then tumour 2."""
    path = tmp_path / "tiny"
    with creating(path, tiny_atlas, {"model": "test"}, "test") as writer:
        writer.commit_tumours(tiny_tumours[:2], {"method": "test"})
        writer.commit_tumours(tiny_tumours[2:], {"method": "test"})
    return path


@pytest.fixture
def commit(tiny_tumours):
    """Add tumours to a store at a path, in one commit."""

    def add(path, count=2):
        with writing(path, "test") as writer:
            return writer.commit_tumours(tiny_tumours[:count], {"method": "test"})

    return add
