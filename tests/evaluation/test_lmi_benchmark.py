import json
from itertools import islice

import numpy as np
import pytest

from gliodex.errors import InputError, UnsolvedError
from gliodex.evaluation import GrowthBenchRequest, compare_growth_networks, lmi_benchmark
from gliodex.evaluation.lmi_benchmark import Judge, density_errors, outlined_tumours
from gliodex.evaluation.lmi_table import growth_table, summarise
from gliodex.learn.lmi import GrowthReader
from gliodex.simulate import FisherKolmogorov, MassEffectSettings
from gliodex.store.quantization import dequantise, quantise

from ..learn.lmi.tiny import trained_store

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")


@pytest.fixture(scope="module")
def store(tmp_path_factory, small_atlas):
    return trained_store(tmp_path_factory.mktemp("lmi") / "store", small_atlas)


def test_unseen_tumours_are_outlined_at_densities_of_the_paper(store):
    thresholds = []
    for tumour in islice(outlined_tumours(store, 9), 6):
        assert (tumour.core <= tumour.whole).all()
        ends = [tumour.density[tumour.whole].min(), tumour.density[~tumour.whole].max()]
        assert ends[1] <= ends[0]
        assert ends[0] >= 0.05
        assert ends[1] <= 0.5
        if tumour.core.any():
            assert tumour.density[tumour.core].min() >= 0.5
            assert tumour.density[~tumour.core].max() <= 0.85
        thresholds.append(ends[0])
        np.testing.assert_allclose(tumour.density, FisherKolmogorov(store.atlas)(tumour.parameters), atol=1 / 4095)
    assert len(set(thresholds)) == 6
    again = next(outlined_tumours(store, 9))
    assert again.density[again.whole].min() == thresholds[0], "the same seed outlines them alike"


def test_errors_are_those_of_each_tissue(small_atlas):
    truth = np.zeros(small_atlas.frame.shape, np.float32)
    told = truth.copy()
    white, grey = small_atlas.white > 0, small_atlas.grey > 0
    truth[white], told[white] = 0.9, 0.8
    truth[grey], told[grey] = 0.2, 0.5
    told[small_atlas.csf > 0] = 0.07
    found = density_errors(told, truth, small_atlas)
    assert found["mae_white"] == pytest.approx(0.1)
    assert found["mae_grey"] == pytest.approx(0.3)
    assert found["mae_csf"] == pytest.approx(0.07)
    both, whites = (white | grey).sum(), white.sum()
    outside = ((told >= 0.01) & (truth < 0.01)).sum()
    assert found["dice_0.01"] == pytest.approx(2 * both / (2 * both + outside))
    assert found["dice_0.1"] == 1
    assert found["dice_0.8"] == pytest.approx(1.0), whites
    assert density_errors(0 * told, 0 * truth, small_atlas)["dice_0.8"] is None


def test_the_truth_is_without_error_and_a_tumour_of_the_store_is_itself(store):
    judge, tumour = Judge(store), next(outlined_tumours(store, 9))
    scores = judge(tumour, tumour.parameters)
    assert scores["mae_white"] < 1 / 4095
    assert scores["dice_0.1"] > 0.999
    assert (scores["seed_mm"], scores["mu1_off"]) == (0, 0)
    found = judge(tumour, int(store.ids[3]))
    density = store.density(int(store.ids[3]))
    assert found["mae_grey"] == density_errors(density, tumour.density, store.atlas)["mae_grey"]
    np.testing.assert_array_equal(dequantise(quantise(density)), density)


def test_what_cannot_be_simulated_tells_of_no_tumour(store, monkeypatch):
    judge, tumour = Judge(store), next(outlined_tumours(store, 9))

    def unsolved(self, parameters):
        raise UnsolvedError("no solution")

    monkeypatch.setattr(FisherKolmogorov, "__call__", unsolved)
    scores = judge(tumour, tumour.parameters)
    there = (tumour.density > 1e-4) & (store.atlas.white > 1e-4)
    assert (scores["dice_0.01"], scores["dice_0.8"]) == (0, 0)
    assert scores["mae_white"] == pytest.approx(float(tumour.density[there].mean(dtype=float)))


def test_networks_and_stores_are_compared(store, tmp_path, monkeypatch):
    monkeypatch.setattr(lmi_benchmark, "NEIGHBOURS", 100)
    asked = []
    plain = GrowthReader.__call__
    monkeypatch.setattr(GrowthReader, "__call__", lambda self, *a, **k: asked.append(1) or plain(self, *a, **k))
    request = GrowthBenchRequest(str(store.path), tmp_path / "out", 5, 9)
    rows = compare_growth_networks(request)
    ways = list(dict.fromkeys(row["way"] for row in rows))
    assert ways[0] == "small: √(DT), √(ρT) and seed, one network"
    assert ways[-1] == "nearest of 240 tumours"
    assert len(rows) == 5 * len(ways)
    assert len(asked) == 2 * 5, "alone, and to be simulated"
    assert ways[1] == f"{ways[0]}, then the middle of the best 4 of 48 draws"
    written = (tmp_path / "out" / "lmi.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in written] == rows
    assert (tmp_path / "out" / "table.md").read_text().count("\n") == 2 + len(ways) + 3
    nearest = [row for row in rows if row["way"] == ways[-1]]
    assert all("mu1_covered" not in row for row in nearest)
    assert {row["mu1_covered"] for row in rows if row["way"] == ways[0]} <= {True, False}


def test_of_tumours_that_push_the_mass_effect_is_told_too(small_atlas, tmp_path):
    store = trained_store(tmp_path / "store", small_atlas, MassEffectSettings(pushes=3), tumours=60)
    rows = compare_growth_networks(GrowthBenchRequest(str(store.path), tmp_path / "out", 4, 9, draws=6))
    assert all(row["pressure"] > 0 for row in rows)
    told = [row["pressure_off"] + row["pressure"] for row in rows if row["way"].startswith("small")]
    assert all(0 <= pressure <= 16 for pressure in told)
    assert len({round(pressure, 6) for pressure in told}) > 4
    table = growth_table(summarise(rows)).splitlines()
    assert "γ off, kPa" in table[0]
    assert len({line.count("|") for line in table}) == 1
    assert "| 0.055 | 0.054 | 0.054 | 0.886 | 0.850 | 0.783 |" in table[-1]


def test_one_tumour_is_too_few(store, tmp_path):
    with pytest.raises(InputError, match="n_test must be at least 2, not 1"):
        compare_growth_networks(GrowthBenchRequest(str(store.path), tmp_path / "out", 1))
    assert not (tmp_path / "out").exists()


def test_draws_are_left_out_where_none_are_wanted(store, tmp_path):
    rows = compare_growth_networks(GrowthBenchRequest(str(store.path), tmp_path / "out", 2, 9, draws=0))
    assert not [row["way"] for row in rows if "draws" in row["way"]]


def test_draws_without_a_middle_are_refused(store, tmp_path):
    with pytest.raises(InputError, match="n_posterior_samples must be 0, or at least the 4"):
        compare_growth_networks(GrowthBenchRequest(str(store.path), tmp_path / "out", 2, 9, draws=3))


def test_what_a_network_has_learned_from_is_not_unseen(store):
    """Learned from another store, whose campaign the searched one does not have."""
    reader = GrowthReader.of(store)
    assert lmi_benchmark.unaware(reader, 6) is reader
    with pytest.raises(InputError, match=r"has learned from tumours of the seed 5: choose another seed"):
        lmi_benchmark.unaware(reader, 5)
