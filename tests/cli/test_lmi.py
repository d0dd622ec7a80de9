"""`gliodex train lmi`, `gliodex bench lmi` and `gliodex query --refine lmi`."""

import json
import shutil
import sys

import numpy as np
import pytest

from gliodex.cli.render import _KEPT
from gliodex.cli.train_lmi import Arch, ScaleName, TargetName
from gliodex.learn.lmi import GROWTH_DESIGNS, TARGETS, NetworkFile, growth_path, lmi_checkpoint
from gliodex.learn.lmi.targets import Targets
from gliodex.simulate import FisherKolmogorov, GrowthParameters
from gliodex.store import open_store

from ..learn.lmi.tiny import TINY, trained_store
from ..retrieval.anatomy import RESULT_FILES, brats_labels, write_nifti
from ..store.breaking import flip
from .conftest import query_refused

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")

TRUTH = GrowthParameters((-8.0, -20.0, 12.0), 0.4, 0.05, 200.0)


@pytest.fixture(scope="module")
def _store(tmp_path_factory, small_atlas):
    return trained_store(tmp_path_factory.mktemp("lmi") / "store", small_atlas).path


@pytest.fixture
def store(_store, tmp_path):
    """Path of a store with a network."""
    return shutil.copytree(_store, tmp_path / "store")


@pytest.fixture(scope="module")
def seg(small_atlas, tmp_path_factory):
    density = FisherKolmogorov(small_atlas)(TRUTH)
    return write_nifti(tmp_path_factory.mktemp("lmi") / "seg.nii.gz", brats_labels(density), small_atlas.frame.affine)


def network_of(store, targets="mu+seed", scale="log"):
    return growth_path(open_store(store), "small", Targets(targets, scale))


def test_choices_are_those_of_the_package():
    assert {arch.value for arch in Arch} == set(GROWTH_DESIGNS)
    assert tuple(name.value for name in TargetName) == TARGETS
    assert [scale.value for scale in ScaleName] == ["log", "linear"]


def test_a_network_is_trained_once_and_anew_when_asked(gliodex, store, monkeypatch):
    monkeypatch.setitem(GROWTH_DESIGNS, "small", TINY)
    options = ("--tumors", "20", "--epochs", "2", "--seed", "4", "--targets", "rates+seed", "--scale", "linear")
    ran = gliodex("train", "lmi", store, *options)
    assert ran.code == 0, ran.err
    assert "lmi trained in" in ran.joined
    assert "2 epochs" in ran.joined
    record = NetworkFile(network_of(store, "rates+seed", "linear")).record
    assert (record["run"]["seed"], record["run"]["learned_from"]["tumours"]) == (4, 22)
    assert "nothing to do" in gliodex("train", "lmi", store, *options).joined
    assert "lmi trained" in gliodex("train", "lmi", store, *options, "--restart").joined
    assert gliodex("verify", store).code == 0


def test_a_damaged_network_is_told_by_verify(gliodex, store):
    flip(network_of(store), 100)
    ran = gliodex("verify", store)
    assert ran.code == 2
    assert "lmi-small-mu+seed.network is damaged" in ran.joined


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tumors", "500"), "holds 240 tumours whose growth is known, 550 are wanted"),
        (("--tumors", "1"), "--tumors"),
        (("--device", "cuda"), "no NVIDIA GPU"),
        (("--learn-from", "nowhere"), "nowhere"),
        (("--arch", "large"), "--arch"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line(gliodex, store, options, said):
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    ran = gliodex("train", "lmi", store, *options)
    assert ran.code == 2
    assert said in ran.said


def test_without_the_extra_it_is_named(gliodex, store, monkeypatch, seg, out):
    monkeypatch.setitem(sys.modules, "torch", None)
    for command in (("train", "lmi", store), ("query", store, "--seg", seg, "--space", "atlas", "--refine", "lmi")):
        ran = gliodex(*command, *(("--out", out) if command[0] == "query" else ()))
        assert ran.code == 2
        assert "pip install 'gliodex[learn]'" in ran.said


@pytest.mark.parametrize("anatomy", ["patient", "atlas"])
def test_a_query_keeps_what_fits_best_and_writes_it_to_the_store(ask, store, seg, out, anatomy):
    ran = ask("--refine", "lmi", "--simulation-space", anatomy, "--keep", store=store, seg=seg)
    assert ran.code == 0, ran.err
    assert {path.name for path in out.iterdir()} == RESULT_FILES
    record = json.loads((out / "matches.json").read_text())
    refined = record["refinement"]
    assert refined["method"] == "lmi"
    assert record["patient_space"]["score"] >= refined["before"]["score"] - 0.02, "scores of a grid of 4 mm"
    diagnostics = record["posterior"]["diagnostics"]
    assert diagnostics["kept"] in _KEPT
    assert max(diagnostics["scores"].values()) == pytest.approx(record["patient_space"]["score"], abs=0.1)
    assert diagnostics["networks"] == [NetworkFile(network_of(store)).sha256]
    later = open_store(store)
    assert len(later) == 240 + len(refined["kept_as"])
    assert later.provenance(refined["kept_as"][0])["method"] == "lmi"
    assert (diagnostics["kept"] == "match") == ("the match is kept" in ran.err)
    assert f"kept: {_KEPT[diagnostics['kept']]}" in ran.joined
    assert "A network that has" in (out / "report.html").read_text()


@pytest.mark.slow
def test_a_network_competes_with_the_best_match_at_any_thresholds(ask, store, seg, out):
    """Or a query might answer worse with the stage than `--thresholds search` does without."""
    records = []
    for options in ((), ("--thresholds", "fixed")):
        assert ask("--refine", "lmi", *options, "--no-keep", store=store, seg=seg, to=out / str(len(options))).code == 0
        records.append(json.loads((out / str(len(options)) / "matches.json").read_text()))
    assert [record["settings"]["thresholds"] for record in records] == ["search", "fixed"]
    alone = ask("--thresholds", "search", store=store, seg=seg, to=out / "alone")
    assert alone.code == 0
    match = json.loads((out / "alone" / "matches.json").read_text())["matches"][0]
    assert {k: records[0]["matches"][0][k] for k in ("id", "score")} == {k: match[k] for k in ("id", "score")}
    assert records[0]["matches"][0]["score"] >= records[1]["matches"][0]["score"]


def test_a_network_of_another_atlas_is_not_asked(ask, store, seg, out, monkeypatch):
    plain = lmi_checkpoint.atlas_fingerprint
    monkeypatch.setattr(lmi_checkpoint, "atlas_fingerprint", lambda atlas: np.roll(plain(atlas), 1, axis=1))
    query_refused(ask("--refine", "lmi", store=store, seg=seg), out, "was trained in the atlas ellipsoid, not in")


def test_options_of_other_stages_are_refused(ask, store, seg, out):
    query_refused(ask("--refine", "lmi", "--rounds", "2", store=store, seg=seg), out, "--rounds is for --refine npe")
    query_refused(ask("--refine", "local", "--arch", "paper", store=store, seg=seg), out, "--arch is for --refine lmi")


def test_a_store_without_a_network_says_how_to_train_one(ask, snapshots_store, seg, out):
    ran = ask("--refine", "lmi", store=snapshots_store, seg=seg)
    query_refused(ran, out, f"train one with `gliodex train lmi {snapshots_store}`")


def test_bench_lmi_prints_its_table_beside_the_papers(gliodex, store, tmp_path):
    out = tmp_path / "out"
    ran = gliodex("bench", "lmi", store, "--out", out, "--n-test", "4", "--seed", "9")
    assert ran.code == 0, ran.err
    assert {p.name for p in out.iterdir()} == {"lmi.jsonl", "table.md", "error_by_growth.png"}
    assert (out / "table.md").read_text().strip() in ran.out
    assert "Ezhov et al. (2023)" in ran.out
    ran = gliodex("bench", "lmi", store, "--out", tmp_path / "other", "--seed", "5")
    assert ran.code == 2
    assert "choose another --seed" in ran.said
