"""Fixtures shared by all rooms: a small synthetic brain, and stores that cost milliseconds."""

import logging
import urllib.request
import uuid

import numpy as np
import pytest

from gliodex.store import THRESHOLDS, EncodedTumour, Frame, GrowthParameters, creating
from gliodex.store.atlas import Atlas

MODEL = {"model": "test", "ratio": 0.1}


@pytest.fixture(scope="session")
def make_atlas():
    """Build an ellipsoid brain: white inside, a grey shell, a CSF rim."""

    def make(shape=(40, 36, 32), spacing=4.0, name="ellipsoid"):
        affine = np.diag([spacing, spacing, spacing, 1.0])
        affine[:3, 3] = -spacing * (np.array(shape) - 1) / 2 + (3.0, -17.0, 9.0)
        frame = Frame(shape, affine)
        voxels = np.moveaxis(np.indices(shape), 0, -1)
        middle = (np.array(shape) - 1) / 2
        radius = np.linalg.norm((voxels - middle) / (0.46 * np.array(shape)), axis=-1)
        white, grey, csf = radius < 0.6, (radius >= 0.6) & (radius < 0.85), (radius >= 0.85) & (radius < 1)
        t1 = 1.0 * white + 0.7 * grey + 0.3 * csf
        return Atlas(name, frame, *(m.astype(np.float32) for m in (white, grey, csf, t1)))

    return make


@pytest.fixture(scope="session")
def small_atlas(make_atlas):
    """Brain on a 40 x 36 x 32 frame of 4 mm."""
    return make_atlas()


@pytest.fixture(scope="session")
def icbm152():
    """The built-in atlas, which takes seconds to resample; not to be changed."""
    from gliodex.simulate import load_atlas

    return load_atlas("icbm152")


@pytest.fixture(scope="session")
def ball():
    """Density that falls from `peak` at `centre` (mm) to 0 at `radius` mm."""

    def make(frame, centre, radius, peak=1.0):
        voxels = np.moveaxis(np.indices(frame.shape), 0, -1)
        distance = np.linalg.norm(frame.world(voxels) - np.asarray(centre), axis=-1)
        return (peak * np.clip(1 - (distance / radius) ** 2, 0, 1)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def make_tumour(ball):
    """Encode a density on a frame, by default a ball."""

    def make(frame, density=None, *, centre=None, radius=20.0, draw=-1):
        if centre is None:
            centre = tuple(frame.world((np.array(frame.shape) - 1) / 2))
        if density is None:
            density = ball(frame, centre, radius)
        parameters = GrowthParameters(tuple(centre), 0.1 + radius / 100, 0.02, 300.0 + draw)
        return EncodedTumour.from_density(density, frame, parameters, THRESHOLDS, draw)

    return make


@pytest.fixture(scope="session")
def make_store(tmp_path_factory, make_tumour):
    """Write a store with one commit for each list of densities; returns its path."""

    def make(atlas, *segments):
        path = tmp_path_factory.mktemp("made") / "store"
        with creating(path, atlas, MODEL, "test") as writer:
            for densities in segments:
                tumours = [make_tumour(atlas.frame, u, draw=n) for n, u in enumerate(densities)]
                writer.commit_tumours(tumours, {"method": "test"})
        return path

    return make


@pytest.fixture
def small_store(make_store, small_atlas, ball):
    """Path of a store in `small_atlas`: ids 0 to 2 in version 2, ids 3 and 4 added by version 3."""
    frame = small_atlas.frame
    middle = frame.world((np.array(frame.shape) - 1) / 2)
    balls = [ball(frame, middle + np.array([5.0 * n, 0, -3.0 * n]), 14.0 + 3 * n) for n in range(5)]
    return make_store(small_atlas, balls[:3], balls[3:])


@pytest.fixture(scope="session")
def s3_server():
    """Address of an S3 that lives in this process's threads, with credentials in the environment."""
    pytest.importorskip("obstore", reason="the object-store extra is not installed")
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        yield address
    server.stop()


@pytest.fixture
def s3_url(s3_server, tmp_path, monkeypatch):
    """An empty place in a bucket of that S3; derived data goes to a folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/{bucket}", method="PUT"))
    return f"s3://{bucket}/stores/one"
