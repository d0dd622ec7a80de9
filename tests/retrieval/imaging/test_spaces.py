import json
from importlib.resources import files

import numpy as np
import pytest

from gliodex.errors import InputError
from gliodex.retrieval import SPACES, space_map
from gliodex.retrieval.imaging import spaces as spaces_package
from gliodex.store import Frame
from gliodex.store.atlas import Atlas

BRATS_AFFINE = np.array([[-1.0, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])
BRATS_SHAPE = np.array([240, 240, 155])


def renamed(atlas, name):
    return Atlas(name, atlas.frame, atlas.white, atlas.grey, atlas.csf, atlas.t1)


@pytest.fixture(scope="module")
def sri24(brain_store):
    return space_map("sri24", brain_store.atlas).patient_from_atlas


@pytest.fixture(scope="module")
def brain_in_brats(brain_store, sri24):
    """BraTS voxel indices of the atlas's brain."""
    brain = brain_store.frame.world(np.argwhere(brain_store.atlas.brain))
    world = brain @ sri24[:3, :3].T + sri24[:3, 3]
    inverse = np.linalg.inv(BRATS_AFFINE)
    return world @ inverse[:3, :3].T + inverse[:3, 3]


def test_the_spaces_are_those_of_the_documentation():
    assert set(SPACES) == {"sri24", "mni152", "atlas"}


def test_mni152_is_the_world_of_icbm152_and_of_no_other_atlas(brain_store, small_atlas):
    np.testing.assert_array_equal(space_map("mni152", brain_store.atlas).patient_from_atlas, np.eye(4))
    with pytest.raises(InputError, match="mni152"):
        space_map("mni152", small_atlas)


def test_the_atlas_space_is_the_identity(small_atlas):
    found = space_map("atlas", small_atlas)
    np.testing.assert_array_equal(found.patient_from_atlas, np.eye(4))
    assert found.describe()["kind"] == "identity"


def test_sri24_is_a_little_smaller_and_not_mirrored(sri24):
    linear = sri24[:3, :3]
    assert np.linalg.det(linear) == pytest.approx(0.7392, abs=0.002)
    lengths = np.linalg.norm(linear, axis=0)
    assert (lengths > 0.8).all()
    assert (lengths < 1.05).all()


@pytest.mark.parametrize("axis", range(3))
def test_directions_stay_directions(sri24, axis):
    direction = sri24[:3, axis] / np.linalg.norm(sri24[:3, axis])
    assert direction[axis] > np.cos(np.deg2rad(15))


def test_the_brain_lies_within_a_brats_image(brain_in_brats):
    assert (brain_in_brats.min(0) > 0).all()
    assert (brain_in_brats.max(0) < BRATS_SHAPE - 1).all()
    assert abs(brain_in_brats.mean(0)[0] - (BRATS_SHAPE[0] - 1) / 2) < 4, "the midline is the middle of the image"


def test_the_brain_has_the_size_of_one(brain_in_brats):
    width, length, height = np.ptp(brain_in_brats, axis=0)
    assert 120 < width < 150
    assert 155 < length < 190
    assert 115 < height < 160


def test_the_numbers_were_made_for_the_default_atlas(brain_store):
    kept = json.loads((files(spaces_package) / "sri24_to_icbm152.json").read_text())
    assert Frame.from_record(kept["atlas_frame"]).same_as(brain_store.atlas.frame)
    assert kept["volume_factor"] == pytest.approx(
        np.linalg.det(np.array(kept["patient_from_atlas_mm"])[:3, :3]), abs=1e-3
    )


def test_the_record_names_the_space(brain_store):
    said = space_map("sri24", brain_store.atlas).describe()
    assert (said["kind"], said["space"]) == ("affine", "sri24")


def test_an_unknown_atlas_is_refused(small_atlas):
    with pytest.raises(InputError, match="t1") as caught:
        space_map("sri24", small_atlas)
    assert "sri24" in str(caught.value)
    assert small_atlas.name in str(caught.value)


def test_another_atlas_of_the_same_name_is_refused(small_atlas):
    impostor = renamed(small_atlas, "icbm152")
    with pytest.raises(InputError, match="sri24"):
        space_map("sri24", impostor)


def test_an_atlas_in_sri24_needs_no_numbers(small_atlas):
    np.testing.assert_array_equal(space_map("sri24", renamed(small_atlas, "sri24")).patient_from_atlas, np.eye(4))
