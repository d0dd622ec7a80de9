import time

import numpy as np
import pytest

from gliodex.evaluation.held_out_sets import unseen
from gliodex.evaluation.reference_implementation import dice_sum, seconds_a_tumour
from gliodex.index import DiceIndex


def test_it_finds_what_exact_search_finds(brain_store, tmp_path):
    query = unseen(brain_store, 1, seed=9)[0]
    ids = brain_store.ids[:5]
    levels = brain_store.thresholds["core"], brain_store.thresholds["whole"]
    found = []
    for tumour in ids.tolist():
        np.savez_compressed(tmp_path / "density.npz", data=brain_store.density(tumour))
        found.append(dice_sum(tmp_path / "density.npz", np.stack(query), levels))
    assert found == pytest.approx(DiceIndex.open(brain_store).compare(ids, *query).sum(axis=0), abs=1e-6)


def test_writing_files_and_starting_processes_do_not_count(brain_store):
    query, told = unseen(brain_store, 1, seed=9)[0], []
    begun = time.perf_counter()
    a_tumour = seconds_a_tumour(brain_store, *query, 4, 1, lambda done, total: told.append((done, total)))
    assert 0 < 4 * a_tumour < (time.perf_counter() - begun) / 2
    assert told == [(n, 4) for n in (1, 2, 3, 4)]
