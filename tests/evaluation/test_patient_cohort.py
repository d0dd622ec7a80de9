import json

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from gliodex.errors import InputError, NotAStoreError
from gliodex.evaluation import patient_cohort, plausibility
from gliodex.evaluation.held_out_sets import unseen
from gliodex.evaluation.patient_cohort import short_names, table
from gliodex.retrieval import dice

from ..retrieval.anatomy import brats_labels, write_nifti


@pytest.fixture
def cohort(small_atlas, tmp_path, ball):
    """Three patients drawn in the small atlas."""
    frame = small_atlas.frame
    middle = frame.world((np.array(frame.shape) - 1) / 2)
    for n, radius in enumerate((18, 24, 30)):
        folder = tmp_path / "cohort" / f"p{n}"
        folder.mkdir(parents=True)
        labels = brats_labels(ball(frame, middle + np.array([4.0 * n, 6, 0]), radius))
        write_nifti(folder / "seg.nii.gz", labels, frame.affine)
    return tmp_path / "cohort"


def test_the_best_of_each_mask_are_those_of_brute_force(small_store, cohort, tmp_path):
    from gliodex.store import open_store
    from gliodex.store.nifti import load_image

    rows = plausibility([str(small_store)], cohort, tmp_path / "out", "atlas")
    store = open_store(small_store)
    assert [row["patient"] for row in rows] == ["p0", "p1", "p2"]
    for row in rows:
        labels = load_image(cohort / row["patient"] / "seg.nii.gz").data
        pairs = []
        for tumour in store.ids.tolist():
            density = store.density(tumour)
            core, whole = density >= np.float32(0.6), density >= np.float32(0.2)
            pairs.append((dice(core, labels == 4), dice(whole, labels > 0)))
        pairs = np.array(pairs)
        assert row["best_core"] == pairs[:, 0].max()
        assert row["best_whole"] == pairs[:, 1].max()
        assert row["best_both"] == pairs.sum(1).max()
        assert (row["match_core"], row["match_whole"]) == tuple(pairs[pairs.sum(1).argmax()])
    lines = (tmp_path / "out" / "plausibility.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert (tmp_path / "out" / "plausibility.png").read_bytes()[:4] == b"\x89PNG"
    assert "| test | 5 | 3 |" in (tmp_path / "out" / "table.md").read_text()


def test_several_stores_are_compared_patient_by_patient(small_store, make_store, small_atlas, ball, cohort, tmp_path):
    far = make_store(small_atlas, [ball(small_atlas.frame, small_atlas.frame.world([8, 8, 8]), 12)])
    plausibility([str(small_store), str(far)], cohort, tmp_path / "out", "atlas")
    text = (tmp_path / "out" / "table.md").read_text()
    assert f"| {far} | test | 1 | 3 |" in text
    assert " against " not in text, "three patients are too few to tell"


def test_intervals_are_students(small_store):
    """Against scipy's own test of a mean."""
    values = np.array([1.0, 1.4, 1.2, 1.3, 0.7, 1.1, 1.2])
    low, high = ttest_1samp(values, 0).confidence_interval()
    assert f"{values.mean():.3f} ({low:.3f} to {high:.3f})" in table(rows("a", values))


def rows(store, values, tumours=1):
    zero = {
        "set": "patients",
        "model": "m",
        "tumours": tumours,
        "best_core": 0.0,
        "best_whole": 0.0,
        "match_core": 0.0,
        "match_whole": 0.0,
    }
    return [zero | {"store": store, "patient": str(n), "best_both": v} for n, v in enumerate(values)]


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        ([1.2, 1.3, 1.5, 1.2, 1.3, 1.4], "are closer to the patients"),
        ([0.8, 0.9, 0.7, 0.6, 0.9, 0.8], "are farther from the patients"),
        ([1.2, 0.7, 1.1, 1.3, 0.9, 1.1], "which is closer to the patients cannot be told"),
    ],
)
def test_the_verdict_follows_from_the_interval_of_the_paired_differences(other, verdict):
    told = table(rows("a", [1.0, 1.1, 1.2, 1.0, 1.1, 1.2]) + rows("b", other))
    assert verdict in told
    assert "differ in size" not in told


def test_figures_name_stores_by_their_folders_where_that_tells_them_apart():
    assert short_names(["/a/x/", "s3://b/y"]) == {"/a/x/": "x", "s3://b/y": "y"}
    assert short_names(["/a/x", "/b/x"]) == {"/a/x": "/a/x", "/b/x": "/b/x"}


def test_what_cannot_be_compared_is_said_before_anything_is_searched(small_store, cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(patient_cohort, "patients", lambda *_: 1 / 0)
    with pytest.raises(NotAStoreError, match="nothing"):
        plausibility([str(small_store), str(tmp_path / "nothing")], cohort, tmp_path / "out", "atlas")
    with pytest.raises(InputError, match="once"):
        plausibility([str(small_store), f"{small_store}/"], cohort, tmp_path / "out", "atlas")


def test_of_stores_that_differ_in_size_it_is_said():
    one, other = [1.0, 1.1, 1.2, 1.0, 1.1, 1.2], [1.2, 1.3, 1.5, 1.2, 1.3, 1.4]
    told = table(rows("a", one, 5000) + rows("b", other, 20000))
    assert "differ in size (20,000 against 5,000), by which alone the larger is closer" in told


@pytest.mark.slow
def test_its_own_tumours_are_asked_besides(brain_store, cohort, tmp_path):
    """The best of an unseen tumour is that of brute force over the store; patients' figures stay as they are."""
    found = plausibility([str(brain_store.path)], cohort, tmp_path / "out", "atlas", own=4, seed=8)
    alone = plausibility([str(brain_store.path)], cohort, tmp_path / "alone", "atlas")
    assert [row for row in found if row["set"] == "patients"] == alone
    own = [row for row in found if row["set"] == "unseen"]
    masks = [(d >= np.float32(0.6), d >= np.float32(0.2)) for d in map(brain_store.density, brain_store.ids.tolist())]
    for (core, whole), row in zip(unseen(brain_store, 4, 8), own, strict=True):
        assert row["best_both"] == max(dice(c, core) + dice(w, whole) for c, w in masks)
    lines = (tmp_path / "out" / "table.md").read_text().splitlines()
    assert len({line.count("|") for line in lines if line}) == 1
    assert lines[2].endswith("of 4 |")


def test_a_store_twice_or_empty_is_refused(small_store, make_store, small_atlas, cohort, tmp_path):
    with pytest.raises(InputError, match="once"):
        plausibility([str(small_store)] * 2, cohort, tmp_path / "out", "atlas")
    with pytest.raises(InputError, match="holds no tumours yet"):
        plausibility([str(make_store(small_atlas))], cohort, tmp_path / "out", "atlas")
    assert not (tmp_path / "out").exists()
