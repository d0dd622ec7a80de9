"""The GPU's solver: by numba's simulator where there is no GPU, on the GPU where there is one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import cuda

from gliodex.errors import InputError
from gliodex.simulate import FisherKolmogorov, Prior, build
from gliodex.simulate.cuda import CudaFisherKolmogorov
from gliodex.simulate.prior import tissue_voxels
from gliodex.store import open_store

HAS_GPU = cuda.is_available()
needs_gpu = pytest.mark.skipif(not HAS_GPU, reason="there is no NVIDIA GPU on this machine")


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU on this machine")
def test_without_a_gpu_it_is_refused_before_anything_is_written(ellipsoid_atlas, tmp_path):
    with pytest.raises(InputError, match="no NVIDIA GPU with a driver was found") as caught:
        build(tmp_path / "store", 3, 1, ellipsoid_atlas, device="cuda")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_the_kernels_make_what_the_cpu_makes():
    """In numba's simulator, on a grid of 11³, with a box that is too small, snapshots, and a run that outgrows."""
    script = Path(__file__).with_name("simulated_gpu.py")
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [run["outgrew"] for run in told] == [[False, False], [False, False], [True, True]]
    for run in told[:2]:
        assert run["apart"] < 1e-5
        assert run["peak"] > 0.1
    days, expected_days = told[0]["snapshot_days"]
    assert days == expected_days
    assert len(days) == 2
    assert max(told[0]["snapshots_apart"]) < 1e-4


@needs_gpu
def test_tumours_equal_those_of_the_cpu_to_a_ten_thousandth(icbm152):
    host, device, prior = FisherKolmogorov(icbm152), CudaFisherKolmogorov(icbm152), Prior()
    tissue = tissue_voxels(icbm152)
    draws = [prior.draw(icbm152, tissue, 5, index) for index in range(400)]
    wanted = [p for p in draws if p.mu1 * p.mu2 < 60 and p.mu2 > 1.5][:40]
    for run, parameters in zip(device.grow_many(wanted), wanted, strict=True):
        np.testing.assert_allclose(run.full(), host(parameters), atol=1e-4)


@needs_gpu
def test_a_store_built_on_the_gpu_holds_the_draws_of_one_built_on_the_cpu(icbm152, tmp_path):
    for device in ("cuda", "cpu"):
        build(tmp_path / device, 60, 1, icbm152, snapshots=2, device=device)
    there, here = open_store(tmp_path / "cuda"), open_store(tmp_path / "cpu")
    assert [there.parameters(i) for i in there.ids] == [here.parameters(i) for i in here.ids]
    for tumour in here.ids:
        np.testing.assert_allclose(there.density(tumour), here.density(tumour), atol=4e-4)
