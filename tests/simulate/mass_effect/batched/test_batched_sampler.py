"""Against the maker of the processor; on a GPU where there is one."""

import sys

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.simulate import MassEffectSettings, Prior, build, builder
from gliodex.simulate.mass_effect.batched import require_pytorch_gpu
from gliodex.simulate.sampler import TumourMaker
from gliodex.store import open_store

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")
maker = pytest.importorskip("gliodex.simulate.mass_effect.batched.batched_sampler")
solver = pytest.importorskip("gliodex.simulate.mass_effect.batched.solver")

HAS_GPU = torch.cuda.is_available()
DEVICES = ["cpu"] + ["cuda"] * HAS_GPU
SETTINGS = MassEffectSettings(pushes=4)


@pytest.fixture
def a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(solver.BatchedMassEffect, "_most_at_a_time", lambda self: 6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.usefixtures("a_few_at_a_time")
def test_draws_are_settled_as_on_the_processor(ellipsoid_atlas, monkeypatch, device):
    monkeypatch.setattr(maker.BatchedTumourMaker, "device", device)
    prior = Prior(whole_ml=(1.0, 60.0), mass_effect=(0.0, 16000.0))
    made = [
        kind(ellipsoid_atlas, SETTINGS, prior, 5, 1).settle(0, 160) for kind in (TumourMaker, maker.BatchedTumourMaker)
    ]
    alone, together = made
    assert (together.stop, together.previewed_out, together.unsolved) == (160, alone.previewed_out, alone.unsolved)
    ended = {t.draw for t in alone.tumours if t.snapshot == 0}
    # how early a tumour that outgrows is given up, and so whether its earlier stages are kept, differs
    here, there = ([t for t in batch.tumours if t.draw in ended] for batch in made)
    assert [(t.draw, t.snapshot, t.parameters) for t in here] == [(t.draw, t.snapshot, t.parameters) for t in there]
    assert ended == {t.draw for t in together.tumours if t.snapshot == 0}
    assert len(here) > len(ended) > 4
    for one, other in zip(here, there, strict=True):
        assert one.whole_ml == pytest.approx(other.whole_ml, rel=0.01)
        assert one.least_jacobian == pytest.approx(other.least_jacobian, abs=1e-3)


@pytest.mark.usefixtures("a_few_at_a_time")
def test_a_store_built_with_it_is_that_of_the_processor(ellipsoid_atlas, tmp_path, monkeypatch):
    if not HAS_GPU:
        monkeypatch.setattr(builder, "require_pytorch_gpu", lambda: None)
        monkeypatch.setattr(maker.BatchedTumourMaker, "device", "cpu")
    monkeypatch.setattr(builder, "GPU_DRAWS", 64)
    for device in ("cuda", "cpu"):
        build(tmp_path / device, 4, 1, ellipsoid_atlas, settings=SETTINGS, workers=1, device=device)
    there, here = (open_store(tmp_path / device) for device in ("cuda", "cpu"))
    assert [there.parameters(n) for n in there.ids] == [here.parameters(n) for n in here.ids]
    for tumour in here.ids:
        np.testing.assert_allclose(there.density(tumour), here.density(tumour), atol=1e-3)


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU on this machine")
def test_without_a_gpu_it_is_refused_before_anything_is_written(ellipsoid_atlas, tmp_path):
    with pytest.raises(InputError, match="PyTorch finds no NVIDIA GPU"):
        build(tmp_path / "store", 3, 1, ellipsoid_atlas, settings=SETTINGS, device="cuda")
    assert not (tmp_path / "store").exists()


def test_without_pytorch_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"pip install 'gliodex\[learn\]'"):
        require_pytorch_gpu()
