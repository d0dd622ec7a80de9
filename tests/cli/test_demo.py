import json
import re

import nibabel as nib
import pytest

from ..retrieval.anatomy import RESULT_FILES


@pytest.mark.parametrize("below", ["file", "file/demo"])
def test_a_place_that_cannot_be_written_is_refused(gliodex, small_atlas, tmp_path, monkeypatch, below):
    monkeypatch.setattr("gliodex.simulate.load_atlas", lambda *_: small_atlas)
    (tmp_path / "file").write_text("in the way")
    ran = gliodex("demo", "--out", tmp_path / below, "--count", "1")
    assert ran.code == 2
    assert str(tmp_path / "file") in ran.said


@pytest.mark.slow
def test_the_demo_runs_from_nothing_to_a_comparison_with_the_truth(gliodex, tmp_path):
    folder = tmp_path / "demo"
    ran = gliodex("demo", "--out", folder, "--count", "30")
    assert ran.code == 0, ran.err
    assert [line[:2] for line in ran.out.splitlines() if re.match(r"\d\. ", line)] == ["1.", "2.", "3.", "4."]
    assert {p.name for p in folder.iterdir()} == {"store", "patient", "result"}
    assert {p.name for p in (folder / "patient").iterdir()} == {"t1.nii.gz", "seg.nii.gz", "truth.nii.gz"}
    assert {p.name for p in (folder / "result").iterdir()} == RESULT_FILES | {"transform"}
    record = json.loads((folder / "result" / "matches.json").read_text())
    assert record["store"]["tumours"] == 30
    assert record["transform"]["correlation"] > 0.8
    assert record["patient_space"]["whole"] > 0.3
    truth, found = (nib.load(folder / p) for p in ("patient/truth.nii.gz", "result/density.nii.gz"))
    assert truth.shape == found.shape
    assert (truth.affine == found.affine).all()
    again = gliodex("demo", "--out", folder, "--count", "30")
    assert again.code == 0, again.err
    assert "nothing to do" in again.joined
