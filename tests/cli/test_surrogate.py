"""`gliodex train surrogate` and `gliodex bench surrogate`."""

import pytest

from gliodex.cli.build import PriorName
from gliodex.cli.train import Arch, LossName, SeesName
from gliodex.learn.surrogate import SURROGATE_DESIGNS, SurrogateFile
from gliodex.simulate import PRIORS

from ..learn.surrogate.tiny import TINY, anatomy_stores

pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")


@pytest.fixture(scope="module")
def stores(tmp_path_factory, make_atlas):
    made = anatomy_stores(tmp_path_factory.mktemp("anatomies"), make_atlas, 12)
    return [store.path for store in made]


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(SURROGATE_DESIGNS, "small", TINY)


def test_choices_are_those_of_the_package():
    assert {arch.value for arch in Arch} == set(SURROGATE_DESIGNS)
    assert {name.value for name in PriorName} == set(PRIORS)
    assert {name.value for name in SeesName} == {"diffusivity", "tissue", "csf"}
    assert {name.value for name in LossName} == {"parts", "paper", "l1"}


def test_a_surrogate_is_trained_and_compared(gliodex, stores, tmp_path, make_atlas):
    file, out = tmp_path / "networks" / "one.network", tmp_path / "out"
    options = ("--epochs", "2", "--tumours", "8", "--sees", "tissue", "--loss", "l1", "--out", file)
    ran = gliodex("train", "surrogate", *stores[:2], *options)
    assert ran.code == 0, ran.err
    assert "2 epochs" in ran.joined
    design = SurrogateFile(file).design
    assert (design.sees, design.loss) == ("tissue", "l1")
    assert "nothing to do" in gliodex("train", "surrogate", *stores[:2], *options).joined
    ran = gliodex("bench", "surrogate", stores[0], "--network", file, "--out", out)
    assert ran.code == 2
    assert "has learned from the anatomy" in ran.said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tumours", "12"), "13 are wanted"),
        (("--loss", "l2"), "--loss"),
        (("--device", "cuda"), "no NVIDIA GPU"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line(gliodex, stores, tmp_path, options, said):
    ran = gliodex("train", "surrogate", *stores[:2], "--out", tmp_path / "one.network", *options)
    assert ran.code == 2
    assert said in ran.said


def test_tumours_for_surrogates_are_built_of_any_size(gliodex, tmp_path, stores):
    import shutil

    from gliodex.store import open_store

    store = shutil.copytree(stores[0], tmp_path / "store")
    ran = gliodex("build", store, "--count", "6", "--seed", "3", "--prior", "paper000", "--workers", "1")
    assert ran.code == 0, ran.err
    grown = [open_store(store).parameters(tumour) for tumour in range(12, 18)]
    assert all(0.001 <= p.diffusivity <= 0.08 and 50 <= p.duration <= 1000 for p in grown)
