"""Builds and searches by a real Dask cluster of several processes, workers killed on the way."""

import os
import signal

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.index import DiceIndex, cluster_index
from gliodex.simulate import Prior, build, cluster
from gliodex.store import cluster as store_cluster
from gliodex.store import collect_garbage, open_store, verify

PRIOR = Prior((0.02, 0.4), (0.01, 0.08), (50, 400), (0.5, 150), (0.1, 120))
SEED, COUNT, SNAPSHOTS = 5, 60, 2


@pytest.fixture(scope="module")
def workers(s3_server):
    """A scheduler and three worker processes, which a nanny starts again when they die; all know the S3 server."""
    distributed = pytest.importorskip("distributed", reason="the cluster extra is not installed")
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs="CRITICAL"
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def _small_tasks(monkeypatch):
    monkeypatch.setattr(cluster, "TASK_DRAWS", 6)


@pytest.fixture(scope="module")
def expected(ellipsoid_atlas, tmp_path_factory):
    """The campaign by one process on this machine."""
    path = tmp_path_factory.mktemp("expected") / "store"
    build(path, COUNT, SEED, ellipsoid_atlas, prior=PRIOR, snapshots=SNAPSHOTS, workers=1)
    return open_store(path)


def assert_same(store, expected, count=COUNT):
    assert list(store.ids) == list(expected.ids[:count])
    for tumour in store.ids:
        assert store.parameters(tumour) == expected.parameters(tumour)
        assert store.provenance(tumour) == expected.provenance(tumour)
        np.testing.assert_array_equal(store.integers(tumour), expected.integers(tumour))


def killer(running, moments):
    """Return a progress callback that kills a worker process when the build comes to each of these counts."""
    left = list(moments)

    def look(report):
        if left and report.count >= left[0]:
            left.pop(0)
            address, nanny = next(iter(running.workers.items()))
            assert address is not None
            os.kill(nanny.pid, signal.SIGKILL)

    look.left = left
    return look


@pytest.mark.slow
@pytest.mark.parametrize("where", ["folder", "s3"])
def test_a_build_with_workers_killed_is_the_build_of_one_machine(
    where, workers, ellipsoid_atlas, expected, tmp_path, request
):
    location = str(tmp_path / "store") if where == "folder" else request.getfixturevalue("s3_url")
    options = {"prior": PRIOR, "snapshots": SNAPSHOTS, "scheduler": workers.scheduler_address}
    kill = killer(workers, [8, 25])
    for count in (23, COUNT):  # the first count cuts a simulation's snapshots in two, or may
        report = build(location, count, SEED, ellipsoid_atlas, progress=kill, **options)
        assert report.count == len(open_store(location)) == count
    assert not kill.left
    store = open_store(location)
    assert_same(store, expected)
    assert verify(store, full=True) == []
    assert build(location, COUNT, SEED, ellipsoid_atlas, **options).added == 0
    if where == "folder":  # in an object store what nobody names is kept for a day
        collect_garbage(location)
        named = {record.name for record in open_store(location).segments}
        assert {p.name for p in (tmp_path / "store" / "segments").iterdir()} == named


@pytest.mark.slow
def test_a_local_build_goes_on_where_a_cluster_stopped(workers, ellipsoid_atlas, expected, tmp_path):
    path = tmp_path / "store"
    options = {"prior": PRIOR, "snapshots": SNAPSHOTS}
    build(path, 17, SEED, ellipsoid_atlas, scheduler=workers.scheduler_address, **options)
    build(path, 31, SEED, ellipsoid_atlas, workers=1, **options)
    build(path, COUNT, SEED, ellipsoid_atlas, scheduler=workers.scheduler_address, **options)
    assert_same(open_store(path), expected)


@pytest.mark.slow
def test_workers_find_what_one_process_finds(workers, expected):
    local = DiceIndex.open(expected)
    with cluster_index(expected, workers.scheduler_address) as spread:
        assert len(spread) == len(local)
        for tumour in expected.ids[::9]:
            u = expected.density(tumour)
            for k, distinct in ((1, False), (15, False), (15, True), (200, False), (200, True)):
                found, wanted = (index.search(u >= 0.6, u >= 0.2, k, distinct=distinct) for index in (spread, local))
                for column in ("ids", "scores", "dice_core", "dice_whole"):
                    np.testing.assert_array_equal(getattr(found, column), getattr(wanted, column))


def test_no_scheduler_is_said_in_one_line(ellipsoid_atlas, tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="the cluster extra is not installed")
    monkeypatch.setattr(store_cluster, "_ANSWER_SECONDS", 1)
    with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        build(tmp_path / "s", 3, SEED, ellipsoid_atlas, prior=PRIOR, scheduler="tcp://127.0.0.1:9")
