"""The networks that come with gliodex, asked for tumours that they have never seen; figures are in their cards."""

from itertools import islice

import numpy as np
import pytest

from gliodex.evaluation.lmi_benchmark import Judge, outlined_tumours
from gliodex.learn.lmi import GrowthReader, Targets, shipped_path

torch = pytest.importorskip("torch", reason="pip install 'gliodex[learn]'")


def test_a_store_in_the_embedded_atlas_needs_no_network_of_its_own(brain_store):
    reader, judge = GrowthReader.of(brain_store), Judge(brain_store)
    assert reader.files[0].path == shipped_path("small", Targets())
    rows = []
    for tumour in islice(outlined_tumours(brain_store, 31), 12):
        told = reader(tumour.core, tumour.whole, draws=100)
        row = judge(tumour, told.parameters)
        ends = np.quantile([draw.mu2 for draw in told.draws], [0.01, 0.99])
        rows.append((row["dice_0.1"], row["seed_mm"], ends[0] <= tumour.parameters.mu2 <= ends[1], told.farther))
    dices, seeds, covered, farther = np.array(rows).T
    assert np.median(dices) > 0.9
    assert np.median(seeds) < 1.5
    assert covered.sum() >= 9
    assert (farther > 0).sum() >= 10, "simulations are not strange to it"
