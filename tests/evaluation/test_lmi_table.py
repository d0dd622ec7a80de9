import numpy as np
import pytest
from matplotlib.image import imread

from gliodex.evaluation.lmi_table import SMALL_ML, growth_table, plot_errors, summarise


def row(way, n, **others):
    dices = {f"dice_{level:g}": 0.9 - level / 10 - n / 100 for level in (0.01, 0.1, 0.8)}
    found = {"way": way, "mu1": 4.0 + n, "mu2": 3.0, "pressure": 0.0, "mae_grey": 0.1, "mae_white": n / 100}
    found |= {"mae_csf": 0.0, "densest_ml": SMALL_ML * n / 2, "seed_mm": n, "seconds": 0.01}
    return found | {"mu1_off": -0.1 * n, "mu2_off": 0.1, "pressure_off": 0.0} | dices | others


@pytest.fixture
def rows():
    asked = [row("network", n, mu1_covered=n > 1, mu2_covered=True) for n in range(4)]
    return asked + [row("nearest", n) for n in range(4)]


def test_means_medians_and_what_intervals_hold(rows):
    network, nearest = summarise(rows)
    assert (network["way"], nearest["way"], network["tumours"]) == ("network", "nearest", 4)
    mean, low, high = network["means"]["mae_white"]
    assert mean == pytest.approx(0.015)
    assert low < mean < high
    assert network["medians"]["mu1_off"] == pytest.approx(0.15), "of what is off either way"
    assert network["covered"] == pytest.approx(6 / 8)
    assert nearest["covered"] is None
    assert not network["pushing"]


def test_small_volumes_are_counted_apart_and_empty_ones_left_out(rows):
    rows[0]["dice_0.8"] = None  # neither reaches this density
    densest = summarise(rows)[0]["densest"]
    assert densest["small"] == [pytest.approx(0.81), 1]
    assert densest["large"] == [pytest.approx(np.mean([0.80, 0.79])), 2]


def test_the_table_ends_with_the_paper_s_lines(rows):
    table = growth_table(summarise(rows)).splitlines()
    assert len(table) == 2 + 2 + 3
    assert len({line.count("|") for line in table}) == 1
    assert "| 0.057 | 0.057 | 0.000 | 0.943 | 0.932 | 0.861 |" in table[-1]
    assert "γ" not in table[0]
    pushing = growth_table(summarise([one | {"pressure": 4.0} for one in rows])).splitlines()
    assert "γ off, kPa" in pushing[0]
    assert len({line.count("|") for line in pushing}) == 1
    assert "| 0.055 | 0.054 | 0.054 | 0.886 | 0.850 | 0.783 |" in pushing[-1]


def test_errors_are_drawn_for_the_first_way(rows, tmp_path):
    plot_errors(rows, tmp_path / "errors.png")
    assert np.ptp(imread(tmp_path / "errors.png")[..., :3]) > 0.5
