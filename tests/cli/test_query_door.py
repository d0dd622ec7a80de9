"""`gliodex query`: what comes in is understood or refused, what goes out is judged, no file of the user's is lost."""

import json

import nibabel as nib
import numpy as np
import pytest

from ..retrieval.anatomy import brats_labels, write_nifti
from .conftest import query_refused, seg_like


def match_of(folder):
    best = json.loads((folder / "matches.json").read_text())["matches"][0]
    return best["id"], round(best["score"], 6)


def test_how_the_labels_were_read_is_printed_with_volumes(ask, small_seg, out):
    ran = ask("--labels", "brats")
    image = nib.load(small_seg)
    labels = np.asarray(image.dataobj)
    ml = abs(np.linalg.det(image.affine[:3, :3])) / 1000
    assert f"core 4 {(labels == 4).sum() * ml:.1f} ml, whole 2+4 {(labels > 0).sum() * ml:.1f} ml" in ran.joined
    assert json.loads((out / "matches.json").read_text())["summary"][0] in ran.joined


@pytest.mark.slow
def test_other_formats_get_the_same_answer(ask, small_seg, out, tmp_path):
    assert ask("--labels", "brats").code == 0
    image = nib.load(small_seg)
    nib.save(nib.MGHImage(np.asarray(image.dataobj), image.affine), tmp_path / "seg.mgz")
    nib.save(nib.Nifti1Pair(np.asarray(image.dataobj), image.affine), tmp_path / "seg.img")
    for name in ("seg.mgz", "seg.img", "seg.hdr"):
        assert ask("--labels", "brats", seg=tmp_path / name, to=tmp_path / name.replace(".", "-")).code == 0
        assert match_of(tmp_path / name.replace(".", "-")) == match_of(out)


def test_labels_that_two_conventions_fit_are_refused_with_both(ask, small_seg, tmp_path, out):
    """Necrosis within an enhancing rim, or enhancing tumour round a cyst: 1 within 2, and nothing else."""
    seg = seg_like(
        small_seg, tmp_path / "two.nii.gz", lambda d, a: (np.select([d == 4, d == 2], [1, 2]).astype("u1"), a)
    )
    query_refused(ask(seg=seg), out, seg, "--labels", "ml")


def test_a_single_mask_is_asked_about(ask, small_seg, tmp_path, out):
    seg = seg_like(small_seg, tmp_path / "mask.nii.gz", lambda d, a: ((d > 0).astype(np.uint8), a))
    query_refused(ask(seg=seg), out, seg, "--core-labels none")
    assert ask("--core", "none", seg=seg).code == 0


def test_masks_are_not_overwritten_by_the_models(ask, small_seg, tmp_path):
    lies, data = nib.load(small_seg), np.asarray(nib.load(small_seg).dataobj)
    core = write_nifti(tmp_path / "core.nii.gz", (data == 4).astype(np.uint8), lies.affine)
    whole = write_nifti(tmp_path / "whole.nii.gz", (data > 0).astype(np.uint8), lies.affine)
    before = core.read_bytes(), whole.read_bytes()
    ran = ask("--core-mask", core, "--whole-mask", whole, seg=None, to=tmp_path)
    assert ran.code == 2
    assert "core.nii.gz" in ran.said or "whole.nii.gz" in ran.said
    assert "--out" in ran.said
    assert (core.read_bytes(), whole.read_bytes()) == before


@pytest.mark.parametrize("name", ["report.html", "density.nii.gz", "matches.json"])
def test_a_file_of_the_users_is_not_replaced(ask, out, name):
    out.mkdir(parents=True)
    (out / name).write_text("mine")
    ran = ask()
    assert ran.code == 2
    assert name in ran.said
    assert {p.name: p.read_text() for p in out.iterdir()} == {name: "mine"}


def test_a_second_query_replaces_what_the_first_has_written(ask, out):
    assert ask("--top-k", "2").code == 0
    assert ask("--top-k", "3").code == 0
    assert len(json.loads((out / "matches.json").read_text())["matches"]) == 3


def test_a_second_lesion_is_said_where_the_answer_is_read(ask, small_seg, small_atlas, ball, out, tmp_path):
    frame = small_atlas.frame
    middle = frame.world((np.array(frame.shape) - 1) / 2)
    both = ball(frame, middle + np.array([18.0, 0, 0]), 13.0) + ball(frame, middle - np.array([20.0, 4, 0]), 11.0)
    ran = ask(seg=write_nifti(tmp_path / "both.nii.gz", brats_labels(np.minimum(both, 1)), frame.affine))
    assert ran.code == 0
    assert "warning: the whole tumour is in 2 pieces" in ran.err
    record = json.loads((out / "matches.json").read_text())
    assert "several_lesions" in [doubt["kind"] for doubt in record["doubts"]]
    assert any("in 2 pieces" in warning for warning in record["warnings"])
    assert "in 2 pieces" in (out / "report.html").read_text()


def test_a_grid_of_another_space_is_refused(ask, tmp_path, out):
    labels = np.zeros((182, 218, 182), np.uint8)
    labels[60:80, 100:120, 90:110], labels[66:74, 106:114, 96:104] = 2, 4
    seg = write_nifti(
        tmp_path / "mni.nii.gz", labels, np.array([[-1, 0, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72.0], [0, 0, 0, 1]])
    )
    query_refused(ask("--core", "4", seg=seg, space="sri24"), out, "--space mni152")
