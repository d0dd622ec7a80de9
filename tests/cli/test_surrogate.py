"""`gliodex train surrogate` and `gliodex bench surrogate`."""

import json
import shutil

import pytest

from gliodex.cli.build import PriorName
from gliodex.cli.train_surrogate import Arch, LossName, SeesName
from gliodex.learn.surrogate import SURROGATE_DESIGNS, SurrogateFile, SurrogateSolver, train_surrogate
from gliodex.simulate import PRIORS, FisherKolmogorov, GrowthParameters, build
from gliodex.store import open_store

from ..learn.surrogate.tiny import TINY, anatomy_stores, settings
from ..retrieval.anatomy import brats_labels, write_nifti
from .conftest import query_refused

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
    options = ("--epochs", "2", "--tumors", "8", "--inputs", "tissue", "--loss", "l1", "--out", file)
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
        (("--tumors", "12"), "13 are wanted"),
        (("--loss", "l2"), "--loss"),
        (("--device", "cuda"), "no NVIDIA GPU"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line(gliodex, stores, tmp_path, options, said):
    ran = gliodex("train", "surrogate", *stores[:2], "--out", tmp_path / "one.network", *options)
    assert ran.code == 2
    assert said in ran.said


def test_tumours_for_surrogates_are_built_of_any_size(gliodex, tmp_path, stores):
    store = shutil.copytree(stores[0], tmp_path / "store")
    ran = gliodex("build", store, "--count", "6", "--seed", "3", "--prior", "ezhov2021", "--workers", "1")
    assert ran.code == 0, ran.err
    grown = [open_store(store).parameters(tumour) for tumour in range(12, 18)]
    assert all(0.001 <= p.diffusivity <= 0.08 and 50 <= p.duration <= 1000 for p in grown)


@pytest.fixture(scope="module")
def wide_network(small_atlas, tmp_path_factory):
    """A surrogate that has learned the tumours of a store in the small brain: those that queries ask for."""
    folder = tmp_path_factory.mktemp("wide")
    build(folder / "store", 80, 8, small_atlas, workers=1)
    train_surrogate([open_store(folder / "store")], folder / "wide.network", settings(tumours=70, epochs=6, crop=32))
    return folder / "wide.network"


@pytest.fixture(scope="module")
def seg(small_atlas, tmp_path_factory):
    density = FisherKolmogorov(small_atlas)(GrowthParameters((-8.0, -20.0, 12.0), 0.4, 0.05, 200.0))
    return write_nifti(tmp_path_factory.mktemp("seg") / "seg.nii.gz", brats_labels(density), small_atlas.frame.affine)


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param(("tmcmc", "--prior", "store", "--particles", "256"), marks=pytest.mark.slow),
        pytest.param(("npe", "--simulations-per-round", "45", "--rounds", "1"), marks=pytest.mark.slow),
    ],
)
def test_a_surrogate_stands_in_for_the_solver(ask, snapshots_store, seg, out, wide_network, monkeypatch, stage):
    asked = []
    plain = SurrogateSolver.grow
    monkeypatch.setattr(SurrogateSolver, "grow", lambda self, *a: asked.append(1) or plain(self, *a))
    options = ("--refine", *stage, "--simulation-space", "atlas", "--surrogate", wide_network, "--no-keep")
    ran = ask(*options, store=snapshots_store, seg=seg)
    assert ran.code == 0, ran.err
    record = json.loads((out / "matches.json").read_text())
    assert record["refinement"]["settings"]["surrogate"] == SurrogateFile(wide_network).sha256
    assert "densities are a surrogate's (wide.network), not the solver's" in ran.err
    assert len(asked) > 45


def test_a_surrogate_that_does_not_fit_is_refused(ask, snapshots_store, brain_store, seg, out, wide_network, tmp_path):
    refine = ("--refine", "tmcmc", "--surrogate")
    ran = ask("--refine", "local", "--surrogate", wide_network, store=snapshots_store, seg=seg)
    query_refused(ran, out, "--surrogate is for --refine tmcmc or --refine npe")
    query_refused(ask(*refine, tmp_path / "none", store=snapshots_store, seg=seg), out, "there is no network")
    labels = brats_labels(open_store(brain_store).density(3))
    other = write_nifti(tmp_path / "other.nii.gz", labels, open_store(brain_store).frame.affine)
    ran = ask(*refine, wide_network, "--simulation-space", "atlas", store=brain_store, seg=other)
    query_refused(ran, out, "has learned with voxels of 4 mm, atlas icbm152 has 2 mm")
