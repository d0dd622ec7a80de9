import json

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.evaluation import SurrogateBenchRequest, compare_surrogates, surrogate_benchmark, surrogate_errors
from gliodex.evaluation.surrogate_benchmark import Elsewhere, summarise, surrogate_table
from gliodex.evaluation.surrogate_errors import crop_slices, density_errors
from gliodex.learn.surrogate import Ranges, SurrogateFile, train_surrogate
from gliodex.simulate import FisherKolmogorov, FisherKolmogorovSettings

from ..learn.surrogate.tiny import anatomy_stores, settings

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")


@pytest.fixture(scope="module")
def anatomies(tmp_path_factory, make_atlas):
    return anatomy_stores(tmp_path_factory.mktemp("anatomies"), make_atlas, 24)


@pytest.fixture(scope="module")
def network(anatomies, tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "tiny.network"
    train_surrogate(anatomies[:1], path, settings(tumours=20, epochs=2))
    return path


@pytest.fixture
def request_of(anatomies, network, tmp_path, make_atlas, monkeypatch):
    monkeypatch.setattr(surrogate_benchmark, "load_atlas", lambda name: make_atlas((32, 32, 32), name=name))

    def make(stores=anatomies[1:2], tumours=3, networks=(network,)):
        return SurrogateBenchRequest(networks, tuple(str(s.path) for s in stores), tmp_path / "out", tumours)

    return make


def test_in_its_own_anatomy_the_solver_elsewhere_is_the_solver(anatomies):
    store = anatomies[0]
    elsewhere = Elsewhere(store.atlas, store.atlas, FisherKolmogorovSettings())
    parameters = store.parameters(int(store.ids[2]))
    np.testing.assert_allclose(elsewhere(parameters), FisherKolmogorov(store.atlas)(parameters), atol=1e-5)


def test_a_brain_of_another_size_is_scaled_to(anatomies, make_atlas):
    """A tumour in the middle of a larger brain comes back to the middle of this one."""
    here = anatomies[0].atlas
    other = make_atlas((40, 40, 40), name="large")
    middle = here.frame.world((np.array(here.frame.shape) - 1) / 2)
    parameters = anatomies[0].parameters(int(anatomies[0].ids[0]))
    from dataclasses import replace

    density = Elsewhere(here, other, FisherKolmogorovSettings())(
        replace(parameters, seed_mm=tuple(middle), diffusivity=0.08, proliferation=0.03, duration=500)
    )
    assert density.max() > 0.1
    centre = (np.argwhere(density > 0.05) * density[density > 0.05][:, None]).sum(0) / density[density > 0.05].sum()
    np.testing.assert_allclose(centre, (np.array(here.frame.shape) - 1) / 2, atol=0.6)


def test_errors_are_told_for_each_tissue_and_nothing_where_there_is_nothing(small_atlas):
    inside = tuple(slice(0, n) for n in small_atlas.frame.shape)
    truth = np.where(small_atlas.white > 0, np.float32(0.9), np.float32(0))
    said = np.where(small_atlas.white > 0, np.float32(0.7), np.float32(0))
    said[small_atlas.csf > 0] = 0.3
    found = density_errors(said, truth, small_atlas, inside)
    assert found["mae_white"] == pytest.approx(0.2)
    assert found["mae_grey"] is None
    assert found["mae_csf"] == pytest.approx(0.3)
    assert found["dice_0.8"] == 0
    assert found["dice_0.4"] == 1
    assert density_errors(0 * said, 0 * truth, small_atlas, inside)["dice_0.2"] is None
    at = np.full(said.shape, 0.2, np.float32)
    assert density_errors(at, at, small_atlas, inside)["dice_0.2"] is None, "denser than the level, as the authors"


def test_the_cube_lies_around_the_seed(anatomies, monkeypatch):
    monkeypatch.setattr(surrogate_errors, "CROP", 8)
    store = anatomies[0]
    for tumour in store.ids[:5].tolist():
        parameters = store.parameters(tumour)
        seed = np.floor(store.frame.voxel(parameters.seed_mm) + 0.5)
        inside = crop_slices(store.frame, parameters)
        assert all(part.start <= at < part.stop <= part.start + 8 for part, at in zip(inside, seed, strict=True))


def test_surrogates_are_compared_with_simulations(request_of, anatomies, network, tmp_path, monkeypatch):
    monkeypatch.setattr(surrogate_benchmark.SurrogateFile, "ranges", Ranges("mu", (0.2, 0.2), (6.0, 9.0)))
    rows = compare_surrogates(request_of(tumours=24))
    assert {row["way"] for row in rows} == {"tiny", "solver in icbm152"}
    store, ranges = anatomies[1], SurrogateFile(network).ranges
    known = [n for n in store.ids.tolist() if ranges.hold(store.parameters(n))]
    assert 8 < len(known) < 24
    assert [row["tumour"] for row in rows if row["way"] == "tiny"] == known
    out = tmp_path / "out"
    assert {p.name for p in out.iterdir()} == {"surrogate.jsonl", "table.md", "histograms.png", "growth.png"}
    assert [json.loads(line) for line in (out / "surrogate.jsonl").read_text().splitlines()] == rows
    summaries = summarise(rows)
    assert [row["anatomies"] for row in summaries] == [1, 1]
    table = surrogate_table(summaries).splitlines()
    assert len(table) == 2 + 2 + 2 + 1
    assert "| 0.821 | 0.813 | 0.815 |" in table[4]
    assert {line.count("|") for line in table} == {11}
    assert all(0 < row[name] < 10 for row in summaries for name in ("at_once", "solver_at_once"))
    means = {row["way"]: row["means"]["dice_0.2"] for row in summaries}
    assert means["tiny"][3] <= len(known)
    assert 0 <= means["tiny"][1] <= means["tiny"][0] <= means["tiny"][2] <= 1


def test_intervals_are_of_anatomies():
    """Tumours of an anatomy are alike here: ten times as many say no more."""
    rows = [
        {"way": "one", "anatomy": name, "tumour": n, "dice_0.2": dice}
        | dict.fromkeys(("seconds", "solver_seconds", "at_once", "solver_at_once"), 1.0)
        for name, dice in (("a", 0.6), ("b", 0.8), ("c", 1.0))
        for n in range(200)
    ]
    mean, low, high, count = summarise(rows)[0]["means"]["dice_0.2"]
    assert (mean, count) == (pytest.approx(0.8), 600)
    assert low < 0.7
    assert high > 0.9


def test_anatomies_that_were_learned_from_are_no_test(request_of, anatomies, tmp_path):
    with pytest.raises(InputError, match=r"tiny.network has learned from the anatomy of .*anatomy-0: compare with"):
        compare_surrogates(request_of(stores=anatomies[:1]))
    with pytest.raises(InputError, match=r"holds 24 tumours, 25 are wanted"):
        compare_surrogates(request_of(tumours=25))
    with pytest.raises(InputError, match="at least one network"):
        compare_surrogates(request_of(networks=()))
    assert not (tmp_path / "out").exists()
