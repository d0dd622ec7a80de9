"""Whole heads and brains alone are told apart, whatever lies around them and however they lie."""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import gliodex
from gliodex.errors import InputError
from gliodex.retrieval.imaging.head import has_skull
from gliodex.store.nifti import load_image

from .heads import as_image, grown, head_and_mask, rotated

DATA = Path(gliodex.__file__).parents[1] / "shared" / "data"
HEAD, MASK, FRAME = head_and_mask()
AIR = ~ndimage.binary_fill_holes(ndimage.binary_opening(HEAD > 150))
NECK = np.concatenate([np.repeat(HEAD[:, :, :1], 40, axis=2), HEAD], axis=2)


def noise(level, shape=HEAD.shape):
    return np.abs(np.random.default_rng(0).normal(0, level, shape)).astype(np.float32)


def z_scored(data, where):
    return np.where(where, (data - data[where].mean()) / data[where].std(), 0).astype(np.float32)


def without_face(data):
    cut = data.copy()
    cut[:, 85:, :40] = 0
    return cut


def slope(shape):
    return np.exp(np.linspace(-0.7, 0.7, shape[0]))[:, None, None].astype(np.float32)


def flair_like(data):
    """Dark CSF, white matter darker than grey, fat bright: the levels of T1 below 700 raised, those above turned."""
    return np.interp(data, [0, 250, 550, 750, 1000, 1600], [0, 60, 700, 1000, 700, 1300]).astype(np.float32)


HEADS = {
    "as it is": as_image(HEAD),
    "FLAIR": as_image(flair_like(HEAD)),
    "noise in the air": as_image(HEAD + noise(50)),
    "much noise in the air": as_image(HEAD + noise(120)),
    "air masked to 0": as_image(np.where(AIR, 0, HEAD)),
    "air masked, z-scored": as_image(z_scored(HEAD, ~AIR)),
    "air is NaN": as_image(np.where(AIR, np.nan, HEAD).astype(np.float32)),
    "air brighter than the head": as_image(np.where(AIR, 3000, HEAD)),
    "child": as_image(HEAD, spacing=(1.56, 1.56, 1.56)),
    "bias": as_image(HEAD * slope(HEAD.shape)),
    "without the top": as_image(HEAD[:, :, :78]),
    "without the base": as_image(HEAD[:, :, 38:]),
    "defaced": as_image(without_face(HEAD)),
    "neck": as_image(NECK),
    "tilted": as_image(rotated(np.pad(HEAD, 15), 40)),
    "tilted to the side": as_image(rotated(np.pad(HEAD, 15), -40, "y")),
    "thick axial slices": as_image(HEAD[:, :, ::3], spacing=(2, 2, 6)),
    "thick sagittal slices": as_image(HEAD[::3], spacing=(6, 2, 2)),
    "half a millimetre": as_image(np.kron(HEAD, np.ones((2, 2, 2), np.float32)), spacing=(1, 1, 1)),
    "padded": as_image(np.pad(HEAD, 30)),
    "other axes": as_image(np.transpose(HEAD, (2, 0, 1))[::-1, :, ::-1]),
    "negative values": as_image(HEAD - 1024),
}

BRAIN = HEAD * MASK
BRAINS = {
    "as it is": as_image(BRAIN),
    "FLAIR": as_image(flair_like(HEAD) * MASK),
    "z-scored": as_image(z_scored(HEAD, MASK)),
    "z-scored, background at the minimum": as_image(np.where(MASK, z_scored(HEAD, MASK), -6).astype(np.float32)),
    "background brighter than tissue": as_image(np.where(MASK, HEAD, 3000)),
    "NaN outside": as_image(np.where(MASK, HEAD, np.nan).astype(np.float32)),
    "noise outside": as_image(BRAIN + noise(30)),
    "much noise outside": as_image(BRAIN + noise(80)),
    "noise around a level": as_image(BRAIN + 200 + noise(30)),
    "bias": as_image(BRAIN * slope(HEAD.shape)),
    "child": as_image(BRAIN, spacing=(1.56, 1.56, 1.56)),
    "cut to its box": as_image(BRAIN[ndimage.find_objects(MASK.astype(int))[0]]),
    "without the base": as_image(np.where(np.arange(94) < 38, 0, BRAIN)),
    "without the top": as_image(BRAIN[:, :, :66]),
    "tilted": as_image(rotated(np.pad(BRAIN, 15), 40)),
    "thick axial slices": as_image(BRAIN[:, :, ::3], spacing=(2, 2, 6)),
    "thick sagittal slices": as_image(BRAIN[::3], spacing=(6, 2, 2)),
    "half a millimetre": as_image(np.kron(BRAIN, np.ones((2, 2, 2), np.float32)), spacing=(1, 1, 1)),
    "other axes": as_image(np.transpose(BRAIN, (2, 0, 1))[::-1, :, ::-1]),
    "loose mask, 2 mm": as_image(HEAD * grown(MASK, 1)),
    "loose mask, 6 mm": as_image(HEAD * grown(MASK, 3)),
}


@pytest.mark.parametrize("kind", HEADS)
def test_a_whole_head_is_recognised(kind):
    evidence = has_skull(HEADS[kind])
    assert evidence.skull, evidence.words
    assert evidence.share > 0.3, evidence.words


@pytest.mark.parametrize("kind", BRAINS)
def test_a_brain_alone_is_recognised(kind):
    evidence = has_skull(BRAINS[kind])
    assert not evidence.skull, evidence.words
    assert evidence.share < 0.16, evidence.words


def test_the_evidence_says_what_decided():
    assert "a whole head" in has_skull(HEADS["as it is"]).words
    words = has_skull(BRAINS["as it is"]).words
    assert "a brain alone" in words
    assert "ml" in words


def test_a_brain_with_the_face_left_raises_a_doubt():
    below = np.zeros_like(MASK)
    below[:, :, :30] = True
    evidence = has_skull(as_image(np.where(MASK | below, HEAD, 0)))
    assert not evidence.skull
    assert evidence.doubts


def test_an_upright_brain_raises_no_doubt():
    assert has_skull(BRAINS["as it is"]).doubts == ()
    assert has_skull(HEADS["as it is"]).doubts == ()


@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_an_image_of_one_value_is_refused(value):
    with pytest.raises(InputError, match="same value everywhere"):
        has_skull(as_image(np.full((40, 40, 40), value, np.float32)))


PATIENTS = sorted((DATA / "patients").glob("*/t1.nii.gz"))


@pytest.mark.skipif(not PATIENTS, reason="the patients with MRI are not here")
@pytest.mark.parametrize("name", ["t1", "t1c", "flair"])
@pytest.mark.parametrize("folder", [path.parent for path in PATIENTS], ids=lambda folder: folder.name)
def test_stripped_patients_are_brains_alone(folder, name):
    evidence = has_skull(load_image(folder / f"{name}.nii.gz"))
    assert not evidence.skull, evidence.words


@pytest.mark.skipif(not (DATA / "whole_head").exists(), reason="the patient with a whole head is not here")
@pytest.mark.parametrize("name", ["t1", "t1c", "flair"])
def test_a_patient_with_a_skull_is_a_whole_head(name):
    evidence = has_skull(load_image(DATA / "whole_head" / f"{name}_native.nii.gz"))
    assert evidence.skull, evidence.words
